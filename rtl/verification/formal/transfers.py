"""What comes in: words of Loads inside their tensor, row tiles in slots that are free."""

from __future__ import annotations

from amaranth.hdl import Cat, Signal

from rtl.core.addressing.bank_interleave import BankInterleaver
from rtl.core.dma.load_dma import LoadDma
from rtl.encoding.geometry import Geometry
from rtl.verification.formal.harness import Harness, after_reset, assume, check, constant, drive_freely, past, probe
from sim.arch.machine import Machine

__all__ = ["addresses", "slots"]


def addresses(machine: Machine, per_step: int) -> Harness:
    """Loads and Stores stay between the first and the last address of their tensor, whatever these are."""
    m, geometry = after_reset(), Geometry(machine)
    m.submodules.dut = dut = BankInterleaver(geometry, per_step)
    drive_freely(m, dut, "first", "last")
    m.d.comb += [dut.first.eq(constant(m, geometry.address_bits, "at_first")),
                 dut.last.eq(constant(m, geometry.address_bits, "at_last"))]
    assume(m, dut.first <= dut.last)
    offset = probe(m, "dut.offset", geometry.address_bits)
    check(m, (dut.bank < geometry.columns) & (offset <= dut.last - dut.first), "every word is inside the tensor")
    check(m, dut.step | (Cat(dut.select) == 0), "without a step no bank is touched")
    for c in range(geometry.columns):
        inside = (dut.first <= dut.address[c]) & (dut.address[c] <= dut.last)
        check(m, ~dut.select[c] | inside, f"bank {c} is touched inside the tensor")
    return m


def slots(machine: Machine) -> Harness:
    """Row tiles come in order, and never into a weight slot whose row tile is still to be issued.

    A row tile is issued after it came; its slot is free from the next cycle on. Table and stream are arbitrary.
    """
    m, geometry = after_reset(), Geometry(machine)
    m.submodules.dut = dut = LoadDma(geometry)
    drive_freely(m, dut)
    held, coming, item = Signal(2), Signal(), dut.queue.current
    m.d.sync += held.eq(held + dut.slot_filled - dut.slot_free)
    assume(m, ~dut.slot_free | (held != 0))
    beat = dut.i.valid & dut.i.ready & ~(item.load | item.table)
    with m.If(beat):
        m.d.sync += coming.eq(~dut.slot_filled)
    free = probe(m, "dut.free", 2)
    check(m, held + coming + free == 2, "every slot is held, filled or free")
    check(m, probe(m, "dut.open_tile", 1) == coming, "the engine knows whether it is in a row tile")
    check(m, ~beat | (held + ~coming <= 2) & (held < 2), "a beat goes into a slot that nobody needs")
    before, turned = past(m, dut.weight_slot, cleared=True), past(m, dut.slot_filled, cleared=True)
    check(m, dut.weight_slot == before ^ turned, "row tiles alternate between slots")
    check(m, ~dut.loaded | ~dut.slot_filled, "a beat ends one thing at most")
    return m
