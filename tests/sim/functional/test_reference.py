"""Whole Programs against a reference in NumPy int64 and Python integers that shares no arithmetic with `sim`."""

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from math import floor

import numpy as np
import pytest

from sim.errors import InputError
from sim.functional.reference import simulate
from sim.ir.arithmetic import Arithmetic
from sim.ir.formats import Format
from sim.ir.ops import Conv, Load, Pool, Steps, Store, Table, Tensor
from sim.ir.program import Program
from sim.ir.signed_digits import no_digits
from sim.testing import KINDS, TRAITS, corner_inputs, random_machine, random_program

ROUND = {"half_up": lambda x: floor(x + Fraction(1, 2)), "half_even": round, "floor": floor}


def powers(digits: np.ndarray) -> list[int]:
    """Multipliers from their digits, in Python's integers."""
    return [sum((1 if d > 0 else -1) * 2 ** (abs(int(d)) - 1) for d in row if d) for row in digits]


def taps(maps: np.ndarray, op: Conv | Pool, kernel: tuple[int, int], dilation: Steps, value: int,
         size: tuple[int, int]) -> list[np.ndarray]:
    """The shifted maps, one per tap, as the outputs see them; borders hold `value`."""
    top, left, bottom, right = op.pads
    padded = np.pad(maps.astype(np.int64), ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=value)
    shifted = [padded[:, :, i * dilation[0] :, j * dilation[1] :] for i in range(kernel[0]) for j in range(kernel[1])]
    return [s[:, :, :: op.stride[0], :: op.stride[1]][:, :, : size[0], : size[1]] for s in shifted]


def parts_read(program: Program, op: Conv | Pool, codes: dict[str, np.ndarray]) -> np.ndarray:
    """Channels of the input that an op reads."""
    parts = program.tensor(op.input).parts
    first, stop = op.input_parts or (0, len(parts))
    return codes[op.input][:, sum(parts[:first]) : sum(parts[:stop])]


def reference_conv(program: Program, conv: Conv, codes: dict[str, np.ndarray]) -> None:
    source, target = program.tensor(conv.input), program.tensor(conv.output)
    meaning = conv.weights.astype(np.int64)
    if conv.weight_format.kind == "bipolar":
        meaning = np.where(meaning == 1, 1, -1)
    acc = 0
    axes = zip(source.shape[1:], conv.kernel, conv.pads[:2], conv.pads[2:], conv.stride, conv.dilation, strict=True)
    size = [(extent + before + after - dilation * (kernel - 1) - 1) // stride + 1
            for extent, kernel, before, after, stride, dilation in axes]
    seen = taps(parts_read(program, conv, codes), conv, conv.kernel, conv.dilation, source.format.zero_point, size)
    for tap, w in zip(seen, meaning.reshape(*meaning.shape[:2], -1).transpose(2, 0, 1), strict=True):
        split = zip(np.split(tap, conv.groups, axis=1), np.split(w, conv.groups), strict=True)
        summand = (tap * w[:, 0, None, None] if conv.depthwise else
                   np.concatenate([np.einsum("nchw,oc->nohw", one, part) for one, part in split], axis=1))
        acc = acc + summand
    if program.arithmetic.wrap:
        half = 2 ** (program.arithmetic.acc_bits - 1)
        acc = (acc + half) % (2 * half) - half
    residual, rs = np.zeros_like(acc), [0] * conv.channels
    if conv.residual is not None:
        residual, rs = codes[conv.residual], powers(conv.residual_multiplier)
        residual = residual[:, program.tensor(conv.residual).part_slice(conv.residual_part)]
        one_of = {"none": (1, 1, 1), "map": (1, *acc.shape[2:]), "channel": (acc.shape[1], 1, 1)}
        residual = np.tile(residual, (1, *one_of[conv.residual_broadcast]))
    out = codes[conv.output][:, target.part_slice(conv.output_part)]
    for n, o, y, x in np.ndindex(acc.shape):
        v = int(conv.offset[o]) + powers(conv.multiplier)[o] * int(acc[n, o, y, x]) + rs[o] * int(residual[n, o, y, x])
        v += 0 if conv.gate is None else int(acc[n, o, y, x]) * int(residual[n, o, y, x]) * 2**conv.gate
        zero = target.format.zero_point if conv.table is None else conv.table.index.zero_point
        code = ROUND[program.arithmetic.rounding](Fraction(v, 2 ** int(conv.shift[o]))) + zero
        code = min(max(code, conv.low), conv.high)
        if conv.lattice is not None:
            y, x = (conv.lattice.offset[i] + conv.lattice.stride[i] * at for i, at in enumerate((y, x)))
        out[n, o, y, x] = code if conv.table is None else conv.table.codes[code]


def reference(program: Program, inputs: Mapping[str, np.ndarray], images: int) -> dict[str, np.ndarray]:
    """Codes of every tensor, slowly."""
    codes = {t.name: np.zeros((images, *t.shape), np.int64) for t in program.tensors} | dict(inputs)
    for op in program.ops:
        if isinstance(op, Conv):
            reference_conv(program, op, codes)
        elif isinstance(op, Load):
            rows = slice(op.first_row, op.first_row + program.tensor(op.output).height)
            codes[op.output] = codes[op.input][:, :, rows]
        elif isinstance(op, Store):
            target = program.tensor(op.output)
            part = slice(None) if op.output_part is None else target.part_slice(op.output_part)
            rows = slice(op.first_row, op.first_row + program.tensor(op.input).height)
            codes[op.output][:, part, rows] = codes[op.input]
        else:
            target = program.tensor(op.output)
            windows = taps(parts_read(program, op, codes), op, op.kernel, op.dilation, -1000, target.shape[1:])
            codes[op.output] = np.max(windows, axis=0)
    return codes


@pytest.mark.parametrize("first", range(0, 240, 40))
def test_random_programs_equal_the_reference(first: int) -> None:
    """Every kind of op, format, rounding, residual, table, part and wrap: all codes of all tensors are equal."""
    for seed in range(first, first + 40):
        rng = np.random.default_rng(seed)
        machine = random_machine(rng, small=bool(seed % 4))
        with_tables = machine.model_copy(update={"table_bits": 8 if seed % 3 else 0})
        program = random_program(rng, with_tables, kinds=KINDS if seed % 4 else ["grouped", "depthwise"],
                                 traits=TRAITS if seed % 5 else [*TRAITS, "lattice"])
        inputs = corner_inputs(rng, program, 2)
        expected, found = reference(program, inputs, 2), simulate(program, inputs)
        assert sorted(found) == sorted(t.name for t in program.tensors)
        for name, codes in found.items():
            assert codes.dtype == np.int32
            np.testing.assert_array_equal(codes, expected[name], err_msg=f"seed {seed}, tensor {name}")


def small_program() -> Program:
    """A 1x1 convolution of 'a' (2 channels, signed 4 bits) and a residual 'r' into 'b'."""
    digit, zeros = np.ones((1, 1), np.int8), np.zeros(1, np.int64)
    conv = Conv("c", "a", "b", np.ones((1, 2, 1, 1), np.int8), Format(2, "signed"), digit, zeros, zeros, -128, 127,
                residual="r", residual_multiplier=digit)
    tensors = (Tensor("a", 2, 3, (2,), Format(4, "signed")), Tensor("r", 2, 3, (1,), Format(4, "signed")),
               Tensor("b", 2, 3, (1,), Format(8, "signed")))
    return Program(tensors, (conv,))


def small_inputs(images: int = 1) -> dict[str, np.ndarray]:
    return {"a": np.full((images, 2, 2, 3), 3), "r": np.full((images, 1, 2, 3), -2)}


def test_a_table_maps_the_clamped_sum_of_accumulator_and_residual() -> None:
    """The residual is added before the table; the index has its own zero point and clamp, the output any codes."""
    (conv,) = small_program().convs
    table = Table(Format(3, "unsigned", zero_point=2), np.array([50, -128, 9, 127, -7, 0, 1, 70], np.int16))
    program = replace(small_program(), ops=(replace(conv, low=1, high=6, table=table),))
    inputs = {"a": np.zeros((1, 2, 2, 3), np.int64), "r": np.array([[[[-8, -2, -1], [0, 3, 7]]]])}
    found = simulate(program, inputs)["b"]
    assert found.tolist() == [[[[-128, -128, -128], [9, 0, 1]]]]
    assert np.array_equal(found, reference(program, inputs, 1)["b"])


def test_any_integer_type_is_taken_and_nothing_is_changed() -> None:
    """Inputs of every integer type give the same codes, and stay what they were."""
    for dtype in (np.int8, np.int16, np.int64):
        inputs = {name: codes.astype(dtype) for name, codes in small_inputs().items()}
        found = simulate(small_program(), inputs)
        assert np.all(found["b"] == 4)
        found["a"][:] = 0
        assert np.all(inputs["a"] == 3)


def test_no_images_give_no_codes() -> None:
    """N = 0 is as good as any N."""
    assert simulate(small_program(), small_inputs(0))["b"].shape == (0, 1, 2, 3)


def test_images_do_not_touch_each_other() -> None:
    """A batch equals its images one by one."""
    rng = np.random.default_rng(7)
    program = random_program(rng, random_machine(rng))
    inputs = corner_inputs(rng, program, 5)
    whole = simulate(program, inputs)
    for image in range(5):
        single = simulate(program, {name: codes[image : image + 1] for name, codes in inputs.items()})
        assert all(np.array_equal(single[name][0], whole[name][image]) for name in whole)


def test_wrap_is_visible() -> None:
    """An accumulator of 4 bits turns 3 + 6 into -7 when it wraps; the same Program is refused when it must not."""
    program = small_program()
    weights = np.array([1, 2], np.int8).reshape(1, 2, 1, 1)
    conv = replace(program.ops[0], residual=None, residual_multiplier=no_digits(0), weights=weights,
                   weight_format=Format(3, "signed"), low=-8, high=7)
    tensors = (program.tensors[0], replace(program.tensors[2], format=Format(4, "signed")))
    wrapping = Program(tensors, (conv,), Arithmetic(acc_bits=4, wrap=True))
    assert np.all(simulate(wrapping, {"a": np.full((1, 2, 2, 3), 3)})["b"] == -7)
    with pytest.raises(InputError, match=r"^op 'c': the accumulator of channel 0 can reach 24; 4 bits hold 7"):
        replace(wrapping, arithmetic=Arithmetic(acc_bits=4))


@pytest.mark.parametrize(("change", "message"), [
    ({"x": np.zeros((1, 1, 1, 1), int)}, "inputs must be 'a', 'r', not 'a', 'r', 'x'"),
    ({"a": np.zeros((1, 2, 3, 2), int)}, "input 'a' must have shape (N, 2, 2, 3), not (1, 2, 3, 2)"),
    ({"a": np.zeros((2, 2, 3), int)}, "input 'a' must have shape (N, 2, 2, 3), not (2, 2, 3)"),
    ({"r": np.zeros((2, 1, 2, 3), int)}, "input 'r' must have 1 images like the others, not 2"),
    ({"r": np.full((1, 1, 2, 3), 8)}, "input 'r': code 8 at (0, 0, 0, 0) is outside -8..7 of signed4"),
])
def test_wrong_inputs_are_refused(change: dict[str, np.ndarray], message: str) -> None:
    """Unknown names, wrong shapes, unequal numbers of images and codes out of range are named."""
    with pytest.raises(InputError) as caught:
        simulate(small_program(), small_inputs() | change)
    assert str(caught.value) == message


def test_missing_inputs_are_refused() -> None:
    """No input at all is told from the right ones."""
    with pytest.raises(InputError, match=r"^inputs must be 'a', 'r', not none$"):
        simulate(small_program(), {})


def test_float_inputs_are_refused() -> None:
    """Real values are not codes."""
    with pytest.raises(TypeError, match=r"^input 'a': codes must be integers, not float32$"):
        simulate(small_program(), small_inputs() | {"a": np.zeros((1, 2, 2, 3), np.float32)})
