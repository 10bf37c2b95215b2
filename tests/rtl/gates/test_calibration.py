"""A whole calibration: a machine in the cells of the library that was written by hand."""

from __future__ import annotations

import pytest

from rtl.gates.calibration import calibrate
from rtl.gates.slice import slice_of
from rtl.gates.workload import workload
from sim.arch.machine import load_machine
from sim.energy.parts import BLOCKS
from sim.functional.reference import simulate

TINY = load_machine("tiny")


@pytest.mark.parametrize("bits", [(8, 8), (2, 2), (1, 3)])
def test_stimulus_is_what_layers_compute(bits):
    """Operands are codes of the wanted width that a layer computed, spread over their range; a seed fixes them."""
    machine = slice_of(TINY)
    one, again, other = (workload(machine, *bits, seed, 100) for seed in (0, 0, 1))
    features = one.inputs["features"]
    assert features.min() >= 0
    assert (1 << bits[1]) // 2 <= features.max() < 1 << bits[1]
    assert (features == again.inputs["features"]).all()
    assert features.tolist() != other.inputs["features"].tolist()
    assert [conv.weight_format.bits for conv in one.plan.program.convs] == [bits[0]] * len(one.plan.program.convs)
    codes = simulate(one.plan.program, {"features": features[None]})
    assert all((codes[name][0] == found).all() for name, found in one.codes.items())


@pytest.mark.nightly
@pytest.mark.parametrize("clock_gate", ["ICG", None])
def test_a_machine_in_gates_does_what_the_simulator_does(library, clock_gate):
    """Codes, counters and cycles are compared in every run; nothing changes later than static timing allows."""
    found = calibrate(TINY, library, clock_gate, bits=[(2, 2), (8, 8)], seeds=[0], pairs=100)
    assert [run.cycles > 0 for run in found.runs] == [True, True]
    assert set(found.blocks) == set(BLOCKS) - {"depthwise_lanes"}
    assert all(block.area_um2 > 0 and block.longest_ps > 0 for block in found.blocks.values())
    assert found.settled_ps <= max(block.longest_ps for block in found.blocks.values())
    for event in ("pair_lanes", "narrow_adds", "operand_bits", "requant_terms"):
        band = found.energies.events[event]
        assert 0 < band.low <= band.nominal <= band.high
