"""The engine that `auto` picks."""

from __future__ import annotations

import pytest

from rtl.cosim.simulators import ICARUS, LEAN, VERILATOR
from rtl.cosim.simulators.choice import choose
from sim.arch.machine import load_machine

TINY, EDGE = load_machine("tiny"), load_machine("edge")


@pytest.fixture
def installed(monkeypatch):
    """Pretend that all engines are installed and nothing is built; the result says that an engine's build is known."""
    known = set()
    for engine in (ICARUS, VERILATOR, LEAN):
        monkeypatch.setattr(type(engine), "missing", lambda self: None)
    monkeypatch.setattr("rtl.cosim.simulators.choice.is_cached", lambda engine, text, top: engine in known)
    return known.add


def test_short_runs_are_interpreted(installed):
    """A build by Verilator does not pay for a few thousand cycles."""
    assert choose(TINY, "", "top", 5_000) is ICARUS
    assert choose(EDGE, "", "top", 5_000) is ICARUS


def test_long_runs_are_compiled(installed):
    """A build by the lean engine pays for a million cycles."""
    assert choose(TINY, "", "top", 1_000_000) is LEAN
    assert choose(EDGE, "", "top", 1_000_000) is LEAN


def test_a_known_build_decides(installed):
    """What is built already is run, unless the run itself is long."""
    installed(VERILATOR)
    assert choose(EDGE, "", "top", 5_000) is VERILATOR
    installed(ICARUS)
    assert choose(EDGE, "", "top", 5_000) is VERILATOR


def test_what_is_missing_is_not_chosen(installed, monkeypatch):
    """Without Verilator, Icarus runs whatever there is; without any, Icarus is the one that is asked for."""
    for engine in (VERILATOR, LEAN):
        monkeypatch.setattr(type(engine), "missing", lambda self: "not here")
    assert choose(EDGE, "", "top", 10**9) is ICARUS
    monkeypatch.setattr(type(ICARUS), "missing", lambda self: "not here")
    assert choose(EDGE, "", "top", 10**9) is ICARUS
