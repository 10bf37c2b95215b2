"""Small machines, and a way to run the bench of a single component."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Elaboratable
from numpy.typing import NDArray

from rtl.cosim.run import run
from rtl.cosim.scoreboard import differences
from rtl.cosim.simulators import ICARUS
from rtl.verilog.emit import verilog_text
from sim.arch.machine import Machine, load_machine
from sim.functional.reference import simulate
from sim.plan.plan import Plan
from sim.testing.coverage.coverage import Coverage

RunUnit = Callable[..., None]


@pytest.fixture(scope="session")
def small_machine() -> Machine:
    """As little as shows everything: two rows per requantizer, two lane slices, columns that stride 2 keeps apart."""
    return Machine(**load_machine("tiny").model_dump() | {
        "name": "small", "rows": 4, "columns": 3, "lanes": 8, "requantizers": 2, "acc_depth": 4, "region_words": 512,
        "act_regions": 8})


@pytest.fixture
def run_unit(tmp_path: Path, small_machine: Machine) -> RunUnit:
    """Build a component as the top module and run its bench on it."""

    def run_component(component: Elaboratable, bench: str, machine: Machine = small_machine,
                      **environment: str) -> None:
        place = ICARUS.build(verilog_text(component, "unit"), "unit", tmp_path / "build")
        folder = tmp_path / "run"
        folder.mkdir()
        ICARUS.run_bench(place, "unit", f"rtl.verification.benches.{bench}", folder,
                  {"BITWRIGHT_MACHINE": machine.model_dump_json(), **environment})

    return run_component


@pytest.fixture(scope="session")
def compare(coverage: Coverage) -> Callable[..., list[str]]:
    """Return the differences of the RTL from the simulator, given a plan, inputs and options of `run`."""

    def found(plan: Plan, inputs: dict[str, NDArray[np.int32]], *, stall: float = 0.0, **options: Any) -> list[str]:
        different = differences(plan, inputs, run(plan, inputs, stall=stall, **options), stalled=stall > 0)
        if not (different or options.get("place")):
            coverage.add(coverage.bins_of(plan, simulate(plan.program, inputs)))
        return different

    return found
