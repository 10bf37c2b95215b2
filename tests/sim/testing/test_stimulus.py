"""The generator itself: legal by construction, fitting as a rule, and never far from a corner."""

from collections import Counter

import numpy as np
import pytest

from sim.errors import InputError
from sim.functional.reference import accumulate, simulate
from sim.ir.formats import Format
from sim.ir.ops import Conv, Layer, Tensor
from sim.ir.program import Program
from sim.ir.signed_digits import digit_counts, multipliers
from sim.plan.plan import plan
from sim.testing import KINDS, TRAITS, corner_codes, corner_inputs, random_machine, random_program


def drafted(seeds: range, **options: object) -> list[tuple[Program, object]]:
    """Programs and their machines."""
    found = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        machine = random_machine(rng)
        found.append((random_program(rng, machine, **options), machine))
    return found


def test_nine_in_ten_fit_their_machine() -> None:
    """Planning refuses few of the Programs, so that tests of the hardware need not search for one."""
    fitting = 0
    for program, machine in drafted(range(100)):
        try:
            plan(program, machine)
            fitting += 1
        except InputError:
            continue
    assert fitting >= 90


def test_everything_occurs() -> None:
    """Among 300 Programs is every kind, trait, rounding, number of digits, stride and dilation, and M = 0."""
    seen: Counter[object] = Counter()
    for program, _ in drafted(range(300)):
        arithmetic = program.arithmetic
        seen.update([arithmetic.rounding, ("wrap", arithmetic.wrap), ("inputs", len(program.inputs) > 1)])
        seen.update(("parts", len(tensor.parts)) for tensor in program.tensors)
        seen.update(("wide", tensor.format.bits > 8) for tensor in program.tensors)
        for op in program.ops:
            seen[type(op).__name__] += 1
            if isinstance(op, Layer):
                seen.update([("stride", op.stride[0]), ("pads", any(op.pads)),
                             ("unequal strides", op.stride[0] != op.stride[1])])
            if isinstance(op, Conv):
                seen.update([op.weight_format.kind, ("depthwise", op.depthwise), ("T", op.terms),
                             ("Tr", op.residual_terms), ("dilation", op.dilation[0]),
                             ("unequal dilations", op.dilation[0] != op.dilation[1]),
                             ("bits", op.weight_format.bits), ("part", op.residual_part),
                             ("table", op.table is not None)])
                seen.update(("no shift", True) for n in op.shift if n == 0)
                seen.update(("constant", True) for count in digit_counts(op.multiplier) if count == 0)
                seen.update(("negative", True) for m in multipliers(op.multiplier) if m < 0)
    expected = ["half_up", "half_even", "floor", "Conv", "Pool", "Load", "Store", "signed", "unsigned", "bipolar",
                "unit", ("wrap", True), ("inputs", True), ("parts", 2), ("wide", True), ("pads", True),
                ("depthwise", True), ("table", True), ("unequal strides", True), ("unequal dilations", True),
                ("part", 1), ("no shift", True), ("constant", True), ("negative", True),
                *(("stride", s) for s in (1, 2, 3)), *(("dilation", d) for d in (1, 2)),
                *(("bits", b) for b in range(1, 9)), *(("T", t) for t in (1, 2, 3, 4)),
                *(("Tr", t) for t in (0, 1, 2, 3, 4))]
    assert [what for what in expected if not seen[what]] == []


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_can_be_chosen(kind: str) -> None:
    """Without traits, a Program holds only the kind that was asked for; adds and products always have a residual."""
    for program, _ in drafted(range(10), kinds=[kind], traits=[]):
        for op in program.ops:
            assert isinstance(op, Conv) == (kind != "max")
            if isinstance(op, Conv):
                assert op.depthwise == (kind in ("depthwise", "average", "add", "gate"))
                assert (op.residual is not None) == (kind in ("add", "gate"))
                assert (op.weight_format.kind == "unit") == (kind in ("average", "add", "gate"))
                assert kind == "gate" or op.gate is None
    assert "wrap" in TRAITS


def test_ties_clamps_and_middles_occur() -> None:
    """On fresh codes, a quarter of the channels meet an exact tie, as many clamp at both ends, as many vary."""
    ties = clamped = varied = channels = 0
    for seed, (program, _) in enumerate(drafted(range(100), layers=1, traits=[], kinds=["dense"])):
        codes = simulate(program, corner_inputs(np.random.default_rng(seed), program, 4))
        (conv,) = program.convs
        acc = accumulate(conv, program.tensor(conv.input), codes[conv.input])
        for o, (m, n) in enumerate(zip(multipliers(conv.multiplier), conv.shift, strict=True)):
            v = conv.offset[o] + m * acc[:, o]
            out = codes[conv.output][:, o]
            channels += 1
            ties += bool(n and np.any(v % (1 << n) == 1 << (n - 1)))
            clamped += bool(np.any(out == conv.low) and np.any(out == conv.high))
            varied += len(np.unique(out)) > 2
    assert ties > channels / 4
    assert clamped > channels / 4
    assert varied > channels / 4


def test_corner_codes_reach_both_ends() -> None:
    """The first image alone holds both ends and the zero point; later ones hold nothing but an end."""
    tensor = Tensor("a", 5, 5, (4,), Format(6, "signed", 3))
    codes = corner_codes(np.random.default_rng(0), tensor, 8)
    assert {-32, 31, 3} < set(codes[0].flat)
    assert [set(codes[i].flat) for i in (2, 3, 4)] == [{-32}, {31}, {-32, 31}]
    assert codes.dtype == np.int32


def test_same_seed_same_program() -> None:
    """A failing seed can be run again."""
    (one, _), (other, _) = drafted(range(5, 6)) + drafted(range(5, 6))
    assert one.tensors == other.tensors
    assert all(np.array_equal(a.weights, b.weights) for a, b in zip(one.convs, other.convs, strict=True))
