"""Every rule of a Program: what breaks it is refused with a sentence that says what, the limit, and what came."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from sim.errors import InputError
from sim.ir.arithmetic import Arithmetic
from sim.ir.formats import Format
from sim.ir.ops import Conv, Pool, Table, Tensor
from sim.ir.program import Program

S4 = Format(4, "signed")
U4 = Format(4, "unsigned")
DIGIT = np.ones((3, 1), np.int8)
ZEROS = np.zeros(3, np.int64)

TENSORS = {
    "image": Tensor("image", 6, 5, (2,), U4),
    "old": Tensor("old", 6, 5, (1, 3), U4),
    "both": Tensor("both", 6, 5, (3, 3), S4),
    "deep": Tensor("deep", 6, 5, (3,), S4),
    "small": Tensor("small", 3, 3, (3,), S4),
}
OPS = {
    "first": Conv("first", "image", "both", np.ones((3, 2, 3, 3), np.int8), S4, DIGIT, ZEROS, ZEROS, -8, 7,
                  pads=(1, 1, 1, 1), residual="old", residual_part=1, residual_multiplier=DIGIT),
    "second": Conv("second", "image", "both", np.ones((3, 2, 1, 1), np.int8), S4, DIGIT, ZEROS, ZEROS, -8, 7,
                   output_part=1),
    "third": Conv("third", "both", "deep", np.ones((3, 6, 1, 1), np.int8), S4, DIGIT, ZEROS, ZEROS, -8, 7),
    "pool": Pool("pool", "deep", "small", (2, 2), (2, 2), (0, 1, 0, 0)),
}
ARITHMETIC = Arithmetic(acc_bits=16, window=8, terms=2)


def program(tensors: dict[str, Tensor] = TENSORS, ops: dict[str, Conv | Pool] = OPS,
            **arithmetic: object) -> Program:
    return Program(tuple(tensors.values()), tuple(ops.values()), replace(ARITHMETIC, **arithmetic))


def refusal(make: Callable[[], object]) -> str:
    """The message with which `make` is refused."""
    with pytest.raises(InputError) as caught:
        make()
    return str(caught.value)


def test_the_program_that_the_others_break_is_legal() -> None:
    """Every refusal below comes from its one change."""
    assert program().outputs == (TENSORS["small"],)


@pytest.mark.parametrize(("name", "fields", "message"), [
    ("image", {"name": "deep"}, "tensor 'deep': the name is used twice"),
    ("small", {"format": Format(17, "signed")}, "tensor 'small': a code has at most acc_bits = 16 bits, not 17"),
    ("deep", {"format": Format(9, "signed")},
     "op 'pool': reads 'deep' of 9 bits; engines read at most 8"),
    ("both", {"parts": (3, 3, 3)}, "op 'third': reads 'both' before part 2 of it is written"),
    ("small", {"parts": (2, 1)}, "op 'pool': output parts must be (3,), not (2, 1)"),
    ("small", {"format": U4}, "op 'pool': output format must be signed4, not unsigned4"),
    ("small", {"width": 2}, "op 'pool': output 'small' must be 3 x 3, not 3 x 2"),
    ("old", {"height": 5}, "op 'first': residual must have shape (3, 6, 5), not (3, 5, 5)"),
    ("old", {"parts": (1, 4)}, "op 'first': residual must have shape (3, 6, 5), not (4, 6, 5)"),
])
def test_tensors(name: str, fields: dict[str, object], message: str) -> None:
    """Tensors suit the ops that write and read them."""
    assert refusal(lambda: program(TENSORS | {name: replace(TENSORS[name], **fields)})) == message


def test_unsigned_codes_of_32_bits_are_refused() -> None:
    """Codes are int32, in which the upper half of them has no place."""
    wide = TENSORS | {"small": replace(TENSORS["small"], format=Format(32, "unsigned"))}
    message = refusal(lambda: program(wide, acc_bits=32))
    assert message == "tensor 'small': codes must fit 32 signed bits, not unsigned32"


def test_parts_that_are_never_written() -> None:
    """A part without a writer is refused even when nothing reads it."""
    ops = {name: OPS[name] for name in ("first",)}
    tensors = {name: TENSORS[name] for name in ("image", "old", "both")}
    assert refusal(lambda: program(tensors, ops)) == "tensor 'both': part 1 is never written"


def test_parts_that_are_written_twice() -> None:
    """Two ops cannot write the same part."""
    ops = OPS | {"second": replace(OPS["second"], output_part=0)}
    assert refusal(lambda: program(ops=ops)) == "op 'second': part 0 of 'both' is already written"


def test_ops_in_the_wrong_order() -> None:
    """An op cannot read what a later one writes."""
    ops = dict(reversed(OPS.items()))
    assert refusal(lambda: program(ops=ops)) == "op 'pool': reads 'deep' before part 0 of it is written"


@pytest.mark.parametrize(("op", "fields", "message"), [
    ("second", {"name": "first"}, "op 'first': the name is used twice"),
    ("first", {"input": "nil"}, "op 'first': input 'nil' is not a tensor of the program"),
    ("first", {"output": "nil"}, "op 'first': output 'nil' is not a tensor of the program"),
    ("first", {"residual": "nil"}, "op 'first': residual 'nil' is not a tensor of the program"),
    ("first", {"residual": "image"}, "op 'first': input, residual and output must be different tensors"),
    ("first", {"residual_part": 2}, "op 'first': residual_part must be in 0..1, not 2"),
    ("first", {"residual_part": -1}, "op 'first': residual_part must be in 0..1, not -1"),
    ("first", {"residual_part": 0}, "op 'first': residual must have shape (3, 6, 5), not (1, 6, 5)"),
    ("first", {"residual": None}, "op 'first': residual_multiplier without a residual"),
    ("second", {"output_part": 2}, "op 'second': output_part must be in 0..1, not 2"),
    ("second", {"output_part": -1}, "op 'second': output_part must be in 0..1, not -1"),
    ("third", {"input_parts": (1, 3)},
     "op 'third': input_parts must be two of 0..2, the first part and the one after the last, not (1, 3)"),
    ("third", {"input_parts": (1, 1)},
     "op 'third': input_parts must be two of 0..2, the first part and the one after the last, not (1, 1)"),
    ("third", {"input_parts": (1,)},
     "op 'third': input_parts must be two of 0..2, the first part and the one after the last, not (1,)"),
    ("third", {"input_parts": (1, 2)}, "op 'third': weights must start with shape (3, 3), not (3, 6)"),
    ("pool", {"input_parts": (0, 2)},
     "op 'pool': input_parts must be two of 0..1, the first part and the one after the last, not (0, 2)"),
    ("third", {"groups": 3, "weights": np.ones((3, 1, 1, 1), np.int8)},
     "op 'third': groups must be 1, or divide 3 and the channels of an input of one part, not 3 with parts of (3, 3)"),
])
def test_references(op: str, fields: dict[str, object], message: str) -> None:
    """Names and parts lead to tensors that suit."""
    assert refusal(lambda: program(ops=OPS | {op: replace(OPS[op], **fields)})) == message


ONES = np.ones((3, 2, 3, 3), np.int8)


@pytest.mark.parametrize(("fields", "message"), [
    ({"weights": ONES.astype(np.int64)}, "weights must be int8 of shape (O, C, kh, kw), not int64 (3, 2, 3, 3)"),
    ({"weights": ONES[0]}, "weights must be int8 of shape (O, C, kh, kw), not int8 (2, 3, 3)"),
    ({"weights": ONES[:2]}, "weights must start with shape (3, 2), not (2, 2)"),
    ({"weights": ONES[:, :1]}, "weights must start with shape (3, 2), not (3, 1)"),
    ({"weights": ONES, "groups": 3},
     "groups must be 1, or divide 3 and the channels of an input of one part, not 3 with parts of (2,)"),
    ({"weights": ONES, "groups": 3, "input": "one"}, "weights must start with shape (3, 1), not (3, 2)"),
    ({"groups": 2}, "groups must be 1, or divide 3 and the channels of an input of one part, not 2 with parts of (2,)"),
    ({"groups": 0}, "groups must be in 1..16777216, not 0"),
    ({"prefer_depthwise": True}, "a depthwise op with groups 1 has one channel in and out, not 2 and 3"),
    ({"weights": ONES[:, :, :0]}, "kernel must be in 1..16777216, not 0"),
    ({"weights": ONES * 8}, "weights: code 8 at (0, 0, 0, 0) is outside -8..7 of signed4"),
    ({"weight_format": Format(1, "unit")}, "unit weights are for depthwise ops only"),
    ({"weight_format": Format(1, "bipolar"), "groups": 3, "weights": ONES[:, :1], "input": "one"},
     "bipolar weights are for dense ops only"),
    ({"weight_format": Format(4, "signed", 1)}, "weights have zero point 0, not 1"),
    ({"weight_format": Format(9, "signed")}, "signed weights have at most 8 bits, not 9"),
    ({"weight_format": Format(8, "unsigned")}, "unsigned weights have at most 7 bits, not 8"),
    ({"stride": (0, 1)}, "stride must be in 1..16777216, not 0"),
    ({"stride": 2}, "stride must be two numbers, vertical and horizontal, not 2"),
    ({"dilation": (1, 0)}, "dilation must be in 1..16777216, not 0"),
    ({"dilation": (1,)}, "dilation must be two numbers, vertical and horizontal, not (1,)"),
    ({"pads": (1, 1, -1, 1)}, "a pad must be in 0..16777216, not -1"),
    ({"pads": (1, 1)}, "pads must be four numbers, top, left, bottom and right"),
    ({"pads": (1, 1, 2, 1)}, "output 'both' must be 7 x 5, not 6 x 5"),
    ({"stride": (2, 2)}, "output 'both' must be 3 x 3, not 6 x 5"),
    ({"stride": (3, 1)}, "output 'both' must be 2 x 5, not 6 x 5"),
    ({"dilation": (3, 3)}, "output 'both' must be 2 x 1, not 6 x 5"),
    ({"dilation": (1, 3)}, "output 'both' must be 6 x 1, not 6 x 5"),
    ({"low": -9}, "low..high must lie in -8..7, not -9..7"),
    ({"high": 8}, "low..high must lie in -8..7, not -8..8"),
    ({"low": 3, "high": 2}, "low..high must lie in -8..7, not 3..2"),
    ({"shift": ZEROS[:2]}, "shift must be int64 of shape (3,), not int64 (2,)"),
    ({"offset": ZEROS.astype(np.int32)}, "offset must be int64 of shape (3,), not int32 (3,)"),
    ({"shift": np.array([0, 24, 0])}, "shift must be in 0..23, not 0..24"),
    ({"shift": np.array([0, -1, 0])}, "shift must be in 0..23, not -1..0"),
    ({"offset": np.array([0, 1 << 23, 0])}, "offset must stay below 8388608 in magnitude, not 8388608"),
    ({"offset": np.array([0, 0, -(1 << 23)])}, "offset must stay below 8388608 in magnitude, not -8388608"),
    ({"offset": np.array([-(2**63), 0, 0])},
     "offset must stay below 8388608 in magnitude, not -9223372036854775808"),
    ({"multiplier": DIGIT[:2]}, "multiplier: must be int8 of shape (3, terms), not int8 (2, 1)"),
    ({"multiplier": DIGIT[:, 0]}, "multiplier: must be int8 of shape (3, terms), not int8 (3,)"),
    ({"multiplier": DIGIT.astype(np.int64)}, "multiplier: must be int8 of shape (3, terms), not int64 (3, 1)"),
    ({"multiplier": np.array([[3, 2, 1]] * 3, np.int8)}, "multiplier: at most 2 digits, not 3"),
    ({"multiplier": DIGIT * 9}, "multiplier: exponents must be in 0..7, not 8"),
    ({"multiplier": DIGIT * -128}, "multiplier: exponents must be in 0..7, not 127"),
    ({"multiplier": np.array([[2, 2]] * 3, np.int8)},
     "multiplier: digits must have falling exponents, absent ones last"),
    ({"multiplier": np.array([[2, -3]] * 3, np.int8)},
     "multiplier: digits must have falling exponents, absent ones last"),
    ({"multiplier": np.array([[0, 1]] * 3, np.int8)},
     "multiplier: digits must have falling exponents, absent ones last"),
    ({"residual_multiplier": DIGIT * 16}, "residual_multiplier: exponents must be in 0..14, not 15"),
    ({"residual_multiplier": DIGIT[:1]}, "residual_multiplier: must be int8 of shape (3, terms), not int8 (1, 1)"),
])
def test_convolutions(fields: dict[str, object], message: str) -> None:
    """Weights, window, clamp and requantizer have their shapes, types and ranges."""
    tensors = TENSORS | {"one": Tensor("one", 6, 5, (3,), U4)}
    conv = replace(OPS["first"], **fields)
    assert refusal(lambda: program(tensors, OPS | {"first": conv})) == f"op 'first': {message}"


def test_groups_of_several_channels() -> None:
    """A layer of two groups has half the weights; it needs as many of them as inputs, and weights that can be 0."""
    tensors = TENSORS | {"deep": replace(TENSORS["deep"], parts=(4,)), "small": replace(TENSORS["small"], parts=(4,)),
                         "six": Tensor("six", 6, 5, (6,), U4)}
    four = {"multiplier": np.ones((4, 1), np.int8), "shift": np.zeros(4, np.int64), "offset": np.zeros(4, np.int64)}
    conv = replace(OPS["third"], input="six", weights=np.ones((4, 3, 1, 1), np.int8), groups=2, **four)
    ops = OPS | {"third": conv, "old": replace(OPS["third"], name="old", output="other")}
    tensors["other"] = replace(TENSORS["deep"], name="other")
    assert program(tensors, ops).convs[2].grouped
    for fields, message in (
            ({"weights": np.ones((4, 6, 1, 1), np.int8)}, "weights must start with shape (4, 3), not (4, 6)"),
            ({"weight_format": Format(1, "bipolar")}, "bipolar weights are for dense ops only"),
            ({"groups": 4},
             "groups must be 1, or divide 4 and the channels of an input of one part, not 4 with parts of (6,)")):
        broken = ops | {"third": replace(conv, **fields)}
        assert refusal(lambda broken=broken: program(tensors, broken)) == f"op 'third': {message}"


THREE = Table(Format(3, "unsigned", zero_point=1), np.arange(-1, 7, dtype=np.int16))


@pytest.mark.parametrize(("fields", "message"), [
    ({"low": 0, "high": 8}, "low..high must lie in 0..7, not 0..8"),
    ({"low": -8}, "low..high must lie in 0..7, not -8..7"),
    ({"table": replace(THREE, index=Format(3, "signed"))}, "a table has an unsigned index, not signed"),
    ({"table": replace(THREE, index=Format(9, "unsigned"))}, "a table's index has at most 8 bits, not 9"),
    ({"table": replace(THREE, index=Format(2, "unsigned"))}, "table must be int16 of shape (4,), not int16 (8,)"),
    ({"table": replace(THREE, codes=THREE.codes.astype(np.int8))},
     "table must be int16 of shape (8,), not int8 (8,)"),
    ({"table": replace(THREE, codes=THREE.codes + np.int16(2))}, "table: code 8 at (7,) is outside -8..7 of signed4"),
])
def test_tables(fields: dict[str, object], message: str) -> None:
    """A table has an unsigned index, whose codes the clamp keeps to, and a code of the output for each of them."""
    conv = replace(OPS["third"], low=0, high=7, table=THREE)
    assert program(ops=OPS | {"third": conv}).convs[-1] is conv
    assert refusal(lambda: program(ops=OPS | {"third": replace(conv, **fields)})) == f"op 'third': {message}"


def test_wide_outputs_have_no_table() -> None:
    """A memory of bytes holds the codes, so the output has at most 8 bits."""
    wide = Tensor("wide", 6, 5, (3,), Format(9, "signed"))
    tensors = {"image": TENSORS["image"], "old": TENSORS["old"], "wide": wide}
    conv = replace(OPS["first"], output="wide", low=0, high=7, table=THREE)
    message = refusal(lambda: program(tensors, {"first": conv}))
    assert message == "op 'first': the output of a table has at most 8 bits, not 9"


@pytest.mark.parametrize(("fields", "message"), [
    ({"kernel": (0, 2)}, "kernel must be in 1..16777216, not 0"),
    ({"stride": (1, 0)}, "stride must be in 1..16777216, not 0"),
    ({"pads": (0, 0, 0, 0)}, "output 'small' must be 3 x 2, not 3 x 3"),
    ({"pads": (0, 2, 0, 0)}, "left pad must be below the kernel's 2, not 2"),
    ({"kernel": (1, 2), "stride": (2, 2), "pads": (1, 1, 0, 0)}, "output 'small' must be 4 x 3, not 3 x 3"),
    ({"kernel": (2, 3), "stride": (3, 3), "pads": (2, 1, 2, 2)}, "top pad must be below the kernel's 2, not 2"),
])
def test_pools(fields: dict[str, object], message: str) -> None:
    """A pool's window fits, and no window lies in the padding alone."""
    tensors = TENSORS
    if fields.get("stride") == (3, 3):
        tensors = TENSORS | {"small": replace(TENSORS["small"], height=3, width=2)}
    pool = replace(OPS["pool"], **fields)
    assert refusal(lambda: program(tensors, OPS | {"pool": pool})) == f"op 'pool': {message}"


def test_a_pool_has_the_parts_that_it_reads() -> None:
    """Not those of its whole input."""
    tensors = {name: tensor for name, tensor in TENSORS.items() if name != "deep"}
    pool, ops = replace(OPS["pool"], input="both"), {name: op for name, op in OPS.items() if name != "third"}
    assert program(tensors, ops | {"pool": replace(pool, input_parts=(1, 2))}).outputs == (TENSORS["small"],)
    assert refusal(lambda: program(tensors, ops | {"pool": pool})) == (
        "op 'pool': output parts must be (3, 3), not (3,)")


def test_limits_themselves_are_legal() -> None:
    """The largest offset, shift, exponents and number of digits that the messages allow are accepted."""
    conv = replace(OPS["first"], offset=np.array([(1 << 23) - 1, 1 - (1 << 23), 0]), shift=np.array([23, 0, 1]),
                   multiplier=np.array([[8, -1], [-8, 0], [0, 0]], np.int8), residual_multiplier=DIGIT * 15,
                   low=7, high=7)
    assert program(ops=OPS | {"first": conv}).convs[0] is conv


def accumulating(weights: np.ndarray, fmt: Format, bits: int, source: Format) -> Program:
    """A Program with one convolution of one pixel."""
    outputs, inputs = weights.shape
    conv = Conv("c", "a", "b", weights.reshape(outputs, inputs, 1, 1).astype(np.int8), fmt,
                np.ones((outputs, 1), np.int8), np.zeros(outputs, np.int64), np.zeros(outputs, np.int64), 0, 1)
    tensors = (Tensor("a", 1, 1, (inputs,), source), Tensor("b", 1, 1, (outputs,), Format(1, "unsigned")))
    return Program(tensors, (conv,), Arithmetic(acc_bits=bits))


@pytest.mark.parametrize(("weights", "fmt", "source", "bound"), [
    ([[7, -8, 7]], S4, Format(4, "unsigned"), 22 * 15),
    ([[7, -8, 7]], S4, Format(4, "signed"), 22 * 8),
    ([[0, -8, 0]], S4, Format(4, "signed"), 8 * 8),
    ([[1, 0, 1]], Format(1, "bipolar"), Format(4, "unsigned"), 3 * 15),
    ([[0, 0, 0]], Format(1, "bipolar"), Format(4, "signed"), 3 * 8),
])
def test_accumulators_that_could_overflow(weights: list[list[int]], fmt: Format, source: Format, bound: int) -> None:
    """The bound is the sum of |w| times the largest |code|; the fewest bits that hold it are the fewest accepted."""
    enough = bound.bit_length() + 1
    table = np.array([[0] * 3, *weights] if fmt.kind != "bipolar" else weights)
    accumulating(table, fmt, enough, source)
    assert refusal(lambda: accumulating(table, fmt, enough - 1, source)) == (
        f"op 'c': the accumulator of channel {len(table) - 1} can reach {bound}; {enough - 1} bits hold "
        f"{2 ** (enough - 2) - 1} (declare wrap, or use a wider accumulator or fewer bits)")
