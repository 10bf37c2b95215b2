"""ONNX Runtime, which shares no code with the simulator, gives the same codes for exported models, in every tensor."""

import json
from collections.abc import Mapping
from contextlib import suppress
from itertools import pairwise

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from bitwright.interop.onnx_model import onnx_model
from bitwright.interop.onnx_run import run_onnx
from sim.errors import InputError
from sim.functional.reference import simulate
from sim.ir.arithmetic import Arithmetic
from sim.ir.formats import Format
from sim.ir.ops import Conv, Load, Pool, Store, Tensor
from sim.ir.program import Program
from sim.ir.signed_digits import digits_of
from sim.plan.plan import plan
from sim.testing import TRAITS, RandomChoices, SteeredChoices, corner_inputs, random_machine, random_program

BYTE, SIGNED = Format(8, "unsigned"), Format(8, "signed")
STANDARD = {"Add", "BitwiseXor", "Cast", "Clip", "Concat", "ConvInteger", "Floor", "Gather", "Identity", "MaxPool",
            "Mod", "Mul", "Pad", "Round", "Slice", "Sub"}


def conv(name: str, source: str, target: str, weights: NDArray[np.int8], **fields: object) -> Conv:
    """Make a Conv that puts out its sums, of signed 8-bit weights unless told otherwise."""
    channels = len(weights)
    options = {"weight_format": SIGNED, "multiplier": digits_of([[1]] * channels), "low": 0, "high": 255,
               "shift": np.zeros(channels, np.int64), "offset": np.zeros(channels, np.int64), **fields}
    return Conv(name, source, target, weights, **options)


def operators(model: onnx.ModelProto) -> set[str]:
    assert {node.domain for node in model.graph.node} == {""}
    return {node.op_type for node in model.graph.node}


def check(program: Program, inputs: Mapping[str, NDArray[np.int32]]) -> set[str]:
    """Every tensor has the simulator's codes in ONNX Runtime; return the operators that the model has."""
    model = onnx_model(program, tensors=True)
    found, expected = run_onnx(model, inputs), simulate(program, inputs)
    assert found.keys() == expected.keys()
    for name, codes in expected.items():
        np.testing.assert_array_equal(found[name], codes, err_msg=name)
    return operators(model)


@pytest.mark.parametrize("first", [*range(0, 60, 15), *(
    pytest.param(first, marks=pytest.mark.nightly) for first in range(1000, 2000, 100))])
def test_random_programs_and_their_plans(first: int) -> None:
    """Programs of all kinds and traits, and what a machine that holds them makes of them: Loads, Stores, row bands."""
    used = set[str]()
    for seed in range(first, first + (15 if first < 1000 else 100)):
        rng = np.random.default_rng(seed)
        machine = random_machine(rng)
        program = random_program(rng, machine)
        inputs = corner_inputs(rng, program, 3)
        used |= check(program, inputs)
        with suppress(InputError):  # it does not fit
            used |= check(plan(program, machine).program, inputs)
    assert STANDARD - {"Gather", "Mod", "Sub"} <= used <= STANDARD


def test_random_programs_with_lattices() -> None:
    """Interleaved and stacked maps are spread over zeros and added: all kinds, parts, wide outputs, tables."""
    used = set[str]()
    for seed in range(12):
        rng = np.random.default_rng(seed)
        choices = SteeredChoices(RandomChoices(rng), [{"lattice": [True]}] * 3, obedience=1)
        program = random_program(choices, random_machine(rng), traits=(*TRAITS, "lattice"))
        used |= check(program, corner_inputs(rng, program, 2))
    assert "Reshape" in used


def test_random_programs_with_tables() -> None:
    """A table is a Gather by the clamped code, whatever the index format and the codes are."""
    used = set[str]()
    for seed in range(8):
        rng = np.random.default_rng(seed)
        machine = random_machine(rng).model_copy(update={"table_bits": 8})
        program = random_program(SteeredChoices(RandomChoices(rng), [{"table": [True]}], obedience=1), machine)
        used |= check(program, corner_inputs(rng, program, 3))
    assert "Gather" in used
    assert used <= STANDARD


def test_random_programs_that_wrap() -> None:
    """Sums that leave accumulators of 10 bits are taken modulo 2**10."""
    used = set[str]()
    for seed in range(12):
        rng = np.random.default_rng(seed)
        machine = random_machine(rng).model_copy(update={"acc_bits": 10})
        wraps = SteeredChoices(RandomChoices(rng), [{"wrap": [True]}], obedience=1)
        program = random_program(wraps, machine, traits=("wrap", "residual", "concat", "bipolar"))
        assert program.arithmetic.wrap
        used |= check(program, corner_inputs(rng, program, 3))
    assert {"Mod", "Sub"} <= used


@pytest.mark.parametrize("source", [BYTE, SIGNED], ids=str)
def test_sums_of_32_bits_wrap_by_themselves(source: Format) -> None:
    """ConvInteger's own sums are modulo 2**32: 70 000 products of the lowest weight and the largest codes."""
    weights = np.full((2, 140000, 1, 1), -128, np.int8)
    weights[1] = 127
    fmt = Format(32, "signed")
    add = conv("add", "x", "y", weights, low=fmt.low, high=fmt.high)
    program = Program((Tensor("x", 1, 1, (140000,), source), Tensor("y", 1, 1, (2,), fmt)), (add,),
                      Arithmetic(acc_bits=32, window=4, wrap=True))
    codes = np.full((1, 140000, 1, 1), source.low if source.kind == "signed" else 255, np.int32)
    assert abs(-128 * int(codes.sum())) >= 1 << 31
    check(program, {"x": codes})


@pytest.mark.parametrize("rounding", ["half_up", "half_even", "floor"])
def test_the_widest_arithmetic_is_exact(rounding: str) -> None:
    """acc_bits + window = 51: largest sums, multipliers of both kinds and offsets, at small and large shifts."""
    rng, channels, fan_in = np.random.default_rng(0), 18, 65536
    arithmetic = Arithmetic(acc_bits=32, window=19, terms=19, rounding=rounding)
    most = (1 << 50) - 1
    rows = [[int(sign) * (e + 1) for e, sign in zip(range(18, -1, -1), rng.choice([-1, 1], 19), strict=True)]
            for _ in range(channels)]
    residual_rows = [[int(rng.choice([-1, 1])) * 42] for _ in range(channels)]
    offset = rng.choice([most, -most, 0], channels) - rng.integers(0, 2, channels) * rng.integers(0, 1 << 40, channels)
    wide = Format(31, "signed", zero_point=3)
    layer = conv("layer", "x", "y", rng.choice([-128, 127], (channels, fan_in, 1, 1)).astype(np.int8), residual="r",
                 multiplier=digits_of(rows), residual_multiplier=digits_of(residual_rows),
                 shift=np.minimum(3 * np.arange(channels), 50), offset=offset.clip(-most, most), low=wide.low,
                 high=wide.high)
    tensors = (Tensor("x", 1, 2, (fan_in,), BYTE), Tensor("r", 1, 2, (channels,), SIGNED),
               Tensor("y", 1, 2, (channels,), wide))
    program = Program(tensors, (layer,), arithmetic)
    inputs = corner_inputs(rng, program, 4)
    found = simulate(program, inputs)["y"]
    assert len(np.unique(found)) > channels
    check(program, inputs)


def test_rows_are_loaded_before_the_last_are_stored() -> None:
    """A tensor in the host's memory may hold rows that were computed from other rows of it."""
    one = np.ones((1, 1, 1, 1), np.int8)
    tensors = [Tensor(name, 2, 3, (1,), BYTE) for name in ("x", "a", "b", "c")]
    tensors += [Tensor(name, height, 3, (1, 1), BYTE) for name, height in
                (("host", 4), ("row", 2), ("far", 4), ("two", 2))]
    tensors += [Tensor("y", 4, 3, (1,), BYTE), Tensor("z", 4, 3, (2,), BYTE)]
    ops = (conv("a", "x", "a", 2 * one), conv("b", "x", "b", 3 * one),
           Store("s0", "a", "host", 0, 1), Store("s1", "b", "host", 0, 0), Load("l", "host", "row", 0),
           conv("c", "row", "c", np.ones((1, 2, 1, 1), np.int8)), conv("t0", "row", "two", one.repeat(2, 1)),
           conv("t1", "x", "two", one, output_part=1), Store("s2", "two", "host", 2),
           Load("far", "host", "far", 0), conv("y", "far", "y", np.ones((1, 2, 1, 1), np.int8)),
           conv("z", "far", "z", np.ones((2, 2, 1, 1), np.int8)))
    program = Program(tuple(tensors), ops)
    check(program, {"x": np.arange(6, dtype=np.int32).reshape(1, 1, 2, 3)})


def test_types_shapes_and_formats_are_told() -> None:
    """Codes are uint8, int8 or int32; the metadata give formats, scales and the arithmetic; a Conv has a sentence."""
    fmt = Format(3, "signed", zero_point=-1)
    tensors = (Tensor("x", 4, 4, (2,), fmt), Tensor("p", 3, 3, (2,), fmt),
               Tensor("y", 3, 3, (5,), Format(12, "signed")))
    layer = conv("layer", "p", "y", np.full((5, 2, 1, 1), -2, np.int8), weight_format=Format(2, "signed"), low=-100)
    program = Program(tensors, (Pool("pool", "x", "p", (2, 2)), layer), Arithmetic(24, 10, 3, "half_even"))
    model = onnx_model(program, scales={"x": 0.25})
    kinds = {value.name: (value.type.tensor_type.elem_type, [d.dim_param or d.dim_value
                                                             for d in value.type.tensor_type.shape.dim])
             for value in (*model.graph.input, *model.graph.value_info, *model.graph.output)}
    assert kinds["x"] == (onnx.TensorProto.INT8, ["N", 2, 4, 4])
    assert kinds["y"] == (onnx.TensorProto.INT32, ["N", 5, 3, 3])
    assert {name for node in model.graph.node for name in node.output} <= kinds.keys()
    (declared,) = (value for value in model.graph.input if value.name == "x")
    assert declared.doc_string == "signed, 3 bits: codes -4..3, zero point -1"
    properties = {entry.key: json.loads(entry.value) for entry in model.metadata_props}
    assert properties["bitwright_arithmetic"] == {
        "acc_bits": 24, "window": 10, "terms": 3, "rounding": "half_even", "wrap": False}
    assert properties["bitwright_tensors"]["x"] == {
        "bits": 3, "kind": "signed", "zero_point": -1, "parts": [2], "scale": 0.25}
    assert "scale" not in properties["bitwright_tensors"]["y"]
    assert properties["bitwright_weights"] == {"layer": {"bits": 2, "kind": "signed"}}
    (sums,) = (node for node in model.graph.node if node.op_type == "ConvInteger")
    assert sums.doc_string == "Conv 'layer': sums of raw codes of 'p', weights signed2"


def test_only_wanted_tensors_are_outputs() -> None:
    """Without `tensors` those that no op reads; with it all that ops write."""
    program = random_program(np.random.default_rng(7), random_machine(np.random.default_rng(7)), traits=["residual"])
    plain, every = onnx_model(program), onnx_model(program, tensors=True)
    written = [tensor.name for tensor in program.tensors if tensor not in program.inputs]
    assert len(written) > len(program.outputs)
    assert [value.name for value in plain.graph.output] == [tensor.name for tensor in program.outputs]
    assert [value.name for value in every.graph.output] == written


def test_names_that_values_of_the_model_would_have() -> None:
    """Tensors keep their names, whatever they are; nodes and constants get others, each once."""
    one, names = np.ones((1, 1, 1, 1), np.int8), ("op/acc", "op/weights", "op/scaled", "y/bits", "op/acc_2")
    tensors = tuple(Tensor(name, 1, 1, (1,), SIGNED) for name in names)
    ops = tuple(conv("op" if i == 0 else f"op{i}", before, after, one, low=-128, high=127)
                for i, (before, after) in enumerate(pairwise(names)))
    program = Program(tensors, ops)
    check(program, {"op/acc": np.full((1, 1, 1, 1), -3, np.int32)})
    nodes = [node.name for node in onnx_model(program).graph.node]
    assert len(nodes) == len({*nodes})


def test_the_same_program_gives_the_same_bytes() -> None:
    """Nothing in the file depends on when or where it is written."""
    one, two = (onnx_model(random_program(np.random.default_rng(4), random_machine(np.random.default_rng(4))))
                for _ in range(2))
    assert one.SerializeToString(deterministic=True) == two.SerializeToString(deterministic=True)


def test_weights_are_uint8() -> None:
    """Products of uint8 and int8 saturate on CPUs without VNNI, and ONNX Runtime 1.20 has no kernel for them."""
    program = random_program(np.random.default_rng(1), random_machine(np.random.default_rng(1)), kinds=["dense"])
    model = onnx_model(program)
    kinds = {constant.name: constant.data_type for constant in model.graph.initializer}
    sums = [node for node in model.graph.node if node.op_type == "ConvInteger"]
    assert sums
    assert {kinds[name] for node in sums for name in node.input[1:]} == {onnx.TensorProto.UINT8}


def test_refusals() -> None:
    """A Program without ops has no model; scales must be finite numbers above 0 of tensors that there are."""
    source = Tensor("x", 1, 1, (1,), BYTE)
    with pytest.raises(InputError, match=r"^a model must have an op that writes a tensor; the program has none$"):
        onnx_model(Program((source,), ()))
    program = Program((source, Tensor("y", 1, 1, (1,), BYTE)), (Pool("p", "x", "y", (1, 1)),))
    with pytest.raises(InputError, match=r"^no tensor named 'z'; there are x, y$"):
        onnx_model(program, scales={"z": 1.0})
    wrong = "the scale of tensor 'x' must be a finite number above 0, not"
    for scale in (0, -1, float("inf"), float("nan")):
        with pytest.raises(InputError, match=rf"^{wrong} {scale}$"):
            onnx_model(program, scales={"x": scale})
