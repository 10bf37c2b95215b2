"""Time the cost table of ResNet-18: 22 layers at 49 choices of bits, on one machine and on many.

    python -m benchmarks.cost_table [--json] [--machine edge] [--size 224] [--machines 200] [--checks 8]

Times are of one thread and of the processor, so that other work on the computer counts little. The one machine is
visited again and again, every machine of the sweep once, after the code is warm. Machines that hold all tensors of the
network on chip are told apart from those that do not: there a table covers every way to cut a layer into bands. The
table of the one machine and of `--checks` more must equal what `sim.testing.harness.scalar_costs` computes choice by
choice, in every number.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Sequence
from time import process_time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from quant.convert import quantize
from quant.data.image_format import IMAGE_EXPONENT, IMAGE_FORMAT, noise_codes
from quant.lowering.lower import lower
from quant.networks import make_realistic, resnet18
from sim.arch.machine import Machine, load_machine
from sim.cost.table import CostTable, cost_table
from sim.cost.worst_case import WorstCaseCosts
from sim.energy.technology import load_technology
from sim.ir.program import Program
from sim.testing.harness.scalar_costs import plain_cost_table

ROUNDS = 100
"""Visits of the one machine."""

Times = dict[str, float | int]


def resnet18_program(size: int, machine: Machine) -> Program:
    """Build ResNet-18 with random but realistic weights, its image folded."""
    torch.manual_seed(0)
    model, codes = resnet18(), noise_codes(2, size, seed=0)
    images = codes * 2.0**IMAGE_EXPONENT
    make_realistic(model, images, seed=0)
    quantized = quantize(model, images, scheme="power_of_two", weight_bits=4, activation_bits=4, first_last_bits=8,
                         input_format=IMAGE_FORMAT, input_exponent=IMAGE_EXPONENT)
    return lower(quantized, images[:1], machine.arithmetic, fold=True)


def different_machines(base: Machine, count: int, seed: int) -> list[Machine]:
    """Legal machines, all different, with accumulators and digits of `base`."""
    rng, found = np.random.default_rng(seed), dict[Machine, None]()
    while len(found) < count:
        found[_legal_machine(base, rng)] = None
    return list(found)


def _legal_machine(base: Machine, rng: np.random.Generator) -> Machine:
    rows, lanes, columns = (int(rng.choice(of)) for of in ((8, 16, 32), (32, 64, 128), (3, 5, 7, 9, 11, 14)))
    sizes = {
        "rows": rows, "lanes": lanes, "columns": columns, "stream_bits": lanes * int(rng.choice((1, 2))),
        "depthwise_lanes": int(rng.choice((0, rows))), "acc_depth": int(rng.choice((32, 64, 128, 256))),
        "requantizers": int(rng.choice((2, 4, 8))), "weight_words": int(rng.choice((288, 576, 1152))),
        "act_regions": int(rng.choice((16, 24, 32))), "region_words": int(rng.choice((1024, 2048, 4096)))}
    return Machine(**base.model_dump() | sizes)


def visit(program: Program, machine: Machine) -> tuple[float, CostTable]:
    """Milliseconds of processor time that a table takes, and the table."""
    technology = load_technology(machine.technology)
    start = process_time()
    table = cost_table(program, machine, technology)
    return (process_time() - start) * 1e3, table


def equal_to_plain(program: Program, machine: Machine, table: CostTable) -> bool:
    """Tell whether the table has exactly the numbers of the plain one."""
    plain = plain_cost_table(program, machine, load_technology(machine.technology))
    arrays = all(np.array_equal(getattr(table, what), getattr(plain, what))
                 for what in ("cycles", "energy_pj", "bytes", "fits"))
    return arrays and ((table.fixed_cycles, table.fixed_energy_pj) == (plain.fixed_cycles, plain.fixed_energy_pj))


def summary(times: Sequence[float]) -> Times:
    """Return median and spread [ms]."""
    low, median, high = np.percentile(times, (5, 50, 95)) if times else (0.0, 0.0, 0.0)
    return {"tables": len(times), "median_ms": float(median), "p5_ms": float(low), "p95_ms": float(high),
            "total_ms": float(np.sum(times))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--machine", default="edge")
    parser.add_argument("--size", type=int, default=224, help="height and width of the image")
    parser.add_argument("--machines", type=int, default=200, help="different machines of the sweep")
    parser.add_argument("--checks", type=int, default=8, help="machines of the sweep whose tables are checked")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    machine = load_machine(arguments.machine)
    program = resnet18_program(arguments.size, machine)
    _, table = visit(program, machine)
    exact = equal_to_plain(program, machine, table)
    rows = {f"machine '{machine.name}'": summary([visit(program, machine)[0] for _ in range(ROUNDS)])}
    visits = [(other, *visit(program, other)) for other in different_machines(machine, arguments.machines, seed=0)]
    holds = [WorstCaseCosts(program, other, 8).all_on_chip for other, _, _ in visits]
    for what, wanted in (("sweep, network on chip", True), ("sweep, network in bands", False)):
        rows[what] = summary([time for (_, time, _), held in zip(visits, holds, strict=True) if held == wanted])
    exact &= all(equal_to_plain(program, other, found) for other, _, found in visits[: arguments.checks])
    versions = {"python": platform.python_version(), "numpy": np.__version__}
    if arguments.json:
        print(json.dumps({"layers": len(table.layers), "size": arguments.size, "rows": rows, "exact": exact,
                          "versions": versions}, indent=2))
        return
    print(f"ResNet-18 at {arguments.size} x {arguments.size}, {len(table.layers)} layers x "
          f"{table.cycles[0].size} choices")
    print(f"{'':26}{'tables':>7}{'median ms':>11}{'5..95 %':>16}{'total s':>9}")
    for what, row in rows.items():
        spread = f"{row['p5_ms']:.2f}..{row['p95_ms']:.2f}"
        print(f"{what:26}{row['tables']:7}{row['median_ms']:11.2f}{spread:>16}{row['total_ms'] / 1e3:9.2f}")
    print(f"equal to the plain table in every number: {'yes' if exact else 'NO'}")
    print(", ".join(f"{name} {version}" for name, version in versions.items()))


if __name__ == "__main__":
    main()
