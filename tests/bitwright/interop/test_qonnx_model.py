"""QONNX models give a Program's codes when Quant and BipolarQuant are computed as their definitions say."""

from collections.abc import Mapping

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from bitwright.interop.qonnx_model import qonnx_model
from sim.errors import InputError
from sim.functional.reference import simulate
from sim.ir.arithmetic import Arithmetic
from sim.ir.formats import Format
from sim.ir.ops import Conv, Table, Tensor
from sim.ir.program import Program
from sim.ir.signed_digits import digits_of
from sim.plan.plan import plan
from sim.testing import TRAITS, RandomChoices, SteeredChoices, corner_inputs, random_machine, random_program

BYTE, SIGNED = Format(8, "unsigned"), Format(8, "signed")
ROUNDINGS = {"FLOOR": np.floor, "ROUND": np.rint}
KINDS = ("dense", "linear", "depthwise", "average", "add")
"""No max pooling: the reference evaluator of onnx 1.23 refuses some legal pads of it."""


class Quant(OpRun):
    """Scale, add the zero point, clamp, round, and take both back; signed codes of one bit would be bipolar."""

    op_domain = "qonnx.custom_op.general"

    def _run(self, x, scale, zero, bits, signed=None, narrow=None, rounding_mode=None):
        assert not (signed and bits == 1)
        low = -(2 ** (int(bits) - 1)) + narrow if signed else 0
        high = 2 ** (int(bits) - 1) - 1 if signed else 2 ** int(bits) - 1 - narrow
        codes = ROUNDINGS[rounding_mode](np.clip(x / scale + zero, low, high))
        return (((codes - zero) * scale).astype(np.float32),)


class BipolarQuant(OpRun):
    """The scale with the sign of the value, plus at 0."""

    op_domain = "qonnx.custom_op.general"

    def _run(self, x, scale):
        return (np.where(x >= 0, scale, -scale).astype(np.float32),)


def conv(weights: NDArray[np.int8], **fields: object) -> Conv:
    """Make a Conv from x to y of signed 8-bit weights that puts out its sums, unless told otherwise."""
    channels = len(weights)
    options = {"weight_format": SIGNED, "multiplier": digits_of([[1]] * channels), "low": 0, "high": 255,
               "shift": np.zeros(channels, np.int64), "offset": np.zeros(channels, np.int64), **fields}
    return Conv("layer", "x", "y", weights, **options)


def check(program: Program, inputs: Mapping[str, NDArray[np.int32]]) -> onnx.ModelProto:
    """Every tensor of every image has the simulator's codes less the zero point; return the model."""
    model = qonnx_model(program, tensors=True)
    evaluator, codes = ReferenceEvaluator(model, new_ops=[Quant, BipolarQuant]), simulate(program, inputs)
    values = {name: array - np.int64(program.tensor(name).format.zero_point) for name, array in codes.items()}
    for image in range(len(next(iter(inputs.values())))):
        found = evaluator.run(None, {name: values[name][image : image + 1].astype(np.float32) for name in inputs})
        for value, array in zip(model.graph.output, found, strict=True):
            np.testing.assert_array_equal(array, values[value.name][image : image + 1], err_msg=value.name)
    return model


def count(model: onnx.ModelProto, kind: str) -> int:
    return sum(node.op_type == kind for node in model.graph.node)


@pytest.mark.parametrize("first", range(0, 24, 8))
def test_random_programs_and_their_plans(first: int) -> None:
    """All kinds of layers, whose rounding is left to a Quant wherever that is exact."""
    kinds = set[str]()
    for seed in range(first, first + 8):
        rng = np.random.default_rng(seed)
        machine = random_machine(rng)
        program = random_program(rng, machine, kinds=KINDS, traits=[trait for trait in TRAITS if trait != "table"])
        inputs = corner_inputs(rng, program, 2)
        for one in (program, plan(program, machine).program):
            kinds |= {node.op_type for node in check(one, inputs).graph.node}
    assert kinds >= {"Quant", "Conv", "Concat", "Slice", "Identity", "Mul", "Add", "Clip"}


def test_random_programs_with_lattices() -> None:
    """Interleaved and stacked maps are spread over zeros and added."""
    for seed in range(4):
        rng = np.random.default_rng(seed)
        choices = SteeredChoices(RandomChoices(rng), [{"lattice": [True]}] * 3, obedience=1)
        traits = [*(trait for trait in TRAITS if trait != "table"), "lattice"]
        program = random_program(choices, random_machine(rng), kinds=KINDS, traits=traits)
        check(program, corner_inputs(rng, program, 2))


def test_random_programs_that_wrap() -> None:
    """Sums of raw codes are wrapped, not those of code - zero point."""
    wrapped = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        machine = random_machine(rng).model_copy(update={"acc_bits": 10})
        wraps = SteeredChoices(RandomChoices(rng), [{"wrap": [True]}], obedience=1)
        program = random_program(wraps, machine, kinds=KINDS, traits=("wrap", "residual", "concat", "bipolar"))
        wrapped += count(check(program, corner_inputs(rng, program, 2)), "Mod")
    assert wrapped


def test_sums_beyond_float32_are_several_convs() -> None:
    """8-bit weights of 1500 channels reach 49 million: three Convs whose sums float32 holds, added in float64."""
    rng, wide = np.random.default_rng(0), Format(24, "signed")
    layer = conv(rng.choice([-128, 127], (4, 1500, 1, 1)).astype(np.int8), low=wide.low, high=wide.high,
                 shift=np.full(4, 3))
    program = Program((Tensor("x", 1, 2, (1500,), BYTE), Tensor("y", 1, 2, (4,), wide)), (layer,))
    model = check(program, corner_inputs(rng, program, 4))
    assert count(model, "Conv") == 3
    assert onnx.TensorProto.DOUBLE in {constant.data_type for constant in model.graph.initializer}


def test_small_layers_are_float32_and_their_quant_rounds() -> None:
    """Where 24 bits suffice there is neither a Cast nor a Floor."""
    layer = conv(np.full((2, 3, 2, 2), -3, np.int8), shift=np.array([2, 3]), offset=np.array([5, 700]))
    program = Program((Tensor("x", 4, 4, (3,), Format(4, "signed", zero_point=2)), Tensor("y", 3, 3, (2,), BYTE)),
                      (layer,))
    model = check(program, corner_inputs(np.random.default_rng(0), program, 4))
    assert [node.op_type for node in model.graph.node] == ["Quant", "Quant", "Conv", "Mul", "Add", "Quant"]
    assert {constant.data_type for constant in model.graph.initializer} == {onnx.TensorProto.FLOAT}


@pytest.mark.parametrize("rounding", ["half_up", "half_even", "floor"])
@pytest.mark.parametrize("zero", [0, 100, 101])
@pytest.mark.parametrize("shift", [1, 20, 42])
def test_a_zero_point_changes_no_rounding(rounding: str, zero: int, shift: int) -> None:
    """Ties go where the contract says, and sums with a fraction too fine to add the zero point to are rounded first."""
    arithmetic = Arithmetic(acc_bits=24, window=24, terms=2, rounding=rounding)
    step = 1 << (shift - 1)
    offset = np.array([-1, 0, 1, step, step - 1, -step, -step - 1, 3 * step, 3 * step + 1, -3 * step]).clip(
        -(1 << 47) + 1, (1 << 47) - 1)
    layer = conv(np.zeros((10, 1, 1, 1), np.int8), shift=np.full(10, shift), offset=offset)
    program = Program((Tensor("x", 1, 1, (1,), BYTE), Tensor("y", 1, 1, (10,), Format(8, "unsigned", zero))), (layer,),
                      arithmetic)
    check(program, {"x": np.zeros((1, 1, 1, 1), np.int32)})


def test_codes_of_more_than_24_bits_have_no_quant() -> None:
    """A Quant makes float32; such tensors are float64."""
    rng, wide = np.random.default_rng(0), Format(30, "signed", zero_point=-5)
    layer = conv(rng.integers(-128, 128, (4, 9, 1, 1)).astype(np.int8), low=-(1 << 29), high=1 << 28,
                 multiplier=digits_of([[12], [9, -1], [12], [1]]))
    program = Program((Tensor("x", 1, 2, (9,), BYTE), Tensor("y", 1, 2, (4,), wide)), (layer,))
    model = check(program, corner_inputs(rng, program, 4))
    assert model.graph.output[0].type.tensor_type.elem_type == onnx.TensorProto.DOUBLE


def test_constants_beyond_a_protobuf_message_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence has the limit and how many bytes the constants take: here four for a weight, and others."""
    layer = conv(np.ones((8, 100, 1, 1), np.int8))
    program = Program((Tensor("x", 1, 1, (100,), BYTE), Tensor("y", 1, 1, (8,), BYTE)), (layer,))
    held = sum(len(constant.raw_data) for constant in qonnx_model(program).graph.initializer)
    assert held > 3200
    monkeypatch.setattr("bitwright.interop.onnx_file.MOST_BYTES", held)
    qonnx_model(program)
    monkeypatch.setattr("bitwright.interop.onnx_file.MOST_BYTES", held - 1)
    with pytest.raises(InputError, match=rf"^the constants of an ONNX model may take {held - 1} bytes, not {held}$"):
        qonnx_model(program)


def test_tables_are_refused() -> None:
    """QONNX says nothing of the codes in between, so a Conv that ends in a table has no model."""
    table = Table(BYTE, np.arange(256, dtype=np.int16))
    layer = conv(np.ones((1, 1, 1, 1), np.int8), table=table)
    program = Program((Tensor("x", 1, 1, (1,), BYTE), Tensor("y", 1, 1, (1,), BYTE)), (layer,))
    with pytest.raises(InputError, match=r"^op 'layer': ends in a table, which QONNX has no node for; ONNX has one$"):
        qonnx_model(program)


def test_what_float32_cannot_hold_is_refused() -> None:
    """One channel cannot be cut further; the sentence has the sum and the limit."""
    layer = conv(np.full((1, 1, 40, 40), -128, np.int8))
    program = Program((Tensor("x", 40, 40, (1,), BYTE), Tensor("y", 1, 1, (1,), BYTE)), (layer,))
    with pytest.raises(InputError, match=r"^op 'layer': the window of one input channel can reach 52224000; the "
                                         r"float32 of QONNX holds whole numbers up to 16777216$"):
        qonnx_model(program)
