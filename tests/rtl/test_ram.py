"""The memory model."""

from __future__ import annotations

import pytest

from rtl.ram import Ram


@pytest.mark.parametrize("transparent", [False, True])
def test_ram_equals_a_list_of_words(run_unit, transparent):
    """Masked writes, reads, write-first or read-first, and a held output behave like a list of words."""
    run_unit(Ram(12, 5, granule=4, transparent=transparent), "ram_bench", BITWRIGHT_TRANSPARENT=str(int(transparent)))
