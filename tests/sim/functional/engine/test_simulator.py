"""The fast simulator against the plain loops, on every rung of instructions that this CPU has."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.arch.machine import load_machine
from sim.errors import InputError
from sim.functional.engine.simulator import Simulator
from sim.functional.kernels.isa import available
from sim.functional.reference import simulate
from sim.ir.arithmetic import Arithmetic
from sim.ir.formats import Format, Kind, Rounding
from sim.ir.ops import Conv, Load, Pool, Steps, Store, Tensor
from sim.ir.program import Program
from sim.ir.signed_digits import digits_of, no_digits
from sim.testing import KINDS, random_program

ISAS = available()


def random_codes(program: Program, images: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {t.name: rng.integers(t.format.low, t.format.high + 1, (images, *t.shape)) for t in program.inputs}


def assert_equal_everywhere(program: Program, inputs: dict[str, np.ndarray], simulator: Simulator) -> None:
    right, found = simulate(program, inputs), simulator.run(inputs)
    assert set(found) == set(right)
    for name, codes in right.items():
        np.testing.assert_array_equal(found[name], codes, f"tensor '{name}' by {simulator.kernels}")


def names(program: Program) -> list[str]:
    return [tensor.name for tensor in program.tensors]


@pytest.mark.parametrize("isa", ISAS)
@given(seed=st.integers(0, 2**32 - 1), channels=st.sampled_from([3, 10, 80, 140]),
       machine=st.sampled_from(["tiny", "edge"]))
def test_random_programs_equal_the_plain_loops(isa: str, seed: int, channels: int, machine: str) -> None:
    """Every tensor: residuals, parts, wraps, wide outputs, tables, all kinds, roundings, zero points, transfers."""
    rng = np.random.default_rng(seed)
    kinds = ["grouped", "add"] if seed % 5 == 0 else KINDS
    program = random_program(rng, load_machine(machine), channels=channels, kinds=kinds)
    assert_equal_everywhere(program, random_codes(program, 2, rng), Simulator(program, capture=names(program), isa=isa))


def single(outputs: int, channels: int, size: tuple[int, int], kernel: tuple[int, int], stride: int | Steps, pads: int,
           dilation: int | Steps, bits: tuple[int, int], kind: Kind, signed: bool, extreme: bool, seed: int,
           depthwise: bool = False, acc_bits: int = 32) -> tuple[Program, dict[str, np.ndarray]]:
    """One layer whose outputs are its sums, modulo 2**acc_bits, and codes for it; one number serves both axes."""
    stride, dilation = ((step, step) if isinstance(step, int) else step for step in (stride, dilation))
    rng = np.random.default_rng(seed)
    fmt = Format(bits[0], kind)
    shape = (outputs, 1 if depthwise else channels, *kernel)
    weights = rng.integers(fmt.low, fmt.high + 1, shape)
    source = Format(bits[1], "signed" if signed else "unsigned", int(rng.integers(0, 2)) if bits[1] > 1 else 0)
    if extreme:
        weights = rng.choice([fmt.low, fmt.high], (outputs, 1, 1, 1)) * np.ones(shape, int)
    height, width = ((size[i] + 2 * pads - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1 for i in (0, 1))
    target = Format(acc_bits, "signed")
    tensors = Tensor("x", *size, (channels,), source), Tensor("y", height, width, (outputs,), target)
    digits = digits_of([[1]] * outputs)
    conv = Conv("conv", "x", "y", weights.astype(np.int8), fmt, digits, np.zeros(outputs, np.int64),
                np.zeros(outputs, np.int64), target.low, target.high,
                groups=channels if depthwise else 1, stride=stride,
                dilation=dilation, pads=(pads, pads, pads, pads))
    program = Program(tensors, (conv,), Arithmetic(acc_bits=acc_bits, wrap=True))
    codes = rng.integers(source.low, source.high + 1, (2, channels, *size))
    if extreme:
        codes[0], codes[1] = source.low, source.high
    return program, {"x": codes}


CHANNELS = (1, 3, 17, 33, 64, 130)
SHAPES = [((5, 7), (1, 1), 1, 0, 1), ((1, 1), (1, 1), 1, 0, 1), ((1, 1), (3, 3), 1, 1, 1), ((9, 8), (3, 3), 1, 1, 1),
          ((9, 9), (3, 3), 2, 1, 1), ((11, 13), (11, 11), 4, 2, 1), ((8, 9), (5, 5), 1, 2, 1),
          ((9, 8), (3, 3), 1, 2, 2),
          ((12, 11), (7, 3), 2, 3, 1), ((6, 6), (2, 4), 1, 5, 1), ((13, 9), (3, 3), 4, 0, 2),
          ((11, 8), (3, 3), (2, 1), 1, (1, 2)), ((8, 11), (3, 3), (1, 2), 1, 1), ((9, 7), (2, 3), (3, 2), 1, (2, 1))]


def every_kernel(program: Program, inputs: dict[str, np.ndarray], isa: str) -> int:
    """Run each kernel that can compute the layer; how many there were."""
    possible = Simulator(program, isa=isa).possible_kernels["conv"]
    for kernel in possible:
        assert_equal_everywhere(program, inputs,
                                Simulator(program, isa=isa, capture=["x"], kernels={"conv": kernel}))
    return len(possible)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("kind", ["signed", "unsigned", "bipolar"])
def test_every_kernel_and_pair_of_bits(isa: str, kind: str) -> None:
    """Sums of dense layers, with every pair of bits, at the ends of the formats and at random."""
    rng = np.random.default_rng(7)
    for bits_w in range(1, {"signed": 9, "unsigned": 8, "bipolar": 2}[kind]):
        for bits_a in range(1, 9):
            outputs, channels = rng.choice(CHANNELS, 2)
            size, *window = SHAPES[rng.integers(len(SHAPES))]
            case = single(outputs, channels, size, *window, (bits_w, bits_a), kind, bool(rng.integers(2)),
                          bool(rng.integers(2)), bits_w * 8 + bits_a)
            assert every_kernel(*case, isa)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_kernel_and_shape(isa: str, shape: tuple) -> None:
    """Sums of dense layers of odd channels, windows, strides, pads and dilations, at 8, 4 and 2 bits."""
    size, *window = shape
    for i, outputs in enumerate(CHANNELS):
        bits = [(8, 8), (4, 4), (2, 2)][i % 3]
        case = single(outputs, CHANNELS[(i * 5 + 2) % 6], size, *window, bits, "signed", bool(i % 2), i % 4 == 0, i)
        assert every_kernel(*case, isa)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("kind", ["signed", "unsigned", "unit"])
def test_every_depthwise_kernel(isa: str, kind: str) -> None:
    """Sums of depthwise layers of all shapes and widths, sums of windows included."""
    for i, (size, *window) in enumerate(SHAPES * 2):
        channels = CHANNELS[i % 6]
        bits = 1 if kind == "unit" else i % 7 + 1
        case = single(channels, channels, size, *window, (bits, i % 8 + 1), kind, bool(i % 2), i % 3 == 0, i,
                      depthwise=True)
        assert every_kernel(*case, isa)


def test_sums_beyond_32_bits_wrap() -> None:
    """A window of 4 704 000 000 in magnitude is that modulo 2**32, on every rung."""
    weights = np.full((2, 150_000, 1, 1), 127, np.int8)
    tensors = Tensor("x", 1, 1, (150_000,), Format(8, "unsigned")), Tensor("y", 1, 1, (2,), Format(32, "signed"))
    conv = Conv("conv", "x", "y", weights, Format(8, "signed"), digits_of([[1]] * 2), np.zeros(2, np.int64),
                np.zeros(2, np.int64), -(2**31), 2**31 - 1)
    program = Program(tensors, (conv,), Arithmetic(wrap=True))
    inputs = {"x": np.full((1, 150_000, 1, 1), 255)}
    assert 150_000 * 127 * 255 > 2**32
    for isa in ISAS:
        assert_equal_everywhere(program, inputs, Simulator(program, isa=isa, capture=["x"]))


@pytest.mark.parametrize(("lowest", "highest"), [(-8, 7), (0, 15), (-15, 0), (3, 14), (-9, 6), (-8, 8), (5, 16)])
def test_two_weights_share_a_byte_where_they_fit(lowest: int, highest: int) -> None:
    """Linear layers of 16 values of weights with 0 among them, and no others, may be read by four bits."""
    rng = np.random.default_rng(8)
    program, inputs = single(70, 19, (2, 3), (2, 3), 1, 0, 1, (8, 8), "signed", True, False, 3)
    weights = rng.integers(lowest, highest + 1, program.convs[0].weights.shape)
    weights.reshape(-1)[:2] = lowest, highest
    program = replace(program, ops=(replace(program.convs[0], weights=weights.astype(np.int8)),))
    for isa in ISAS:
        possible = Simulator(program, isa=isa).possible_kernels["conv"]
        fits = isa in ("avx512", "amx") and max(highest, 0) - min(lowest, 0) < 16
        assert ("int4_linear.linear" in possible) == fits
        assert every_kernel(program, inputs, isa)


@pytest.mark.parametrize("acc_bits", [2, 7, 8, 9, 15, 19])
def test_accumulators_wrap_at_their_width(acc_bits: int) -> None:
    """Sums that leave an accumulator of few bits many times over, in results of 8 bits and in wide ones."""
    bits = min(8, acc_bits)
    for outputs in (5, 67):
        program, inputs = single(outputs, 17, (6, 5), (3, 3), 1, 1, 1, (bits, bits), "signed", True, False, acc_bits,
                                 acc_bits=acc_bits)
        for isa in ISAS:
            assert every_kernel(program, inputs, isa)


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("images", [0, 1, 3, 17])
def test_threads_change_nothing(threads: int, images: int) -> None:
    """The images are those of one thread, whatever their number; none is an empty result."""
    rng = np.random.default_rng(5)
    program = random_program(rng, load_machine("tiny"), channels=20)
    inputs = random_codes(program, images, rng)
    assert_equal_everywhere(program, inputs, Simulator(program, capture=names(program), threads=threads))


def test_a_stream_is_its_batches() -> None:
    """Batches of a generator are taken one at a time, and memory is used again without a trace of the last."""
    rng = np.random.default_rng(6)
    program = random_program(rng, load_machine("tiny"), channels=20)
    batches = [random_codes(program, count, rng) for count in (3, 1, 4)]
    taken = []
    results = Simulator(program).stream(taken.append(i) or batch for i, batch in enumerate(batches))
    for i, (found, batch) in enumerate(zip(results, batches, strict=True)):
        assert taken == list(range(i + 1))
        right = simulate(program, batch)
        for name, codes in found.items():
            np.testing.assert_array_equal(codes, right[name])


def test_byte_inputs_are_taken_as_they_are() -> None:
    """int8, uint8 and int64 arrays of the same codes, contiguous or not, give the same."""
    program, inputs = single(5, 3, (4, 4), (3, 3), 1, 1, 1, (4, 7), "signed", False, False, 1)
    simulator, right = Simulator(program), simulate(program, inputs)["y"]
    for dtype in (np.int8, np.uint8, np.int16, np.int64):
        np.testing.assert_array_equal(simulator.run({"x": inputs["x"].astype(dtype)})["y"], right)
    strided = np.repeat(inputs["x"].astype(np.uint8), 2, axis=3)[..., ::2]
    np.testing.assert_array_equal(simulator.run({"x": strided})["y"], right)


def test_tensors_of_the_host_are_moved() -> None:
    """Rows loaded from, and stored to, parts of a tensor of the host's."""
    fmt = Format(3, "signed", 1)
    tensors = (Tensor("x", 5, 3, (2,), fmt), Tensor("rows", 2, 3, (2,), fmt), Tensor("y", 2, 3, (70,), fmt),
               Tensor("out", 4, 3, (4, 70), fmt), Tensor("z", 2, 3, (4,), fmt))
    rng = np.random.default_rng(3)

    def conv(name: str, target: str, channels: int) -> Conv:
        return Conv(name, "rows", target, rng.integers(-4, 4, (channels, 2, 1, 1)).astype(np.int8), Format(3, "signed"),
                    digits_of([[2]] * channels), np.ones(channels, np.int64), np.zeros(channels, np.int64), -4, 3)

    ops = (Load("load", "x", "rows", 2), conv("a", "y", 70), conv("b", "z", 4),
               *(Store(f"y{row}", "y", "out", row, 1) for row in (0, 2)),
               *(Store(f"z{row}", "z", "out", row, 0) for row in (0, 2)))
    program = Program(tensors, ops)
    assert_equal_everywhere(program, random_codes(program, 3, rng), Simulator(program, capture=names(program)))


def test_impossible_wishes_are_refused() -> None:
    """Unknown tensors, layers, kernels and rungs, no or endless threads: one sentence each."""
    program, inputs = single(5, 3, (4, 4), (3, 3), 1, 1, 1, (4, 7), "signed", False, False, 1)
    for wish, text in (
        ({"capture": ["z"]}, "no tensor named 'z'; there are x, y"),
        ({"threads": 0}, "threads must be in 1..1024, not 0"),
        ({"threads": 1025}, "threads must be in 1..1024, not 1025"),
        ({"threads": 1.5}, "threads must be in 1..1024, not 1.5"),
        ({"isa": "mmx"}, f"isa must be one of {', '.join(ISAS)} on this CPU, not 'mmx'"),
        ({"kernels": {"c": "max_pool.lanes_64"}}, "no convolution named 'c' in the program"),
        ({"kernels": {"conv": "max_pool.lanes_64"}, "isa": "portable"},
         "layer 'conv' can be computed by gemm_conv.portable_2, not max_pool.lanes_64"),
    ):
        with pytest.raises(InputError, match=f"^{re.escape(text)}$"):
            Simulator(program, **wish)
    with pytest.raises(InputError, match=r"^input 'x': code 128 at \(0, 0, 0, 0\) is outside 0\.\.127 of unsigned7"):
        Simulator(program).run({"x": np.full_like(inputs["x"], 128)})


def with_ties(rng: np.random.Generator, rounding: Rounding, shift: int, residual: bool, bits: int) -> Program:
    """A layer of 2**bits inputs and 99 outputs, many of whose sums lie half way between two codes."""
    channels, inputs = 99, 1 << bits
    tensors = [Tensor("x", 6, 5, (inputs,), Format(bits, "unsigned", 2)),
               Tensor("y", 6, 5, (channels,), Format(4, "unsigned", 3))]
    if residual:
        tensors.append(Tensor("r", 6, 5, (channels,), Format(5, "signed", -1)))
    power = min(max(shift - 2, 0), 11)
    conv = Conv(
        "conv", "x", "y", rng.integers(-(1 << bits - 1), 1 << bits - 1, (channels, inputs, 1, 1)).astype(np.int8),
        Format(bits, "signed"), digits_of([[sign * (power + 1)] for sign in rng.choice([-1, 1], channels)]),
        np.full(channels, shift), rng.integers(-4, 5, channels) << max(shift - 1, 0), 1, 14,
        residual="r" if residual else None,
        residual_multiplier=digits_of([[shift + 1 if shift < 30 else 4]] * channels) if residual else no_digits(0))
    return Program(tuple(tensors), (conv,), Arithmetic(rounding=rounding))


def test_requantizers_are_exact_at_ties() -> None:
    """With residuals, zero points and every rounding: all kernels of 32 bits, and those of 64."""
    rng = np.random.default_rng(11)
    seen = set()
    for rounding, shift, residual, bits in product(("half_up", "half_even", "floor"), (0, 1, 3, 18, 30), (False, True),
                                                   (4, 8)):
        program = with_ties(rng, rounding, shift, residual, bits)
        simulator = Simulator(program, capture=names(program))
        seen.add(simulator.requantizers["conv"].removesuffix("_grouped"))
        assert_equal_everywhere(program, random_codes(program, 2, rng), simulator)
    assert {f"requantizer.{kind}" for kind in (
        "narrow", "narrow_even", "narrow_free", "narrow_residual", "narrow_residual_even", "narrow_residual_free",
        "wide", "wide_residual")} == seen


def test_wide_images_of_several_channels_come_in_whole() -> None:
    """Rows of more than 16 pixels, of channels in fours and of those that are left over."""
    for channels in (3, 4, 11, 12):
        program, inputs = single(5, channels, (3, 35), (1, 1), 1, 0, 1, (4, 8), "signed", True, False, channels)
        for isa in ISAS:
            assert_equal_everywhere(program, inputs, Simulator(program, capture=["x"], isa=isa))


def test_many_tensors_are_found_by_their_names_and_not_by_looking_at_all() -> None:
    """A Simulator of many tensors, all of them captured, compares names in proportion to their number."""
    comparisons = 0

    class Name(str):
        __slots__ = ()
        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            nonlocal comparisons
            comparisons += 1
            return str.__eq__(self, other)

    count = 150
    tensors = tuple(Tensor(Name(f"t{index}"), 1, 1, (1,), Format(4, "unsigned")) for index in range(count))
    program = Program(tensors, (Pool("p", Name("t0"), Name("t1"), (1, 1)),))
    comparisons = 0
    Simulator(program, capture=[Name(f"t{index}") for index in range(count)])
    assert comparisons < 20 * count
