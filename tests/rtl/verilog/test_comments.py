"""Comments of the Verilog, which are the docstrings of the source."""

from __future__ import annotations

import re

from amaranth.hdl import Module, ResetInserter, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from rtl.verilog.emit import verilog_text


class Valve(wiring.Component):
    """Let water through. It leaks.

    Members
    -------
    open : whether
        water "flows" through a·b
    water_* : the water
    """

    def __init__(self) -> None:
        super().__init__({"open": In(1), "water_in": In(2).array(2), "water_out": Out(2)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        with m.If(self.open):
            m.d.sync += self.water_out.eq(self.water_in[0] + self.water_in[1])
        return m


class Pump(wiring.Component):
    """Move water.

    Members
    -------
    on : the pump's switch
    """

    def __init__(self) -> None:
        super().__init__({"on": In(1), "level": Out(2)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        stop = Signal()
        valve = Valve()
        m.submodules.valve = ResetInserter(stop)(valve)
        m.d.comb += [stop.eq(~self.on), valve.open.eq(self.on), self.level.eq(valve.water_out)]
        m.d.comb += [water.eq(self.level + 1) for water in valve.water_in]
        return m


TEXT = verilog_text(Pump(), "pump")


def test_a_module_starts_with_the_first_sentence_of_its_docstring():
    """Also where Amaranth has wrapped the component."""
    assert re.findall(r"^// (.*)\nmodule (\w+)\($", TEXT, re.M) == [("Move water.", "pump"),
                                                                    ("Let water through.", "pump_valve")]


def test_a_port_has_its_entry_of_the_members():
    """A pattern speaks of several ports; what is not described has no comment; quotes stay, other letters do not."""
    found = dict(re.findall(r"^  // (.*)\n  (?:input|output) .*?(\w+),?$", TEXT, re.M))
    found = {port: comment for comment, port in found.items()}
    assert found["on"] == "the pump's switch"
    assert "level" not in found
    assert found["open"] == 'whether water "flows" through a*b'
    assert found["water_out"] == "the water"
    assert found["clk"] == "clock, of which the rising edge counts"


class Tap(wiring.Signature):
    """A tap of the main.

    Members
    -------
    turn : quarter turns
    """

    def __init__(self) -> None:
        super().__init__({"turn": Out(2)})


class Basin(wiring.Component):
    """Hold water.

    Members
    -------
    taps : the taps above it
    flow : the water that leaves, a stream
    """

    def __init__(self) -> None:
        super().__init__({"taps": In(Tap()).array(2), "flow": Out(stream.Signature(2))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += [self.flow.payload.eq(self.taps[0].turn + self.taps[1].turn), self.flow.valid.eq(self.flow.ready)]
        return m


def test_a_port_of_an_interface_has_the_entry_of_the_interface_too():
    """The entry of the component says which interface it is, that of the interface which member."""
    found = {port: comment for comment, port in re.findall(
        r"^  // (.*)\n  (?:input|output) .*?(\w+),?$", verilog_text(Basin(), "basin"), re.M)}
    assert found["taps_1_turn"] == "the taps above it: quarter turns"
    assert found["flow_ready"] == "the water that leaves, a stream: the payload is taken when it is offered"
