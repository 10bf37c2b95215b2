"""The store engine."""

from __future__ import annotations

import pytest

from rtl.core.dma.store_dma import StoreDma
from rtl.encoding.geometry import Geometry
from sim.arch.machine import Machine


@pytest.mark.parametrize(("columns", "stream_bits", "lanes"), [
    (3, 16, 8), (3, 2, 8), (4, 32, 8), (1, 8, 8), (3, 1, 8), (2, 1, 32)],
    ids=["two words a beat", "four beats a word", "all banks a beat", "one bank", "eight beats a word",
         "32 beats a word"])
def test_stores_are_sent_at_full_rate(run_unit, small_machine, columns, stream_bits, lanes):
    """Whatever a beat holds and however it is taken: right bits, right cycle, no gap, nothing withdrawn."""
    machine = Machine(**small_machine.model_dump() | {
        "columns": columns, "stream_bits": stream_bits, "lanes": lanes})
    run_unit(StoreDma(Geometry(machine)), "store_dma_bench", machine)
