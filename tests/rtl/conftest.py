"""Small machines, and a way to run the bench of a single component."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from amaranth.hdl import Elaboratable
from numpy.typing import NDArray

from rtl.engines import ICARUS
from rtl.simulator import run
from rtl.verilog import verilog_text
from sim.events import EVENTS, events
from sim.machine import Machine, load_machine
from sim.plan import Plan
from sim.simulate import simulate
from sim.timing import timeline

RunUnit = Callable[..., None]

WAITS = ("wait_accumulator", "wait_weights", "wait_transfers", "starved", "blocked")
"""Counters of cycles in which something waits."""


@pytest.fixture(scope="session")
def small_machine() -> Machine:
    """As little as shows everything: two rows per requantizer, two lane groups, columns that stride 2 keeps apart."""
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
        ICARUS.run_bench(place, "unit", f"rtl.benches.{bench}", folder,
                  {"BITWRIGHT_MACHINE": machine.model_dump_json(), **environment})

    return run_component


def differences(plan: Plan, inputs: dict[str, NDArray[np.int32]], *, stall: float = 0.0,
                place: Path | None = None) -> list[str]:
    """What the RTL does otherwise than the simulator: codes of every tensor, cycles of every record, counters.

    A stalling stream may move the cycles and what is waited for, nothing else.
    """
    result = run(plan, inputs, stall=stall, place=place)
    codes, times = simulate(plan.program, inputs), timeline(plan)
    found = [f"codes of {name}" for name in codes if not np.array_equal(codes[name], result.codes[name])]
    per_record = events(plan)
    expected = {name: sum(record.get(name, 0) for record in per_record) for name in (*EVENTS, "stream_out_bits")}
    expected |= {"pairs": times.pairs}
    if not stall:
        expected |= {name: getattr(times, name) for name in WAITS}
        found += [f"ends {list(ends)} not {times.ends}" for ends in result.ends if tuple(ends) != times.ends]
    for counters in result.counters:
        found += [f"{name} {counters[name]} not {expected[name]}" for name in expected
                  if counters[name] != expected[name]]
    return found


@pytest.fixture(scope="session")
def compare() -> Callable[..., list[str]]:
    """`differences`, for the tests of whole Programs."""
    return differences
