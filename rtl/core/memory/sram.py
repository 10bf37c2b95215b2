"""The memory macro: one read port, one write port, read latency 1."""

from __future__ import annotations

from amaranth.hdl import ClockSignal, Instance, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

__all__ = ["Sram"]


class Sram(wiring.Component):
    """Wrap an instance of `bitwright_ram`, whose model is `rtl/verilog/bitwright_ram.sv`.

    Parameters
    ----------
    width : int
        Word [bits].
    depth : int
        Words.
    granule : int or None
        Bits written together under one bit of `wmask`; None: the whole word.
    transparent : bool
        Reading the word that is being written gives the new one.

    Members
    -------
    wen : a word is written
    waddr : address of that word
    wdata : that word
    wmask : the granules that are written, a bit each; all of them unless driven
    ren : a word is read
    raddr : address of that word
    rdata : the word that was read last, from the cycle after its read on
    """

    def __init__(self, width: int, depth: int, *, granule: int | None = None, transparent: bool = False) -> None:
        self.width, self.depth, self.transparent = width, depth, transparent
        self.granule = granule or width
        masks, address = width // self.granule, max(1, ceil_log2(depth))
        super().__init__({
            "wen": In(1),
            "waddr": In(address),
            "wdata": In(width),
            "wmask": In(masks, init=(1 << masks) - 1),
            "ren": In(1),
            "raddr": In(address),
            "rdata": Out(width),
        })

    def elaborate(self, platform: object) -> Module:
        """Return a module that holds nothing but the macro."""
        m = Module()
        m.submodules.macro = Instance(
            "bitwright_ram",
            p_WIDTH=self.width, p_DEPTH=self.depth, p_GRANULE=self.granule,
            p_TRANSPARENT=int(self.transparent),
            i_clk=ClockSignal(), i_wen=self.wen, i_waddr=self.waddr, i_wdata=self.wdata, i_wmask=self.wmask,
            i_ren=self.ren, i_raddr=self.raddr, o_rdata=self.rdata,
        )
        return m
