"""The buffer between the activation banks and the outward stream."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["WordBuffer"]

PLACES = 3
"""Words that are on their way from the banks, or wait for the stream: as many as keep the stream full.

A place becomes free in the cycle after its words were taken. The words that are read then arrive one cycle later, and
can be taken in the cycle after that.
"""


def words_layout(width: int) -> data.StructLayout:
    """Return what is read at once: words, and whether they are the last ones of their tensor."""
    return data.StructLayout({"words": width, "ends": 1})


class WordBuffer(wiring.Component):
    """Keep words in order. A read takes a place before its words arrive, so what arrives always finds one.

    Parameters
    ----------
    width : int
        Bits of the words that are read at once.

    Members
    -------
    room : words may be read; follows from registers alone
    reads : words are read, which arrive in the next cycle
    arrives : words arrive
    arriving : these words
    valid : there are words
    first : the words that have waited longest
    take : these words leave
    """

    def __init__(self, width: int) -> None:
        layout = words_layout(width)
        super().__init__({
            "room": Out(1, init=1),
            "reads": In(1),
            "arrives": In(1),
            "arriving": In(layout),
            "valid": Out(1),
            "first": Out(layout),
            "take": In(1),
        })
        self.layout = layout

    def elaborate(self, platform: object) -> Module:
        m = Module()
        free = Signal(range(PLACES + 1), init=PLACES)
        free_after = Signal.like(free)
        filled = Signal(PLACES)
        held = [Signal(self.layout, name=f"held_{place}", reset_less=True) for place in range(PLACES)]
        m.d.comb += free_after.eq(free + self.take - self.reads)
        m.d.sync += [
            free.eq(free_after),
            self.room.eq(free_after != 0),
        ]
        with m.If(self.arrives & ~self.take):
            m.d.sync += filled.eq(Cat(1, filled))
        with m.Elif(self.take & ~self.arrives):
            m.d.sync += filled.eq(filled >> 1)
        after, ahead = Cat(filled[1:], 0), Cat(1, filled)
        for place, words in enumerate(held):
            lands = Signal(name=f"lands_{place}")
            m.d.comb += lands.eq(self.arrives & Mux(self.take, filled[place] & ~after[place],
                                                    ahead[place] & ~filled[place]))
            with m.If(lands):
                m.d.sync += words.eq(self.arriving)
            if place < PLACES - 1:
                with m.Elif(self.take & after[place]):
                    m.d.sync += words.eq(held[place + 1])
        m.d.comb += [
            self.valid.eq(filled[0]),
            self.first.eq(held[0]),
        ]
        return m
