"""The processing element."""

from __future__ import annotations

import pytest

from rtl.core.datapath.pe import ProcessingElement
from rtl.encoding.geometry import Geometry
from sim.arch.machine import Machine


@pytest.mark.parametrize("acc_bits", [14, 24])
def test_element_accumulates_dot_products(run_unit, small_machine, acc_bits):
    """Sums of w * a are exact modulo the accumulator's width, for all bits and signs and without gaps."""
    machine = Machine(**small_machine.model_dump() | {"acc_bits": acc_bits})
    run_unit(ProcessingElement(Geometry(machine)), "pe_bench", machine)
