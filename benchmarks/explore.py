"""Time how many machines `bitwright explore` evaluates: ResNet-18 at fixed bits, MobileNetV2 with bits under budgets.

    python -m benchmarks.explore [--json] [--machines 400] [--allocations 60] [--checks 8] [--processes 1 2]

Machines are random and legal, all different, with memories that are late or pause; every process visits its own once,
after `WARM_UP` others. All machines count, also those that refuse the network: the share that runs it is printed. What
is timed is the function that the jobs of a search call, with energy and area. Rates are by the clock and by the time of
the processor, which tells more on a busy computer.

`--checks` machines are compared in every figure with slower ways: the plan of a Program that shares nothing with the
one that was timed, its cycles row tile by row tile, and cost tables choice by choice.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import platform
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from time import perf_counter, process_time
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from benchmarks.cost_table import equal_to_plain
from bitwright.explore.evaluate import evaluate, figures_of
from quant.bits.budgets import stored_input
from sim.arch.machine import Machine, load_machine
from sim.cost.estimate import estimate
from sim.cost.table import cost_table
from sim.energy.technology import load_technology
from sim.ir.shapes import ChosenBits, load_shapes
from sim.plan.plan import Plan, plan
from sim.testing.stimulus.machines import random_memory
from sim.timing.recurrence import PipelineState

FIXED, ALLOCATED = "resnet18", "mobilenet_v2"
TECHNOLOGY = "generic45"
BUDGETS = {"mean_weight_bits": 4.0, "mean_activation_bits": 5.0, "latency_ms": 1000.0, "energy_mj": 1000.0}
WIDTHS = tuple(range(2, 9))
WARM_UP = 20

Rate = dict[str, float | int]


def different_machines(count: int, seed: int) -> list[Machine]:
    """Legal machines of 128 to 65536 one-bit products per cycle, all different."""
    rng, found = np.random.default_rng(seed), dict[Machine, None]()
    while len(found) < count:
        try:
            found[_machine(rng)] = None
        except ValueError:
            continue
    return list(found)


def _machine(rng: np.random.Generator) -> Machine:
    def one(*of: int) -> int:
        return int(rng.choice(of))

    lanes, rows = one(16, 32, 64, 128), one(8, 16, 32)
    return Machine(**load_machine("edge").model_dump() | {
        "rows": rows, "lanes": lanes, "columns": int(rng.integers(1, 17)), "stream_bits": lanes * one(1, 2),
        "depthwise_lanes": one(0, rows), "acc_depth": one(16, 32, 64, 128), "requantizers": one(1, 2, 4, 8),
        "weight_words": one(576, 1152, 2304), "act_regions": one(8, 16, 24, 32), "region_words": one(1024, 2048, 4096),
        "terms": one(1, 2, 3, 4), "window": one(8, 10, 12), "memory": random_memory(rng)})


@cache
def network(name: str) -> dict[str, Any]:
    """Describe a network as `bitwright.explore.networks.network_data` does, with losses that halve with every bit."""
    shapes = load_shapes(name)
    program = shapes.program(ChosenBits(weights=8, activations=8, digits=1))
    inputs = {tensor.name for tensor in program.inputs}
    losses = [2.0**-bits for bits in WIDTHS]
    tensors = dict.fromkeys(stored_input(program, conv) for conv in program.convs)
    choice = {"bits": [4, 4], "first_last": 8} if name == FIXED else {"budgets": BUDGETS}
    return {"name": name, "shapes": shapes.model_dump(mode="json", exclude_defaults=True), "choices": [choice],
            "method": "lp", "losses": None if name == FIXED else {
                "bits": WIDTHS, "weight": {conv.name: [float(np.sqrt(conv.weights.size)) * loss for loss in losses]
                                           for conv in program.convs},
                "activation": {tensor: losses for tensor in tensors if tensor not in inputs}}}


def results(name: str, machines: Sequence[Machine]) -> list[dict[str, Any]]:
    """Evaluate a network on machines, one job after another."""
    technology = load_technology(TECHNOLOGY).model_dump(mode="json")
    return [evaluate([network(name)], technology, [{"machine": machine.model_dump(mode="json"), "choices": [0]}])[0]
            for machine in machines]


def visit(name: str, count: int, seed: int) -> Rate:
    """Time the evaluation of so many machines in this process."""
    results(name, different_machines(WARM_UP, seed + 1000))
    machines = different_machines(count, seed)
    start, used = perf_counter(), process_time()
    found = results(name, machines)
    return {"machines": count, "ran": sum("refused" not in one for one in found),
            "clock_s": perf_counter() - start, "processor_s": process_time() - used}


def rate(name: str, count: int, processes: int) -> Rate:
    """Time several processes side by side."""
    with ProcessPoolExecutor(processes) as pool:
        visits = list(pool.map(visit, *zip(*((name, count, seed) for seed in range(processes)), strict=True)))
    machines, used = (sum(one[what] for one in visits) for what in ("machines", "processor_s"))
    return {"processes": processes, "machines": machines, "ran": sum(one["ran"] for one in visits) / machines,
            "per_s": sum(one["machines"] / one["clock_s"] for one in visits), "processor_ms": 1e3 * used / machines}


def exact(machine: Machine) -> bool:
    """Tell whether the figures and tables of a machine are those of slower ways."""
    chosen, technology = ChosenBits(weights=4, activations=4, digits=machine.terms), load_technology(TECHNOLOGY)
    [found] = results(FIXED, [machine])
    wide = load_shapes(ALLOCATED).program(ChosenBits(weights=8, activations=8, digits=1), machine.arithmetic)
    tables = equal_to_plain(wide, machine, cost_table(wide, machine, technology))
    if "refused" in found:
        return tables
    planned = plan(copy.deepcopy(load_shapes(FIXED).program(chosen, machine.arithmetic)), machine)
    figures = figures_of(estimate(planned, technology))
    return tables and found["networks"][0]["figures"] == figures and _ends(planned) == planned.timeline.ends


def _ends(planned: Plan) -> tuple[int, ...]:
    """Return when ops end, without taking row tiles or layers together."""
    state = PipelineState(planned.machine.memory, watch=lambda chunks: None)
    return tuple(schedule.run(state, waits)[1] for schedule, waits in zip(planned.schedules, planned.waits,
                                                                          strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--machines", type=int, default=400, help="for ResNet-18, in each process")
    parser.add_argument("--allocations", type=int, default=60, help="machines for MobileNetV2, in each process")
    parser.add_argument("--checks", type=int, default=8, help="machines that are checked")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    arguments = parser.parse_args()
    counts = {FIXED: arguments.machines, ALLOCATED: arguments.allocations}
    rows = {name: [rate(name, count, processes) for processes in arguments.processes]
            for name, count in counts.items()}
    right = all(exact(machine) for machine in different_machines(arguments.checks, seed=0))
    versions = {"python": platform.python_version(), "numpy": np.__version__}
    if arguments.json:
        print(json.dumps({"rows": rows, "exact": right, "checked": arguments.checks, "versions": versions}, indent=2))
        return
    print(f"{'':42}{'processes':>10}{'machines':>10}{'that run it':>13}{'per s':>8}{'per min':>9}{'CPU ms':>8}")
    for name, title in ((FIXED, "resnet18 at 4/4 bits"), (ALLOCATED, "mobilenet_v2, bits under four budgets")):
        for row in rows[name]:
            print(f"{title:42}{row['processes']:10}{row['machines']:10}{100 * row['ran']:12.0f}%{row['per_s']:8.0f}"
                  f"{60 * row['per_s']:9.0f}{row['processor_ms']:8.2f}")
    print(f"{arguments.checks} machines equal in every figure and table to slower ways: {'yes' if right else 'NO'}")
    print(", ".join(f"{name} {version}" for name, version in versions.items()))


if __name__ == "__main__":
    main()
