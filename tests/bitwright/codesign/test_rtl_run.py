"""How a Program is run on the RTL."""

from __future__ import annotations

import numpy as np
import pytest

from bitwright.codesign.rtl_run import RtlOptions, chosen_engine, run_on_rtl
from rtl.cosim.simulators import ICARUS, VERILATOR
from sim.arch.machine import load_machine
from sim.errors import InputError
from sim.functional.reference import simulate
from sim.plan.plan import plan
from sim.testing import corner_inputs, random_program

TINY = load_machine("tiny")


@pytest.fixture(scope="module")
def planned():
    """A layer on `tiny`."""
    return plan(random_program(np.random.default_rng(2), TINY, kinds=["dense"], layers=1), TINY)


def run(planned, images, **options):
    """Engine and what it was said to do; the codes are right."""
    notes = []
    inputs = corner_inputs(np.random.default_rng(2), planned.program, images)
    wanted = RtlOptions(**options)
    engine = chosen_engine(planned, images, wanted)
    result = run_on_rtl(engine, planned, inputs, wanted, notes.append)
    for name, codes in simulate(planned.program, inputs).items():
        np.testing.assert_array_equal(codes, result.codes[name])
    return engine, notes


def test_jobs_and_waveforms(planned, tmp_path):
    """Two processes share the images; waveforms come from Icarus Verilog without asking for it."""
    assert run(planned, 2, simulator="icarus", jobs=2) == (ICARUS, ["building for Icarus Verilog",
                                                                   "RTL in Icarus Verilog"])
    assert run(planned, 1, waves=tmp_path / "all.fst")[0] is ICARUS
    assert (tmp_path / "all.fst").stat().st_size > 1000


@pytest.mark.nightly
def test_the_fast_simulator(planned):
    """Verilator, asked for by name, gives the same codes and says what it compiles."""
    if reason := VERILATOR.missing():
        pytest.skip(reason)
    engine, notes = run(planned, 2, simulator="verilator")
    assert engine is VERILATOR
    assert notes[-1] == "RTL in Verilator"


def test_auto_asks_the_plan(planned, monkeypatch):
    """The choice sees the cycles of all images."""
    seen = []
    monkeypatch.setattr("bitwright.codesign.rtl_run.choose",
                        lambda machine, text, top, cycles: seen.append(cycles) or ICARUS)
    for images in (3, 1):
        chosen_engine(planned, images, RtlOptions())
    assert seen[0] == 3 * seen[1]


def test_waveforms_of_several_processes_are_refused(planned, tmp_path):
    """They would write one file."""
    with pytest.raises(InputError, match=r"^waveforms come from one process, not 2$"):
        run(planned, 2, jobs=2, waves=tmp_path / "all.fst")
