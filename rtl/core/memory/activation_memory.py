"""Activation memory: one bank per column, each of equal regions that are read and written independently."""

from __future__ import annotations

from amaranth.hdl import Array, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl.core.interfaces import BankRead, BankWrite, PixelRead, PixelWrite
from rtl.core.memory.sram import Sram
from rtl.encoding.geometry import Geometry

__all__ = ["ActivationBank", "ActivationMemory"]


class ActivationBank(wiring.Component):
    """Serve three readers and two writers from `act_regions` macros; a plan lets no two of a kind meet in one macro.

    Members
    -------
    operand_read : an operand of a convolution or pool is read
    operand_address : address of the operand
    operand_data : word that was read for an operand
    residual_read : a residual is read
    residual_address : address of the residual
    residual_data : word that was read for a residual
    store_read : a word for the outward stream is read
    store_address : address of that word
    store_data : word that was read for the outward stream
    write : an output is written
    write_address : address of the output
    write_data : word of the output
    write_slices : the slices of R lanes that are written, a bit each
    load_write : a word from the inward stream is written
    load_address : address of that word
    load_data : that word
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        address, lanes = geometry.address_bits, geometry.lanes
        super().__init__({
            "operand_read": In(1),
            "operand_address": In(address),
            "operand_data": Out(lanes),
            "residual_read": In(1),
            "residual_address": In(address),
            "residual_data": Out(lanes),
            "store_read": In(1),
            "store_address": In(address),
            "store_data": Out(lanes),
            "write": In(1),
            "write_address": In(address),
            "write_data": In(lanes),
            "write_slices": In(geometry.lane_slices),
            "load_write": In(1),
            "load_address": In(address),
            "load_data": In(lanes),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        regions = [self._region(m, index) for index in range(self.geometry.machine.act_regions)]
        words = Array([ram.rdata for ram in regions])
        for data, read, address in ((self.operand_data, self.operand_read, self.operand_address),
                                    (self.residual_data, self.residual_read, self.residual_address),
                                    (self.store_data, self.store_read, self.store_address)):
            shown = Signal(max(1, len(address) - self.geometry.offset_bits))
            with m.If(read):
                m.d.sync += shown.eq(self._region_of(address))
            m.d.comb += data.eq(words[shown])
        return m

    def _region_of(self, address: Value) -> Value:
        above = address[self.geometry.offset_bits :]
        return above if len(above) else Const(0, 1)

    def _region(self, m: Module, index: int) -> Sram:
        machine, offset_bits = self.geometry.machine, self.geometry.offset_bits
        ram = Sram(self.geometry.lanes, machine.region_words, granule=self.geometry.rows)
        m.submodules[f"region_{index}"] = ram
        operand, residual, store, write, load = (
            request & (self._region_of(address) == index)
            for request, address in ((self.operand_read, self.operand_address),
                                     (self.residual_read, self.residual_address),
                                     (self.store_read, self.store_address), (self.write, self.write_address),
                                     (self.load_write, self.load_address)))
        m.d.comb += [
            ram.ren.eq(operand | residual | store),
            ram.raddr.eq(self.operand_address[:offset_bits]),
            ram.wen.eq(write | load),
            ram.waddr.eq(Mux(load, self.load_address, self.write_address)[:offset_bits]),
            ram.wdata.eq(Mux(load, self.load_data, self.write_data)),
            ram.wmask.eq(Mux(load, (1 << self.geometry.lane_slices) - 1, self.write_slices)),
        ]
        for chosen, address in ((residual, self.residual_address), (store, self.store_address)):
            with m.If(chosen):
                m.d.comb += ram.raddr.eq(address[:offset_bits])
        return ram


class ActivationMemory(wiring.Component):
    """Hold the maps: a bank for each column.

    Members
    -------
    operand : reads of operands of convolutions and pools
    residual : reads of residuals
    store : reads of words for the outward stream
    write : writes of outputs
    load : writes of words from the inward stream
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        super().__init__({
            "operand": In(BankRead(geometry)),
            "residual": In(PixelRead(geometry)),
            "store": In(BankRead(geometry)),
            "write": In(PixelWrite(geometry)),
            "load": In(BankWrite(geometry)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for c in range(self.geometry.columns):
            m.submodules[f"bank_{c}"] = bank = ActivationBank(self.geometry)
            m.d.comb += [
                bank.operand_read.eq(self.operand.read[c]),
                bank.operand_address.eq(self.operand.address[c]),
                self.operand.data[c].eq(bank.operand_data),
                bank.residual_read.eq(self.residual.read[c]),
                bank.residual_address.eq(self.residual.address),
                self.residual.data[c].eq(bank.residual_data),
                bank.store_read.eq(self.store.read[c]),
                bank.store_address.eq(self.store.address[c]),
                self.store.data[c].eq(bank.store_data),
                bank.write.eq(self.write.write[c]),
                bank.write_address.eq(self.write.address[c]),
                bank.write_slices.eq(self.write.slices),
                bank.write_data.eq(self.write.data[c]),
                bank.load_write.eq(self.load.write[c]),
                bank.load_address.eq(self.load.address[c]),
                bank.load_data.eq(self.load.data[c]),
            ]
        return m
