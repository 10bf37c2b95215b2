"""Where the codes of a Conv's table lie in the inward stream, and in the memory of every requantizer.

A word is what arrives at once: a beat, or a word of `lanes` bits where beats are narrower. It holds codes of 8 bits,
the first one lowest; the last word is filled up with zeros.
"""

from __future__ import annotations

import numpy as np

from sim.arch.machine import Machine
from sim.arch.table_memory import TABLE_CODE_BITS, table_word_bits
from sim.ir.ops import Table
from sim.mapping.activation_layout import Bits
from sim.mapping.broadcast import ceil_div

__all__ = ["table_beats", "table_bits", "table_words"]


def table_words(index_bits: int, machine: Machine) -> int:
    """Count the words of a table with an index of so many bits, 0 for none.

    >>> from sim.arch.machine import load_machine
    >>> [table_words(bits, load_machine("edge")) for bits in (0, 1, 8)]
    [0, 1, 16]
    """
    return ceil_div(TABLE_CODE_BITS << index_bits, table_word_bits(machine)) if index_bits else 0


def table_beats(index_bits: int, machine: Machine) -> int:
    """Count the beats in which such a table arrives."""
    return table_words(index_bits, machine) * table_word_bits(machine) // machine.stream_bits


def table_bits(table: Table, machine: Machine) -> Bits:
    """Return the words of a table as they arrive, shape (words, bits of a word)."""
    width = table_word_bits(machine)
    words = np.zeros((table_words(table.index.bits, machine), width), np.uint8)
    codes = ((table.codes.astype(np.int64)[:, None] >> np.arange(TABLE_CODE_BITS)) & 1).astype(np.uint8)
    words.reshape(-1)[: codes.size] = codes.reshape(-1)
    return words
