"""The load DMA."""

from __future__ import annotations

import pytest

from rtl.core.dma.load_dma import LoadDma
from rtl.encoding.geometry import Geometry
from sim.arch.machine import Machine


@pytest.mark.parametrize(("columns", "stream_bits", "lanes"), [
    (3, 16, 8), (3, 2, 8), (4, 32, 8), (1, 8, 8), (3, 1, 8)],
    ids=["two words a beat", "four beats a word", "all banks a beat", "one bank", "eight beats a word"])
def test_items_are_taken_and_placed(run_unit, small_machine, columns, stream_bits, lanes):
    """Tables, row tiles and Loads in any order: taken when they may, every word in its place, no word beside it."""
    machine = Machine(**small_machine.model_dump() | {
        "columns": columns, "stream_bits": stream_bits, "lanes": lanes})
    run_unit(LoadDma(Geometry(machine)), "load_dma_bench", machine)
