"""Which build belongs to what."""

from __future__ import annotations

import pytest

from rtl.engines import ICARUS, cached_build
from rtl.engines.builds import cached_text, is_cached

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
    monkeypatch.setattr("rtl.engines.builds._tool_versions", lambda: ("99",))
    assert cached_text("a", lambda: "second") == "second"
