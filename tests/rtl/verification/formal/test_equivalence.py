"""The emitted Verilog against its source."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl.core.addressing.operand_fetch import OperandFetch
from rtl.core.addressing.window_agu import PixelAgu, TapAgu
from rtl.core.control.dispatcher import Dispatcher
from rtl.core.control.perf_counters import PerfCounters
from rtl.core.control.requant_sequencer import RequantSequencer
from rtl.core.control.sequencer import Sequencer
from rtl.core.datapath.max_pool import MaxPool
from rtl.core.datapath.output_packer import OutputPacker
from rtl.core.datapath.pe_array import PeArray
from rtl.core.datapath.requantizer import Requantizer, RequantTerm
from rtl.core.datapath.residual_fetch import ResidualFetch
from rtl.core.dma.load_dma import LoadDma
from rtl.core.dma.store_dma import StoreDma
from rtl.core.memory.table_memory import TableMemory
from rtl.encoding.geometry import Geometry
from rtl.shell.axi_lite import AxiLiteSlave
from rtl.shell.top import Top
from rtl.verification.formal.equivalence import check_equivalence
from rtl.verification.formal.prove import Refuted
from rtl.verilog.emit import verilog_text
from sim.arch.machine import Machine, load_machine

MACHINE = Machine(**load_machine("tiny").model_dump() | {
    "name": "small", "rows": 2, "columns": 2, "lanes": 8, "requantizers": 1, "stream_bits": 8, "acc_depth": 2,
    "act_regions": 2, "region_words": 8, "max_bits_w": 2, "max_bits_a": 2, "table_bits": 2})
EVERY_DAY = (Requantizer, Sequencer, OperandFetch)
BY_NIGHT = (PeArray, Dispatcher, PerfCounters, LoadDma, OutputPacker, MaxPool, RequantSequencer, ResidualFetch,
            StoreDma, TapAgu, PixelAgu, TableMemory, RequantTerm, Top)


@pytest.mark.parametrize("component", [
    *EVERY_DAY, *(pytest.param(component, marks=pytest.mark.nightly) for component in BY_NIGHT)])
def test_verilog_does_what_the_source_does(component: Callable[[Geometry], wiring.Component]):
    """Every signal that has the same name on both sides has the same value, for all inputs and all time."""
    geometry = Geometry(MACHINE)
    assert check_equivalence(component(geometry), verilog_text(component(geometry), "component")) > 50


class Negation(wiring.Component):
    """Negate a number; a signal has the name of the member that the number comes on."""

    def __init__(self) -> None:
        super().__init__({"number": In(4), "negative": Out(5)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        number = Signal(4)
        m.d.comb += [number.eq(~self.number), self.negative.eq(number + 1)]
        return m


class TwoNegations(wiring.Component):
    """Negate a number, and then a number that comes of that."""

    def __init__(self) -> None:
        super().__init__({"start": In(4), "end": Out(5)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.first, m.submodules.second = first, second = Negation(), Negation()
        held = Signal(5)
        m.d.sync += held.eq(first.negative)
        m.d.comb += [first.number.eq(self.start), second.number.eq(held ^ first.negative), self.end.eq(second.negative)]
        return m


def test_a_member_is_compared_with_a_member():
    """Inside an instance, a member and a signal of one name are each compared with their like on the other side."""
    assert check_equivalence(TwoNegations(), verilog_text(TwoNegations(), "component")) > 0


def test_other_verilog_is_refuted():
    """A slave whose write response is wrong is told from the source."""
    text = verilog_text(AxiLiteSlave(), "component")
    assert check_equivalence(AxiLiteSlave(), text) > 0
    wrong = text.replace("assign awready = ", "assign awready = ~", 1)
    assert wrong != text
    with pytest.raises(Refuted, match=r"^the Verilog may differ in "):
        check_equivalence(AxiLiteSlave(), wrong)
