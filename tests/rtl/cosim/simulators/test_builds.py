"""Which build belongs to what."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from rtl.cosim.simulators import ICARUS, cached_build
from rtl.cosim.simulators.builds import SOURCE_FOLDERS, cached_text, is_cached
from sim.errors import InputError

TEXT = "module unit(input wire clk); endmodule\n"


@pytest.fixture(autouse=True)
def _cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_a_build_is_found_again():
    """The same text gives the same build, another text or top another one."""
    assert not is_cached(ICARUS, TEXT, "unit")
    first = cached_build(ICARUS, TEXT, "unit")
    built = (first / "sim.vvp").stat().st_mtime_ns
    assert is_cached(ICARUS, TEXT, "unit")
    assert cached_build(ICARUS, TEXT, "unit") == first
    assert (first / "sim.vvp").stat().st_mtime_ns == built
    assert cached_build(ICARUS, TEXT.replace("clk", "clock"), "unit") != first
    assert not is_cached(ICARUS, TEXT, "other")


def test_a_text_is_made_once():
    """What was made for a name comes back until a source changes."""
    assert cached_text("a", lambda: "first") == "first"
    assert cached_text("a", lambda: "second") == "first"
    assert cached_text("b", lambda: "second") == "second"


def test_a_changed_tool_is_another_text(monkeypatch):
    """A newer Amaranth or Yosys may write other Verilog."""
    assert cached_text("a", lambda: "first") == "first"
    monkeypatch.setattr("rtl.cosim.simulators.builds._tool_versions", lambda: ("99",))
    assert cached_text("a", lambda: "second") == "second"


def test_a_change_in_any_folder_is_another_text(monkeypatch, tmp_path):
    """A source counts wherever it lies below the folders of the hardware, and so does its place."""
    monkeypatch.setattr("rtl.cosim.simulators.builds.SOURCE_FOLDERS", (tmp_path / "sources",))
    module = tmp_path / "sources" / "core" / "datapath" / "pe.py"
    module.parent.mkdir(parents=True)
    module.write_text("WIDTH = 1")
    assert cached_text("a", lambda: "first") == "first"
    module.write_text("WIDTH = 2")
    assert cached_text("a", lambda: "second") == "second"
    module.rename(module.with_name("array.py"))
    assert cached_text("a", lambda: "third") == "third"
    assert cached_text("a", lambda: "fourth") == "third"


def test_the_sources_of_the_hardware_are_those_of_both_packages():
    """Amaranth's half of the accelerator lies in `rtl`, the numbers that both sides share in `sim`."""
    assert [folder.name for folder in SOURCE_FOLDERS] == ["rtl", "sim"]


def test_a_build_that_others_may_have_changed_is_built_anew():
    """What a simulator executes, nobody else has written."""
    place = cached_build(ICARUS, TEXT, "unit")
    (place / "sim.vvp").write_text("evil")
    (place / "sim.vvp").chmod(0o666)
    assert not is_cached(ICARUS, TEXT, "unit")
    assert cached_build(ICARUS, TEXT, "unit") == place
    assert (place / "sim.vvp").read_text().startswith("#!")
    assert is_cached(ICARUS, TEXT, "unit")


@pytest.mark.parametrize("error", [InputError("no folder"), OSError(28, "No space left on device")],
                         ids=["none", "full"])
def test_a_cache_that_fails_costs_time_alone(monkeypatch, error):
    """The text is made, every time."""
    def fail(part):
        raise error

    monkeypatch.setattr("rtl.cosim.simulators.builds.cache_directory", fail)
    assert cached_text("a", lambda: "first") == "first"
    assert cached_text("a", lambda: "second") == "second"


def test_threads_that_want_the_same_build_share_one():
    """Of several at once one builds it, and all get it whole; of a text as well."""
    start, made = threading.Barrier(4), []

    def want(_):
        start.wait()
        place = cached_build(ICARUS, TEXT, "unit")
        return (place / "sim.vvp").read_bytes(), cached_text("a", lambda: made.append(1) or "text")

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(want, range(4)))
    assert len(set(found)) == len(made) == 1
