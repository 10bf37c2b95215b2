"""An AXI4-Lite slave: two transactions at most under way, one of each direction."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl.shell.csr_map import ADDRESS_BITS

__all__ = ["AXI_LITE_PORTS", "OKAY", "SLVERR", "AxiLiteSlave", "CsrAccess"]

OKAY, SLVERR = 0, 2

AXI_LITE_PORTS = {
    "awaddr": In(ADDRESS_BITS), "awvalid": In(1), "awready": Out(1),
    "wdata": In(32), "wstrb": In(4), "wvalid": In(1), "wready": Out(1),
    "bresp": Out(2), "bvalid": Out(1), "bready": In(1),
    "araddr": In(ADDRESS_BITS), "arvalid": In(1), "arready": Out(1),
    "rdata": Out(32), "rresp": Out(2), "rvalid": Out(1), "rready": In(1),
}
"""Signals of the bus, seen from the slave."""


class CsrAccess(wiring.Signature):
    """Read or write a register within a cycle.

    Members
    -------
    write : the strobed bytes of a register are written in this cycle
    write_address : address of that register
    write_data : its new value
    write_strobe : the bytes that are written, a bit each
    write_error : in the same cycle, the write is refused
    read : a register is read in this cycle
    read_address : address of that register
    read_data : its value, in the same cycle
    read_error : in the same cycle, there is nothing to read
    """

    def __init__(self) -> None:
        super().__init__({
            "write": Out(1),
            "write_address": Out(ADDRESS_BITS),
            "write_data": Out(32),
            "write_strobe": Out(4),
            "write_error": In(1),
            "read": Out(1),
            "read_address": Out(ADDRESS_BITS),
            "read_data": In(32),
            "read_error": In(1),
        })


class AxiLiteSlave(wiring.Component):
    """Turn the five channels into accesses of a cycle.

    Address and data of a write may come in any order; every ready and every valid is a register.

    Members
    -------
    awaddr : byte address of the register to write [bytes]
    awvalid : the host offers `awaddr`
    awready : the machine takes `awaddr` when `awvalid` is high too
    wdata : new value of the register
    wstrb : bytes of `wdata` that are written, a bit each
    wvalid : the host offers `wdata` and `wstrb`
    wready : the machine takes `wdata` and `wstrb` when `wvalid` is high too
    bresp : outcome of the write: 0 (OKAY) or 2 (SLVERR)
    bvalid : the machine offers `bresp`
    bready : the host takes `bresp` when `bvalid` is high too
    araddr : byte address of the register to read [bytes]
    arvalid : the host offers `araddr`
    arready : the machine takes `araddr` when `arvalid` is high too
    rdata : value of the register; 0 if the read is refused
    rresp : outcome of the read: 0 (OKAY) or 2 (SLVERR)
    rvalid : the machine offers `rdata` and `rresp`
    rready : the host takes `rdata` and `rresp` when `rvalid` is high too
    access : reads and writes of the registers
    """

    def __init__(self) -> None:
        super().__init__({
            **AXI_LITE_PORTS,
            "access": Out(CsrAccess()),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self._writes(m)
        self._reads(m)
        return m

    def _writes(self, m: Module) -> None:
        addressed = Signal()
        filled = Signal()
        m.d.comb += [
            self.awready.eq(~addressed),
            self.wready.eq(~filled),
            self.access.write.eq(addressed & filled & (~self.bvalid | self.bready)),
        ]
        with m.If(self.bready):
            m.d.sync += self.bvalid.eq(0)
        with m.If(self.access.write):
            m.d.sync += [
                addressed.eq(0),
                filled.eq(0),
                self.bvalid.eq(1),
                self.bresp.eq(Mux(self.access.write_error, SLVERR, OKAY)),
            ]
        with m.If(self.awvalid & self.awready):
            m.d.sync += [
                addressed.eq(1),
                self.access.write_address.eq(self.awaddr),
            ]
        with m.If(self.wvalid & self.wready):
            m.d.sync += [
                filled.eq(1),
                self.access.write_data.eq(self.wdata),
                self.access.write_strobe.eq(self.wstrb),
            ]

    def _reads(self, m: Module) -> None:
        addressed = Signal()
        m.d.comb += [
            self.arready.eq(~addressed),
            self.access.read.eq(addressed & (~self.rvalid | self.rready)),
        ]
        with m.If(self.rready):
            m.d.sync += self.rvalid.eq(0)
        with m.If(self.access.read):
            m.d.sync += [
                addressed.eq(0),
                self.rvalid.eq(1),
                self.rdata.eq(Mux(self.access.read_error, 0, self.access.read_data)),
                self.rresp.eq(Mux(self.access.read_error, SLVERR, OKAY)),
            ]
        with m.If(self.arvalid & self.arready):
            m.d.sync += [
                addressed.eq(1),
                self.access.read_address.eq(self.araddr),
            ]
