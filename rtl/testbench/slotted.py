"""The host's memory behind streams, exact to the cycle: a word passes in the cycles in which the memory has a slot.

Unlike a `StreamSource`, which offers and waits, a slotted end offers or takes a word only in a cycle in which the
hardware is ready for it or offers it, so that no word passes outside a slot. Everything happens at falling edges, where
the outputs of a cycle have settled and inputs can be changed without a race with the rising one; between words nothing
runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from cocotb.triggers import FallingEdge, RisingEdge

from rtl.testbench.streams import Stream

__all__ = ["Passes", "feed", "take"]

Passes = Callable[[], bool]
"""Whether the memory lets a word pass in the cycle at hand."""


async def feed(stream: Stream, words: Iterable[int], passes: Passes) -> None:
    """Feed a packet into the hardware; the last word carries `last`.

    Parameters
    ----------
    stream : Stream
    words : iterable of int
    passes : function
        Asked in cycles in which the hardware is ready.
    """
    edge = FallingEdge(stream.clock)
    waiting = list(words)
    for index, word in enumerate(waiting):
        stream.data.value = word
        if stream.last is not None:
            stream.last.value = int(index == len(waiting) - 1)
        if not stream.ready.value:
            stream.valid.value = 0
            await RisingEdge(stream.ready)
            await edge
        while not passes():
            stream.valid.value = 0
            await edge
        stream.valid.value = 1
        await edge
    stream.valid.value = 0
    if stream.last is not None:
        stream.last.value = 0


async def take(stream: Stream, passes: Passes, *, eager: bool = False) -> tuple[str, bool]:
    """Take a word from the hardware, and return its bits, the highest first, and whether it was the last of a packet.

    The caller lets the cycle end, so that it can look at what else belongs to it.

    Parameters
    ----------
    stream : Stream
    passes : function
        Asked in cycles in which the hardware offers.
    eager : bool
        Be ready before the hardware offers, so that the first word that it offers passes at once.
    """
    edge: Any = FallingEdge(stream.clock)
    stream.ready.value = int(eager)
    if not stream.valid.value:
        await RisingEdge(stream.valid)
        await edge
    while not passes():
        await edge
    stream.ready.value = 1
    return str(stream.data.value), stream.last is not None and bool(stream.last.value)
