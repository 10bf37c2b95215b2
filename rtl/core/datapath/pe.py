"""The processing element: population count, partial sum of shifted plane pairs, accumulator."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl.core.memory.sram import Sram
from rtl.encoding.geometry import Geometry

__all__ = ["ProcessingElement", "popcount"]


def popcount(m: Module, bits: Value, name: str) -> Value:
    """Return the number of ones in `bits`, as a balanced tree of named sums."""
    level = [bits[i] for i in range(len(bits))]
    depth = 0
    while len(level) > 1:
        sums: list[Value] = []
        for i in range(0, len(level) - 1, 2):
            total = Signal(depth + 2, name=f"{name}_{depth}_{i // 2}")
            m.d.comb += total.eq(level[i] + level[i + 1])
            sums.append(total)
        level = sums + level[len(level) - len(level) % 2 :]
        depth += 1
    return level[0]


class ProcessingElement(wiring.Component):
    """One accumulating dot product of `lanes` one-bit products per cycle.

    Stages: population count of `w & a` (with `count`), partial sum (with `add`), accumulator (with `accumulate`).
    Each is driven one cycle after the one before; the accumulator's read address goes with the partial sum.

    Members
    -------
    w : bit plane of weights
    a : bit plane of activations
    count : the ones of `w & a` are counted
    add : the count is added to the partial sum
    first : the partial sum starts from 0
    double : the pair has a lower significance than the one before: the partial sum doubles
    negative : the count is subtracted
    read : an accumulator is read for the array, one cycle before `accumulate`
    read_bank : bank of that accumulator
    read_address : address of that accumulator
    accumulate : the partial sum is added to an accumulator
    fresh : that accumulator starts from 0
    bank : bank of that accumulator
    address : address of that accumulator
    direct : with `accumulate`, `sum` is added instead; only machines with depthwise lanes
    sum : sum of a depthwise lane
    drain : an accumulator is read for the requantizer
    drain_bank : bank of that accumulator
    drain_address : address of that accumulator
    acc_bank : bank that `acc` shows
    acc : accumulator that was read
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        address = geometry.accumulator_address_bits
        super().__init__({
            "w": In(geometry.lanes),
            "a": In(geometry.lanes),
            "count": In(1),
            "add": In(1),
            "first": In(1),
            "double": In(1),
            "negative": In(1),
            "read": In(1),
            "read_bank": In(1),
            "read_address": In(address),
            "accumulate": In(1),
            "fresh": In(1),
            "bank": In(1),
            "address": In(address),
            "drain": In(1),
            "drain_bank": In(1),
            "drain_address": In(address),
            "acc_bank": In(1),
            "acc": Out(signed(geometry.machine.acc_bits)),
            **({"direct": In(1), "sum": In(signed(geometry.lane_sum_bits))} if geometry.depthwise_lanes else {}),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        geometry = self.geometry
        products = Signal(geometry.lanes)
        ones = Signal(range(geometry.lanes + 1), reset_less=True)
        partial = Signal(signed(geometry.partial_bits), reset_less=True)
        base = Signal.like(partial)
        total = Signal.like(self.acc)
        m.d.comb += products.eq(self.w & self.a)
        counted = popcount(m, products, "counted")
        with m.If(self.count):
            m.d.sync += ones.eq(counted)
        m.d.comb += base.eq(Mux(self.first, 0, Mux(self.double, partial << 1, partial)))
        with m.If(self.add):
            m.d.sync += partial.eq(Mux(self.negative, base - ones, base + ones))
        banks = [self._bank(m, bank, total) for bank in range(2)]
        old = Mux(self.bank, banks[1].rdata, banks[0].rdata)
        addend = Mux(self.direct, self.sum, partial) if geometry.depthwise_lanes else partial
        m.d.comb += total.eq(Mux(self.fresh, 0, old).as_signed() + addend)
        m.d.comb += self.acc.eq(Mux(self.acc_bank, banks[1].rdata, banks[0].rdata))
        return m

    def _bank(self, m: Module, bank: int, total: Value) -> Sram:
        """Add an accumulator bank; the array and the requantizer never use the same one in the same cycle."""
        ram = Sram(self.geometry.machine.acc_bits, self.geometry.machine.acc_depth, transparent=True)
        m.submodules[f"bank_{bank}"] = ram
        drain = self.drain & (self.drain_bank == bank)
        m.d.comb += [
            ram.wen.eq(self.accumulate & (self.bank == bank)),
            ram.waddr.eq(self.address),
            ram.wdata.eq(total),
            ram.ren.eq(drain | (self.read & (self.read_bank == bank))),
            ram.raddr.eq(Mux(drain, self.drain_address, self.read_address)),
        ]
        return ram
