"""The bounds guard."""

from __future__ import annotations

import pytest

from rtl.core.control.bounds_guard import BoundsGuard
from rtl.encoding.geometry import Geometry
from sim.arch.machine import Machine


@pytest.mark.parametrize("changes", [
    {},
    {"act_regions": 5, "max_bits_w": 3, "max_bits_a": 5, "bipolar": False, "roundings": ("half_up",), "terms": 2,
     "acc_bits": 12, "requantizers": 4},
], ids=["small", "narrow"])
def test_faults_are_found_and_remembered(run_unit, small_machine, changes):
    """Nothing outside a tensor is touched, no descriptor beyond a limit runs, and the first fault stays."""
    machine = Machine(**small_machine.model_dump() | changes)
    run_unit(BoundsGuard(Geometry(machine)), "bounds_guard_bench", machine)
