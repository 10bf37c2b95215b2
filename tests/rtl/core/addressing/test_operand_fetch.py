"""The operand fetch."""

from __future__ import annotations

import pytest

from rtl.core.addressing.operand_fetch import OperandFetch
from rtl.encoding.geometry import Geometry
from sim.arch.machine import Machine


@pytest.mark.parametrize("columns", [1, 3, 4])
def test_loader_serves_every_column(run_unit, small_machine, columns):
    """Strides that share banks with the columns, padding and tap segments: each column gets its own row's word."""
    machine = Machine(**small_machine.model_dump() | {"columns": columns, "stream_bits": 8})
    run_unit(OperandFetch(Geometry(machine)), "operand_fetch_bench", machine)
