"""From what workloads take to the energies of events."""

from __future__ import annotations

import pytest

from rtl.gates.components import COMPONENTS
from rtl.gates.measure import FREE, Measured
from rtl.gates.prices import event_energies
from sim.arch.machine import load_machine
from sim.energy.events import EVENTS

TINY = load_machine("tiny")


def measured(pairs: int, steps: int, scale: float = 1.0, wires: float = 0.0) -> Measured:
    """Return a workload in which a pair takes 9 fJ, 4 of them for its lanes, and a step 100 fJ."""
    events = dict.fromkeys(EVENTS, 0) | {"narrow_adds": pairs, "wide_adds": steps, "pair_lanes": pairs * TINY.lanes,
                                         "operand_bits": 50, "requant_terms": 7, "act_reads": 3, "act_writes": 1}
    energies = dict.fromkeys((*COMPONENTS, FREE), (0.0, 0.0, 0.0)) | {
        "pair_lanes": (4.0 * pairs * scale, 0.0, 0.0), "narrow_adds": (2.0 * pairs * scale, 0.0, 0.0),
        "wide_adds": ((3.0 * pairs + 100.0 * steps) * scale, wires, 0.0), "operand_bits": (100.0, 50.0, 10.0),
        "requant_terms": (70.0, 0.0, 0.0), "banks": (8.0, 0.0, 0.0), "control": (30.0, 0.0, 0.0),
        FREE: (20.0, 0.0, 5.0), "moving": (10.0, 0.0, 0.0), "operand_reads": (60.0, 0.0, 0.0)}
    return Measured("made up", 10, events, 6, energies)


def test_an_element_is_split_into_lanes_pairs_and_steps():
    """What wide additions take in every pair is paid by the pairs."""
    found = event_energies(TINY, [measured(640, 10), measured(160, 40)])
    assert found.events["pair_lanes"].nominal == pytest.approx(4.0 / TINY.lanes)
    assert found.events["narrow_adds"].nominal == pytest.approx(5.0)
    assert found.events["wide_adds"].nominal == pytest.approx(100.0)


def test_the_band_holds_every_run():
    """Runs that take more or less than the fit lie between the ends, with the wires that are in doubt."""
    runs = [measured(640, 10, scale=0.9), measured(640, 10, scale=1.2, wires=600.0)]
    found = event_energies(TINY, runs).events
    for end, bound in (("low", min), ("high", max)):
        priced = 640 * (TINY.lanes * getattr(found["pair_lanes"], end) + getattr(found["narrow_adds"], end))
        priced += 10 * getattr(found["wide_adds"], end)
        wires = 0.0 if end == "low" else 2.0
        taken = [sum(run.total(stage, wires) for stage in ("pair_lanes", "narrow_adds", "wide_adds")) for run in runs]
        assert priced == pytest.approx(bound(taken))


def test_other_components_are_paid_by_what_is_counted():
    """Energies of bits, terms, accesses, planes and cycles are what their parts take for each."""
    found = event_energies(TINY, [measured(64, 1)])
    assert found.events["operand_bits"].nominal == pytest.approx(160.0 / 50)
    assert (found.events["operand_bits"].low, found.events["operand_bits"].high) == pytest.approx((2.0, 220.0 / 50))
    assert found.events["requant_terms"].nominal == pytest.approx(10.0)
    assert "lane_adds" not in found.events
    assert found.operand_read.nominal == pytest.approx(10.0)
    assert found.bank_access.nominal == pytest.approx(2.0)
    assert found.control.nominal == pytest.approx(5.5)
    assert found.moving.nominal == pytest.approx(1.0)
