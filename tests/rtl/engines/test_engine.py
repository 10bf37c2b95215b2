"""What every engine must do alike."""

from __future__ import annotations

import re

import pytest

from rtl.engines import ENGINES, ICARUS, VERILATOR, SimulationError, engine_named
from rtl.pool import PoolColumn
from rtl.verilog import verilog_text
from sim.errors import InputError


@pytest.fixture(scope="module")
def steps():
    """What the build said."""
    return []


@pytest.fixture(scope="module")
def place(engine, steps, small_machine, tmp_path_factory):
    """The build of a small component."""
    text = verilog_text(PoolColumn(small_machine.lanes), "unit")
    return engine.build(text, "unit", tmp_path_factory.mktemp("unit") / "build", steps.append)


def test_a_refused_source_shows_the_log(engine, tmp_path):
    """Verilog that the engine refuses is an error with the engine's own words, and leaves no build."""
    with pytest.raises(SimulationError, match=rf"(?s)^{engine.title} refused the source\n.*syntax error"):
        engine.build("module unit; nonsense", "unit", tmp_path / "build")
    assert not (tmp_path / "build").exists()


def test_a_failing_bench_shows_the_log(engine, place, tmp_path):
    """A bench that cannot even be imported is an error with the tail of the log."""
    with pytest.raises(SimulationError, match=r"(?s)^rtl.benches.no_such_bench.*No module named"):
        engine.run_bench(place, "unit", "rtl.benches.no_such_bench", tmp_path, {})


def test_every_engine_runs_a_bench(engine, place, small_machine, tmp_path):
    """The bench of the pool's comparators passes; waveforms go where they were asked for, if the engine has them."""
    waves = tmp_path / "all.fst" if engine is ICARUS else None
    engine.run_bench(place, "unit", "rtl.benches.pool_bench", tmp_path,
                     {"BITWRIGHT_MACHINE": small_machine.model_dump_json()}, waves)
    assert waves is None or waves.stat().st_size > 1000


def test_a_build_tells_its_steps(engine, place, steps):
    """Only the engine that compiles long says what it is doing."""
    assert bool(steps) == (engine is VERILATOR)


def test_versions_are_told(engine):
    """The version of each engine has a number."""
    assert re.search(r"\d+\.\d+", engine.version())


def test_waveforms_of_verilator_are_refused(tmp_path):
    """Its builds have no tracing."""
    message = "Verilator writes no waveforms here; Icarus Verilog does"
    with pytest.raises(InputError, match=f"^{message}$"):
        VERILATOR.wave_arguments(tmp_path / "all.fst")


def test_a_missing_engine_is_named(monkeypatch, tmp_path):
    """Asked for by name, a missing engine is an error that says what to install."""
    monkeypatch.setattr("shutil.which", lambda name: None)
    messages = {"icarus": "Icarus Verilog (iverilog) was not found; install it with 'apt-get install iverilog'",
                "verilator": "Verilator needs a C++ compiler (g++); install it with 'apt-get install g++'"}
    monkeypatch.setattr("rtl.engines.verilator.find_spec", lambda name: name)
    for engine in ENGINES:
        with pytest.raises(InputError, match=f"^{re.escape(messages[engine.name])}$"):
            engine_named(engine.name)
    monkeypatch.setattr("rtl.engines.verilator.find_spec", lambda name: None)
    message = "Verilator was not found; install it with 'pip install verilator'"
    with pytest.raises(InputError, match=f"^{message}$"):
        VERILATOR.build("", "unit", tmp_path / "build")


def test_an_unknown_engine_is_refused():
    """The message lists those that there are."""
    with pytest.raises(InputError, match=r"^simulator must be icarus or verilator, not modelsim$"):
        engine_named("modelsim")
