"""The memories of tables, one beside every requantizer: their words."""

from __future__ import annotations

from typing import Protocol

__all__ = ["TABLE_CODE_BITS", "TABLE_SLOTS", "slot_words", "table_word_bits"]

TABLE_CODE_BITS = 8
"""Width of a code of a table [bits]."""
TABLE_SLOTS = 2
"""Tables that are held: that of the Conv that runs, and that of the next Conv that ends in one."""


class _Streams(Protocol):
    """What of a machine the words depend on."""

    lanes: int
    stream_bits: int
    table_bits: int


def table_word_bits(machine: _Streams) -> int:
    """Return the width of a word, which is written at once: that of a beat, or of a word that beats make up [bits]."""
    return max(machine.lanes, machine.stream_bits)


def slot_words(machine: _Streams) -> int:
    """Return the words of a slot, which holds the largest table; 0 for a machine without tables."""
    if not machine.table_bits:
        return 0
    return -(-(TABLE_CODE_BITS << machine.table_bits) // table_word_bits(machine))
