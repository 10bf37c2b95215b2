"""The requantizer."""

from __future__ import annotations

import pytest

from rtl.core.datapath.requantizer import Requantizer
from rtl.encoding.geometry import Geometry
from sim.arch.machine import Machine


@pytest.mark.parametrize(("acc_bits", "window", "roundings"), [
    (24, 10, ("half_up", "half_even", "floor")), (32, 12, ("half_even",)), (16, 4, ("half_up", "floor"))])
def test_requantizer_equals_the_simulator(run_unit, small_machine, acc_bits, window, roundings):
    """Codes equal `sim.functional.requantize` on ties, beside ties, at both ends and at random, for every rounding."""
    machine = Machine(**small_machine.model_dump() | {"acc_bits": acc_bits, "window": window, "roundings": roundings})
    run_unit(Requantizer(Geometry(machine)), "requantizer_bench", machine)
