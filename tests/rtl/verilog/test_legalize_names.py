"""Names that Amaranth tells apart by numbers, after what they are."""

from __future__ import annotations

import re

from amaranth.back import rtlil
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl.verilog.legalize_names import plain_names


class Adder(wiring.Component):
    """A register that adds."""

    def __init__(self) -> None:
        super().__init__({"step": In(4), "after": In(4), "total": Out(4)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.sync += self.total.eq(self.total + self.step + self.after)
        return m


class Pair(wiring.Component):
    """Two adders, which share the two halves of a word."""

    def __init__(self) -> None:
        super().__init__({"both": In(8), "sums": Out(4).array(2)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        begin = Signal(8)
        m.d.comb += begin.eq(self.both)
        for index in range(2):
            m.submodules[f"adder_{index}"] = adder = Adder()
            m.d.comb += [adder.step.eq(begin[:4]), adder.after.eq(begin[4:]),
                         self.sums[index].eq(adder.total + 1)]
        return m


def wires(text: str, module: str, kind: str = "(?:input|output)") -> set[str]:
    """Return the names of the ports of a module, or of its wires of another kind."""
    body = re.search(rf"^module \\{re.escape(module)}\n(.*?)^end$", text, re.M | re.S)
    assert body is not None
    return set(re.findall(rf"^  wire width \d+ {kind} \d+ +\\(\S+)$", body[1], re.M))


def test_a_port_is_called_after_the_signals_that_it_carries():
    """Amaranth joins two halves of a word into one port, called after a number; the module knows their names."""
    source = rtlil.convert(Pair(), name="pair", emit_src=False)
    assert any(name.startswith("port$") for name in wires(source, "pair.adder_0"))
    assert wires(plain_names(source), "pair.adder_0") == {"clk", "rst", "step_after", "total"}


def test_a_port_is_called_after_the_member_that_it_is():
    """Amaranth calls a port like what is connected to it outside; a list of the members tells its own name."""
    source = r"""
module \chip
  wire width 4 input 0 \count
  wire width 1 output 1 \found$3
  wire width 4 \number
  wire width 1 \found
  connect \number \count [3:0]
  connect \found 1'0
end
"""
    assert wires(plain_names(source, {"chip": {"number", "found"}}), "chip") == {"number", "found"}
    assert wires(plain_names(source), "chip") == {"count", "found"}


def test_a_port_of_one_interface_is_called_after_it():
    """A port that carries members of one interface has its name; one of many signals has the first one's."""
    def module(*names: str) -> str:
        connects = "".join(f"  connect \\{name} \\port$1 [{bit}]\n" for bit, name in enumerate(names))
        declared = "".join(f"  wire width 1 \\{name}\n" for name in names)
        return f"module \\chip\n  wire width {len(names)} input 0 \\port$1\n{declared}{connects}end\n"

    assert wires(plain_names(module("tap__row", "tap__bank__0")), "chip") == {"tap"}
    assert wires(plain_names(module("a", "b", "c", "d", "e")), "chip") == {"a_and_others"}


def test_equal_modules_stay_equal():
    """Both adders get the same names, so that one module is written for both."""
    bodies = re.findall(r"^module \\pair\.adder_\d\n(.*?)^end$", plain_names(
        rtlil.convert(Pair(), name="pair", emit_src=False)), re.M | re.S)
    assert len(bodies) == 2
    assert bodies[0] == bodies[1]


def test_signals_of_one_name_are_called_after_their_instances():
    """The second adder's total is not `total$7`."""
    text = plain_names(rtlil.convert(Pair(), name="pair", emit_src=False))
    assert re.findall(r"connect \\total \\(\S+)", text) == ["adder_0_total", "adder_1_total"]


def test_ports_of_the_top_keep_their_names():
    """An array is counted with one underscore."""
    assert wires(plain_names(rtlil.convert(Pair(), name="pair", emit_src=False)), "pair") == {
        "clk", "rst", "both", "sums_0", "sums_1"}


def test_words_of_verilog_are_no_names():
    """`begin` means something else there."""
    text = plain_names(rtlil.convert(Pair(), name="pair", emit_src=False))
    assert not re.search(r"\\begin\b", text)
