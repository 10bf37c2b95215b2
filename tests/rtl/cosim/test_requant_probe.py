"""What is seen at the requantizers is what the contract says of every code."""

import numpy as np
import pytest

from rtl.cosim.requant_probe import UNKNOWN
from rtl.cosim.run import watch_op
from sim.functional.reference import accumulators, requantized, simulate
from sim.ir.ops import Conv
from sim.plan.plan import plan
from sim.testing import RandomChoices, SteeredChoices, corner_inputs, random_program

KINDS = ("add", "dense", "linear", "gate", "grouped")


@pytest.mark.nightly
@pytest.mark.parametrize("kind", KINDS)
def test_requantizers_are_seen_at_work(small_machine, kind):
    """Accumulators, residuals and codes of every place of a Conv are captured, none is left out."""
    rng = np.random.default_rng(3)
    choices = SteeredChoices(RandomChoices(rng), [{"kind": [kind], "extent": [4, 5], "channels": [6]}], obedience=1)
    program = random_program(choices, small_machine, layers=1, kinds=(kind,))
    planned, inputs = plan(program, small_machine), corner_inputs(rng, program, 1)
    number, conv = next((i, op) for i, op in enumerate(planned.program.ops) if isinstance(op, Conv))
    found = watch_op(planned, inputs, number).captured
    codes = simulate(planned.program, inputs)
    assert found is not None
    np.testing.assert_array_equal(found.accumulator, accumulators(planned.program, codes)[conv.name])
    np.testing.assert_array_equal(found.code, requantized(planned.program, conv, codes))
    if conv.residual is not None:
        part = planned.program.tensor(conv.residual).part_slice(conv.residual_part)
        np.testing.assert_array_equal(found.residual, np.broadcast_to(codes[conv.residual][:, part], found.code.shape))
    assert UNKNOWN not in found.accumulator
