"""Sample what Convs that end in a table meet, as values of the axes of coverage groups."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sim.arch.table_memory import TABLE_CODE_BITS, table_word_bits
from sim.testing.coverage.op_view import OpView
from sim.testing.coverage.tally import Values

__all__ = ["declared_index_bits", "declared_outputs", "index_bits", "outputs", "slots", "slots_may_wait", "words"]


def declared_index_bits(view: OpView) -> Iterator[Values]:
    """Yield kind, bits of the table's index."""
    if view.conv and view.conv[0].table:
        yield view.kind, view.conv[0].table.index.bits


def index_bits(view: OpView) -> Iterator[Values]:
    """Yield the same, where an index with the highest bit has met another code than it would have without that bit."""
    if view.conv and view.conv[0].table:
        table, met = view.conv[0].table, np.unique(view.values.requantized)
        top = 1 << (table.index.bits - 1)
        high = met[met >= top]
        if (table.codes[high] != table.codes[high - top]).any():
            yield from declared_index_bits(view)


def declared_outputs(view: OpView) -> Iterator[Values]:
    """Yield what a table's codes are, and whether a residual is added before it."""
    if view.conv and view.conv[0].table:
        yield view.target.format.kind, view.conv[0].residual is not None


def outputs(view: OpView) -> Iterator[Values]:
    """Yield the same, where the table has given several codes."""
    if view.conv and view.conv[0].table:
        conv = view.conv[0]
        written = conv.own_pixels(view.codes[conv.output][:, view.target.part_slice(conv.output_part)], view.source)
        if len(np.unique(written)) > 1:
            yield from declared_outputs(view)


def words(view: OpView) -> Iterator[Values]:
    """Yield how a table fills the words of its memory."""
    if view.conv and view.conv[0].table:
        bits, word = TABLE_CODE_BITS << view.conv[0].table.index.bits, table_word_bits(view.plan.machine)
        yield ("part of a word" if bits < word else "a word" if bits == word else "several words",)


def slots_may_wait(view: OpView) -> Iterator[Values]:
    """Yield whether a table may wait for its slot."""
    if view.conv and view.conv[0].table:
        yield ("a layer that has its slot" if view.waits.table else "nothing",)


def slots(view: OpView) -> Iterator[Values]:
    """Yield whether a table did wait for its slot, though the stream was free."""
    if view.conv and view.conv[0].table:
        yield ("a layer that has its slot" if view.waited_for_slot else "nothing",)
