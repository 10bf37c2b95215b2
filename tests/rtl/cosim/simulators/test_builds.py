"""Which build belongs to what."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from rtl.cosim.simulators import ICARUS, cached_build
from rtl.cosim.simulators.builds import is_cached
from rtl.verilog.cache import cached_text

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


def test_a_build_that_others_may_have_changed_is_built_anew():
    """What a simulator executes, nobody else has written."""
    place = cached_build(ICARUS, TEXT, "unit")
    (place / "sim.vvp").write_text("evil")
    (place / "sim.vvp").chmod(0o666)
    assert not is_cached(ICARUS, TEXT, "unit")
    assert cached_build(ICARUS, TEXT, "unit") == place
    assert (place / "sim.vvp").read_text().startswith("#!")
    assert is_cached(ICARUS, TEXT, "unit")


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
