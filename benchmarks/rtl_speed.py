"""Engines of the RTL side by side: what a build costs, cycles per second, and what a million cycles take.

`python -m benchmarks.rtl_speed --machine tiny` builds every installed engine anew, runs the same random Program,
compares codes, ends and counters with the simulator, and prints a table. Seconds are of processor time.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
from pathlib import Path

import numpy as np

from rtl.cosim.run import run
from rtl.cosim.scoreboard import differences
from rtl.cosim.simulators import ENGINES, Engine
from rtl.verilog.cache import machine_text
from rtl.verilog.emit import TOP
from sim.arch.machine import Machine, load_machine
from sim.errors import InputError
from sim.plan.plan import Plan, plan
from sim.testing import corner_inputs, random_program

CANDIDATES = 40
"""Random Programs of which the longest is taken."""


def long_plan(machine: Machine) -> Plan:
    """Return the longest of some random Programs on a machine."""
    plans = []
    for seed in range(CANDIDATES):
        try:
            plans.append(plan(random_program(np.random.default_rng(seed), machine, layers=8), machine))
        except InputError:
            continue
    return max(plans, key=lambda planned: planned.timeline.total)


def processor_seconds() -> float:
    """Return the processor time of all children that have ended [s]."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measured(engine: Engine, planned: Plan, cycles: int, folder: Path) -> tuple[float, float, int]:
    """Return the build's seconds, the cycles per second of a run, and how many differences it showed."""
    text = machine_text(planned.machine)
    start = processor_seconds()
    place = engine.build(text, TOP, folder / engine.name)
    built = processor_seconds()
    images = max(1, cycles // planned.timeline.total)
    inputs = corner_inputs(np.random.default_rng(0), planned.program, images)
    result = run(planned, inputs, engine=engine, place=place)
    seconds = processor_seconds() - built
    return built - start, images * planned.timeline.total / seconds, len(differences(planned, inputs, result))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--machine", default="tiny", help="a built-in machine or a YAML file")
    parser.add_argument("--engines", nargs="+", default=[engine.name for engine in ENGINES])
    parser.add_argument("--cycles", type=int, default=500_000, help="of the compiled engines; Icarus runs a fiftieth")
    arguments = parser.parse_args()
    planned = long_plan(load_machine(arguments.machine))
    print(f"load before the runs: {os.getloadavg()[0]:.1f}")
    print("| engine | machine | build, CPU s | cycles/s | differences | a million cycles |")
    print("|---|---|--:|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as temporary:
        for engine in ENGINES:
            if engine.name not in arguments.engines or engine.missing():
                continue
            cycles = arguments.cycles // 50 if engine.name == "icarus" else arguments.cycles
            build, pace, different = measured(engine, planned, cycles, Path(temporary))
            print(f"| {engine.name} | {arguments.machine} | {build:.1f} | {pace:,.0f} | {different} "
                  f"| {1e6 / pace:.1f} s |",
                  flush=True)


if __name__ == "__main__":
    main()
