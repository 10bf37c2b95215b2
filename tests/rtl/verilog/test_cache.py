"""The Verilog of machines that is known from earlier runs."""

from __future__ import annotations

import pytest

from rtl.verilog.cache import SOURCE_FOLDERS, cached_text
from sim.errors import InputError


@pytest.fixture(autouse=True)
def _cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_a_text_is_made_once():
    """What was made for a name comes back until a source changes."""
    assert cached_text("a", lambda: "first") == "first"
    assert cached_text("a", lambda: "second") == "first"
    assert cached_text("b", lambda: "second") == "second"


def test_a_changed_tool_is_another_text(monkeypatch):
    """A newer Amaranth or Yosys may write other Verilog."""
    assert cached_text("a", lambda: "first") == "first"
    monkeypatch.setattr("rtl.verilog.cache._tool_versions", lambda: ("99",))
    assert cached_text("a", lambda: "second") == "second"


def test_a_change_in_any_folder_is_another_text(monkeypatch, tmp_path):
    """A source counts wherever it lies below the folders of the hardware, and so does its place."""
    monkeypatch.setattr("rtl.verilog.cache.SOURCE_FOLDERS", (tmp_path / "sources",))
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


@pytest.mark.parametrize("error", [InputError("no folder"), OSError(28, "No space left on device")],
                         ids=["none", "full"])
def test_a_cache_that_fails_costs_time_alone(monkeypatch, error):
    """The text is made, every time."""
    def fail(part):
        raise error

    monkeypatch.setattr("rtl.verilog.cache.cache_directory", fail)
    assert cached_text("a", lambda: "first") == "first"
    assert cached_text("a", lambda: "second") == "second"
