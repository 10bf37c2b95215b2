"""Compare the energies that a technology file promises with those of our own gates, for layers it was not made from.

    python -m benchmarks.gate_energy TECHNOLOGY --liberty LIB... [--clock-gate CELL] [-m MACHINE] [--out RECORD]

Twenty choices of bits run on a slice of the machine, with data of a seed that no calibration uses; codes and counters
must be those of the simulator. Beside them a fixed multiplier of 8 x 8 bits runs in the same cells, with operands of
the same layers.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.fixed_multiplier import FixedMultiplier
from rtl.gates.calibration import mapped, wire_load
from rtl.gates.circuit import Circuit
from rtl.gates.components import ELEMENT_STAGES
from rtl.gates.delays import Delays
from rtl.gates.energy import Costs
from rtl.gates.liberty import read_liberty
from rtl.gates.library import Library
from rtl.gates.mapping import map_design
from rtl.gates.measure import Bench, Measured
from rtl.gates.netlist import flatten
from rtl.gates.simulation import GateSimulation
from rtl.gates.slice import slice_of
from rtl.gates.workload import Workload, workload
from rtl.verilog.emit import TOP, verilog_text
from sim.arch.machine import Machine, load_machine
from sim.energy.model import prices
from sim.energy.technology import load_technology

CHOICES = [(w, a) for w in (2, 3, 4, 6, 8) for a in (2, 3, 4, 8)]
SEED, PAIRS = 7, 500
MULTIPLIER = "fixed"


def compare(machine: Machine, run: Measured, price_fj: dict[str, float]) -> dict[str, Any]:
    """Return energies of a run by its gates and by the table, for each component, and their ratios."""
    events, shares = run.events, 1 / machine.rows + 1 / machine.columns
    reads = run.total("operand_reads") / run.operand_reads * events["narrow_adds"] * shares
    gates = {"elements": sum(run.total(stage) for stage in ELEMENT_STAGES) + reads,
             "operands": run.total("operand_bits"), "depthwise lanes": run.total("lane_adds"),
             "requantizers": run.total("requant_terms")}
    table = {"elements": sum(price_fj[event] * events[event] for event in ELEMENT_STAGES),
             "operands": price_fj["operand_bits"] * events["operand_bits"],
             "depthwise lanes": price_fj["lane_adds"] * events["lane_adds"],
             "requantizers": price_fj["requant_terms"] * events["requant_terms"]}
    return {"bits": run.name, "cycles": run.cycles, "pairs": events["narrow_adds"],
            "gates_fj": gates, "table_fj": table,
            "ratio": {name: table[name] / gates[name] for name in gates if gates[name]}}


def multiplier_fj(library: Library, clock_gate: str | None, work: Workload) -> float:
    """Return what the fixed multiplier takes for a multiplication of a workload's dense layer [fJ]."""
    modules = map_design(verilog_text(FixedMultiplier(), MULTIPLIER), MULTIPLIER, library, clock_gate)
    circuit = Circuit(flatten(modules, MULTIPLIER, library.cells), library, wire_load(library))
    delays = Delays(circuit)
    simulation = GateSimulation(circuit, delays)
    conv = work.plan.program.convs[0]
    codes = work.codes[conv.input]
    count = 0
    for channel in range(conv.weights.shape[0]):
        weights = conv.weights[channel, :, 1, 1].astype(int)
        for pixel in codes.reshape(len(codes), -1).T[:8]:
            for k, (w, a) in enumerate(zip(weights, pixel, strict=True)):
                simulation.drive(w=int(w) & 255, a=int(a), valid=1, first=int(k == 0))
                simulation.step()
                count += 1
    return float(sum(part.sum() for part in Costs(circuit, delays).of(simulation.activity)[:5])) / count


def order_agrees(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Compare the order of choices by energy of a multiplication, by gates and by the table."""
    def by_mac(row: dict[str, Any], side: str) -> float:
        w, a = map(int, row["bits"].split("/"))
        return sum(row[side][name] for name in ("elements", "operands", "requantizers")) / row["pairs"] * w * a

    gates, table = (np.array([by_mac(row, side) for row in rows]) for side in ("gates_fj", "table_fj"))
    pairs = [(i, j) for i in range(len(rows)) for j in range(i)]
    turned = [(rows[i]["bits"], rows[j]["bits"], abs(gates[i] / gates[j] - 1)) for i, j in pairs
              if (gates[i] - gates[j]) * (table[i] - table[j]) < 0]
    return {"pairs": len(pairs), "turned": [{"one": one, "other": other, "differ_by": by} for one, other, by in turned]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("technology")
    parser.add_argument("--liberty", "-l", action="append", required=True, type=Path)
    parser.add_argument("--clock-gate")
    parser.add_argument("--machine", "-m", default="edge")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    machine, library = load_machine(arguments.machine), Library([read_liberty(path) for path in arguments.liberty])
    small, technology = slice_of(machine), load_technology(arguments.technology)
    price_fj = {name: 1e3 * one.nominal_pj for name, one in prices(small, technology).items()}
    circuit = Circuit(flatten(mapped(small, library, arguments.clock_gate), TOP, library.cells), library,
                      wire_load(library))
    bench = Bench(small, circuit)
    rows: list[dict[str, Any]] = []
    fixed: dict[str, dict[str, float]] = {}
    for w, a in CHOICES:
        work = workload(small, w, a, SEED, PAIRS)
        rows.append(compare(machine, bench.run(f"{w}/{a}", work), price_fj))
        print(rows[-1]["bits"], {name: round(ratio, 3) for name, ratio in rows[-1]["ratio"].items()}, flush=True)
        if w == a and w in (2, 4, 8):
            serial = rows[-1]["gates_fj"]["elements"] / rows[-1]["pairs"] * w * a / machine.lanes
            fixed[f"{w}/{a}"] = {"bit_serial_fj": serial,
                                 "fixed_fj": multiplier_fj(library, arguments.clock_gate, work)}
            print("multiplication:", fixed[f"{w}/{a}"], flush=True)
    record = {"technology": technology.name, "library": library.name, "seed": SEED, "choices": rows,
              "order": order_agrees(rows), "multiplication": fixed}
    print(json.dumps(record["order"]))
    if arguments.out:
        arguments.out.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
