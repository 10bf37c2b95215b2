"""The store engine."""

from __future__ import annotations

import pytest

from rtl.geometry import Geometry
from rtl.store import StoreEngine
from sim.machine import Machine


@pytest.mark.parametrize(("columns", "stream_bits"), [(3, 16), (3, 2), (4, 32), (1, 8)],
                         ids=["two words a beat", "four beats a word", "all banks a beat", "one bank"])
def test_stores_are_sent_at_full_rate(run_unit, small_machine, columns, stream_bits):
    """Whatever a beat holds and however it is taken: right bits, right cycle, no gap, nothing withdrawn."""
    machine = Machine(**small_machine.model_dump() | {"columns": columns, "stream_bits": stream_bits})
    run_unit(StoreEngine(Geometry(machine)), "store_bench", machine)
