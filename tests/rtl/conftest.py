"""Small machines, and a way to run the bench of a single component."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from amaranth.hdl import Elaboratable

from rtl.icarus import build, run_bench
from rtl.verilog import verilog_text
from sim.machine import Machine, load_machine

RunUnit = Callable[..., None]


@pytest.fixture(scope="session", autouse=True)
def _icarus() -> None:
    """Everything here runs on Icarus Verilog, except what needs it to be missing."""
    if shutil.which("iverilog") is None:
        pytest.skip("Icarus Verilog (iverilog) is not installed")


@pytest.fixture(scope="session")
def small_machine() -> Machine:
    """As little as shows everything: two rows per requantizer, two lane groups, columns that stride 2 keeps apart."""
    return load_machine("tiny").model_copy(update={
        "name": "small", "rows": 4, "columns": 3, "lanes": 8, "requantizers": 2, "acc_depth": 4, "region_words": 512,
        "act_regions": 8})


@pytest.fixture
def run_unit(tmp_path: Path, small_machine: Machine) -> RunUnit:
    """Build a component as the top module and run its bench on it."""

    def run(component: Elaboratable, bench: str, machine: Machine = small_machine, **environment: str) -> None:
        place = build(verilog_text(component, "unit"), "unit", tmp_path / "build")
        folder = tmp_path / "run"
        folder.mkdir()
        run_bench(place, "unit", f"rtl.benches.{bench}", folder,
                  {"BITWRIGHT_MACHINE": machine.model_dump_json(), **environment})

    return run
