"""What is wrong is told apart from what only read wrong codes, on runs whose codes were changed by hand."""

import numpy as np
import pytest

from bitwright.divergence.find import EngineSteps, find
from quant.reference import run_reference
from rtl.cosim.run import UNDEFINED, RtlResult
from rtl.verification.planted.programs import bug_machine, inputs_of, network
from sim.functional.reference import run_op, simulate
from sim.ir.formats import Format
from sim.ir.ops import Conv, Tensor
from sim.ir.program import Program
from sim.ir.signed_digits import digits_of
from sim.plan.plan import plan


@pytest.fixture(scope="module")
def planned():
    """A Program with a layer of every kind."""
    return plan(network(), bug_machine())


def ran(planned, change=None, after=()):
    """What an RTL gives on which `change` was done to the codes of an op, by name: later ops read what is there."""
    program = planned.program
    codes = {tensor.name: np.zeros((1, *tensor.shape), np.int32) for tensor in program.tensors} | inputs_of(program)
    for op in program.ops:
        run_op(program, op, codes) if op.writes is not None else None
        for name, changed in (*([change] if change else ()), *after):
            if name == op.name:
                changed(codes)
    return RtlResult(codes, np.array([planned.timeline.ends]), ())


def found(planned, result):
    inputs = inputs_of(planned.program)
    return find(planned, inputs, result, {"simulator": simulate(planned.program, inputs),
                                          "torch": run_reference(planned.program, inputs)})


def lower_clamp(codes):
    codes["a"][codes["a"] == 7] = 6


def test_a_right_run_has_no_findings(planned):
    """Where every op is right there is nothing to be found."""
    assert found(planned, ran(planned)) is None


def test_ops_that_read_wrong_codes_are_not_wrong(planned):
    """One op is wrong by itself; those after it are right for what they read, those that did not read it are right."""
    told = found(planned, ran(planned, ("first", lower_clamp)))
    assert (told.first.op, told.first.tensor, told.first.rtl, told.first.expected) == ("first", "a", 6, 7)
    assert (told.diagnosis.field, told.diagnosis.text) == ("clamp", "high end is 6, not 7")
    verdicts = {op.op: op.verdict for op in told.ops}
    assert verdicts["load image"] == "right"
    assert {verdict for op, verdict in verdicts.items() if op not in ("load image", "first")} == {
        "only read wrong codes"}
    assert told.first.engines == {"simulator": 7, "torch": 7}
    step = told.explanation.requantization
    assert told.first.steps == dict.fromkeys(
        ("simulator", "torch"), EngineSteps(step.accumulator, step.value, told.first.expected))


def test_a_second_op_that_is_wrong_is_named(planned):
    """An op after the first wrong one is wrong by itself only if its codes do not follow from what it read."""

    def shift_pixels(codes):
        codes["d"] = np.roll(codes["d"], 1, axis=3)

    told = found(planned, ran(planned, ("first", lower_clamp), [("lanes", shift_pixels)]))
    assert [op.op for op in told.ops if op.verdict == "wrong by itself"] == ["first", "lanes"]
    alone = found(planned, ran(planned, ("lanes", shift_pixels)))
    assert (alone.first.op, alone.diagnosis.field, alone.diagnosis.text) == (
        "lanes", "pixel order", "that of the pixel before")


def test_a_zero_point_that_is_ignored_at_the_border_is_found():
    """Pads of 0 in place of the zero point are told by the codes that they make."""
    tensors = [Tensor("x", 4, 4, (2,), Format(4, "unsigned", zero_point=zero)) for zero in (5, 0)]
    conv = Conv("conv", "x", "y", np.ones((3, 2, 3, 3), np.int8), Format(2, "signed"), digits_of([[1]] * 3),
                np.full(3, 2), np.arange(3), 0, 63, pads=(1, 1, 1, 1))
    target = Tensor("y", 4, 4, (3,), Format(6, "unsigned"))
    right, wrong = (Program((tensor, target), (conv,), network().arithmetic) for tensor in tensors)
    given = {"x": np.random.default_rng(1).integers(0, 16, (1, 2, 4, 4)).astype(np.int32)}
    planned = plan(right, bug_machine())
    result = RtlResult(simulate(wrong, given), np.array([planned.timeline.ends]), ())
    told = find(planned, given, result, {"simulator": simulate(right, given)})
    assert (told.diagnosis.field, told.diagnosis.text) == ("padding", "all pads are 0, not the zero point 5")


def test_undefined_bits_belong_to_the_op_that_made_them(planned):
    """The first op with undefined bits is named with their planes and their column; its readers are not blamed."""
    result = ran(planned)
    result.codes["c"][:, :, 1::3] = UNDEFINED
    result.codes["d"][:, :, :5] = UNDEFINED  # all rows whose windows reach such a row
    result.planes["c"] = np.where(result.codes["c"] == UNDEFINED, 4, 0)
    result.planes["d"] = np.where(result.codes["d"] == UNDEFINED, 15, 0)
    told = found(planned, result)
    assert (told.first.op, told.first.rtl, told.first.plane) == ("added", None, 2)
    assert (told.diagnosis.field, told.diagnosis.text, told.diagnosis.where) == (
        "undefined bits", "plane 2 of all codes there have undefined bits", "column 1")
    assert {op.op: op.undefined for op in told.ops}["lanes"] == 0


def test_codes_that_nothing_explains_are_not_explained(planned):
    """Random codes follow from no hypothesis, and the number of those that were tried is told."""

    def noise(codes):
        codes["b"][:] = np.random.default_rng(0).integers(-8, 8, codes["b"].shape)

    told = found(planned, ran(planned, ("padded", noise)))
    assert (told.diagnosis.field, told.diagnosis.reproduced) == (None, 0)
    assert told.diagnosis.text == f"none of {told.diagnosis.tried} hypotheses makes these codes"
    assert told.diagnosis.tried > 500


def test_tensors_that_are_missing_end_the_search(planned):
    """Of a run that did not end, the ops whose tensors are there are looked at."""
    whole = ran(planned, ("first", lower_clamp))
    part = RtlResult({name: whole.codes[name] for name in ("image", "a", "b")}, whole.ends, ())
    told = found(planned, part)
    assert [op.op for op in told.ops] == ["load image", "first", "padded"]
    assert told.diagnosis.field == "clamp"
