"""The lean engine: the codes, cycles and counters that cocotb and the simulator have, on the same hardware."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rtl.cosim.lean.harness_process import HarnessProcess
from rtl.cosim.lean_bench import REGISTER_CYCLES
from rtl.cosim.run import IncompleteRun, build_machine, run, run_all
from rtl.cosim.scoreboard import differences
from rtl.cosim.simulators import ICARUS, LEAN, SimulationError
from rtl.encoding.geometry import Geometry
from rtl.shell.top import Top
from rtl.verification.fault import Fault, planted
from rtl.verilog.emit import TOP, verilog_text
from sim.arch.host_memory import Memory
from sim.arch.machine import Machine, load_machine
from sim.errors import InputError
from sim.functional.reference import simulate
from sim.plan.plan import Plan, plan
from sim.testing import corner_inputs, random_program

TINY = load_machine("tiny")
nightly = pytest.mark.nightly


@pytest.fixture(scope="module")
def place() -> Path:
    """The build for `tiny`."""
    if reason := LEAN.missing():
        pytest.skip(reason)
    return build_machine(TINY, LEAN)


def random_plans(seed: int, count: int, machine: Machine = TINY) -> list[Plan]:
    """Plans of Programs of four layers."""
    rng, plans = np.random.default_rng(seed), list[Plan]()
    while len(plans) < count:
        try:
            plans.append(plan(random_program(rng, machine, layers=4), machine))
        except InputError:
            continue
    return plans


@nightly
def test_lean_equals_cocotb_and_the_simulator(place):
    """Every code of every tensor, every op's end and every counter, for three images one after another."""
    for planned in random_plans(3, 2):
        inputs = corner_inputs(np.random.default_rng(3), planned.program, 3)
        lean, slow = run(planned, inputs, engine=LEAN, place=place, seed=5), run(planned, inputs, engine=ICARUS, seed=5)
        assert differences(planned, inputs, lean) == []
        assert lean.codes.keys() == slow.codes.keys()
        assert all(np.array_equal(lean.codes[name], slow.codes[name]) for name in slow.codes)
        assert np.array_equal(lean.ends, slow.ends)
        assert lean.counters == slow.counters


@nightly
@pytest.mark.parametrize("memory", [Memory(latency_cycles=23), Memory(latency_cycles=7, beats=2, period_cycles=5)])
def test_memories_delay_the_streams_to_the_cycle(place, memory):
    """With latency and with time slots cycles are those that the contract predicts; jobs share the images."""
    machine = TINY.model_copy(update={"memory": memory})
    for planned in random_plans(11, 6, machine):
        inputs = corner_inputs(np.random.default_rng(1), planned.program, 2)
        assert differences(planned, inputs, run(planned, inputs, engine=LEAN, place=place, jobs=2)) == []


@nightly
def test_a_stalling_stream_costs_time_only(place):
    """With gaps in both streams codes and events stay what they are, and the run takes longer."""
    for planned in random_plans(17, 3):
        inputs = corner_inputs(np.random.default_rng(2), planned.program, 2)
        result = run(planned, inputs, engine=LEAN, place=place, stall=0.5, seed=1)
        assert differences(planned, inputs, result, stalled=True) == []
        assert (result.ends.max(axis=1) > planned.timeline.total).all()


@nightly
def test_programs_follow_one_another_without_a_reset(place):
    """Nothing is left over from the Program before."""
    runs = [(planned, corner_inputs(np.random.default_rng(4), planned.program, 1)) for planned in random_plans(23, 5)]
    results = run_all(runs, engine=LEAN, place=place)
    assert [differences(*one, result) for one, result in zip(runs, results, strict=True)] == [[]] * 5


@nightly
def test_a_planted_fault_is_noticed(place, tmp_path):
    """Hardware that ignores the residual gives codes that differ."""
    fault = Fault("requantizer", "Mux(choice.residual, self.residual, acc)", "acc")
    with planted(fault):
        text = verilog_text(Top(Geometry(TINY)), TOP)
    faulty = LEAN.build(text, TOP, tmp_path / "faulty")
    planned = plan(random_program(np.random.default_rng(0), TINY, kinds=["add"], layers=2), TINY)
    inputs = corner_inputs(np.random.default_rng(0), planned.program, 1)
    assert differences(planned, inputs, run(planned, inputs, engine=LEAN, place=place)) == []
    found = differences(planned, inputs, run(planned, inputs, engine=LEAN, place=faulty))
    assert any(sentence.startswith("codes of") for sentence in found)


@nightly
def test_a_run_that_does_not_end_is_stopped(place, monkeypatch):
    """The cycle limit ends it; the message says how far it came, and the tensors that were complete are kept."""
    planned = max(random_plans(3, 8), key=lambda planned: planned.timeline.total)
    given = planned.timeline.total - REGISTER_CYCLES - 100
    monkeypatch.setattr("rtl.cosim.run._cycle_limit", lambda *_: given)
    inputs = corner_inputs(np.random.default_rng(3), planned.program, 1)
    with pytest.raises(IncompleteRun, match=rf"^still busy after {given} cycles with \d layers done$") as caught:
        run(planned, inputs, engine=LEAN, place=place)
    right, complete = simulate(planned.program, inputs), caught.value.result.codes
    assert 0 < len(complete) < len(right)
    assert all(np.array_equal(codes, right[name]) for name, codes in complete.items())


@nightly
def test_waveforms_are_refused(place, tmp_path):
    """The message names the engine that writes them."""
    [planned] = random_plans(3, 1)
    message = r"^the lean engine writes no waveforms; Icarus Verilog does$"
    with pytest.raises(InputError, match=message):
        run(planned, corner_inputs(np.random.default_rng(3), planned.program, 1), engine=LEAN, place=place,
            waves=tmp_path / "all.fst")


def test_a_harness_that_ends_is_an_error(tmp_path):
    """What it said on its way out is in the message."""
    program = tmp_path / "harness"
    program.write_text("#!/bin/sh\necho out of room >&2\nexit 3\n")
    program.chmod(0o755)
    with HarnessProcess(program, lambda *_: None, lambda *_: None, lambda _: None) as process:
        process.limit(10)
        with pytest.raises(SimulationError, match=r"^the compiled RTL ended early: out of room$"):
            process.read(0).send(None)
