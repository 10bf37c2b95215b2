"""Show what depthwise lanes are worth: cycles, energy and gates of a machine with more and more of them.

    python -m benchmarks.depthwise [--json] [--machine edge] [--requantizers 4 8] [--bits 8/8 4/4 2/2] [--size 224]
                                   [--gates]

The network is a random but realistic MobileNetV2, first and last layer with 8 bits and the image folded, as in
`benchmarks/networks.py`. `--gates` counts the gates of each machine by Yosys, memories excluded; that takes minutes.
"""

from __future__ import annotations

import argparse
import json
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
import torch

from benchmarks.gates import gate_counts
from quant.convert import quantize
from quant.data.image_format import IMAGE_EXPONENT, IMAGE_FORMAT, noise_codes
from quant.lowering.lower import lower_with_report
from quant.networks import MobileNetV2, make_realistic
from rtl.encoding.geometry import Geometry
from rtl.shell.top import Top
from sim.arch.machine import Machine, load_machine
from sim.cost.estimate import estimate
from sim.energy.technology import load_technology
from sim.ir.program import Program
from sim.plan.plan import plan

Row = dict[str, str | int | float]


def with_lanes(machine: Machine, lanes: int, requantizers: int) -> Machine:
    """Return the machine with that many depthwise lanes and requantizers."""
    return Machine(**machine.model_dump() | {"depthwise_lanes": lanes, "requantizers": requantizers})


def choices(machine: Machine) -> list[int]:
    """Return 0, and every number of lanes that the machine can have."""
    most = min(machine.lanes, machine.rows * machine.lanes // machine.max_bits_w, machine.rows * machine.acc_depth)
    counts = [machine.rows]
    while 2 * counts[-1] <= most:
        counts.append(2 * counts[-1])
    return [0, *(count for count in counts if count <= most)]


def mobilenet(bits: str, size: int, machine: Machine) -> Program:
    """Build MobileNetV2 with inner layers at weight/activation `bits`."""
    torch.manual_seed(0)
    model, codes = MobileNetV2(), noise_codes(2, size, seed=0)
    images = codes * 2.0**IMAGE_EXPONENT
    make_realistic(model, images, seed=0)
    weight_bits, activation_bits = map(int, bits.split("/"))
    quantized = quantize(model, images, scheme="qil", weight_bits=weight_bits, activation_bits=activation_bits,
                         first_last_bits=8, input_format=IMAGE_FORMAT, input_exponent=IMAGE_EXPONENT)
    return lower_with_report(quantized, images[:1], machine.arithmetic, fold=True).program


def measure(program: Program, bits: str, machine: Machine) -> Row:
    """Costs of the network, and of its depthwise layers alone."""
    costs = estimate(plan(program, machine), load_technology(machine.technology))
    depthwise = {conv.name for conv in program.convs if conv.depthwise and conv.weight_format.kind != "unit"}
    layers = [layer for layer in costs.layers if layer.name in depthwise]
    return {
        "bits": bits, "depthwise_lanes": machine.depthwise_lanes, "requantizers": machine.requantizers,
        "cycles": costs.latency_cycles,
        "depthwise_cycles": sum(layer.latency_cycles for layer in layers),
        "energy_mj": costs.energy.nominal_pj / 1e9,
        "depthwise_energy_mj": sum(layer.energy.nominal_pj for layer in layers) / 1e9,
        "stream_mb": costs.events["stream_in_bits"] / 8e6,
    }


def gates(machine: Machine) -> Row:
    """Count two-input gates and flip-flops of the machine, memories excluded."""
    modules = gate_counts(Top(Geometry(machine)))
    return {"depthwise_lanes": machine.depthwise_lanes, "requantizers": machine.requantizers,
            "cells": sum(module.total for module in modules),
            "lane_cells": sum(module.total for module in modules if "_depthwise_unit" in module.module)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--machine", default="edge")
    parser.add_argument("--requantizers", type=int, nargs="+", default=[], help="of a column")
    parser.add_argument("--bits", nargs="+", default=["8/8", "4/4", "2/2"],
                        help="of weights/activations of inner layers")
    parser.add_argument("--size", type=int, default=224, help="height and width of the image")
    parser.add_argument("--gates", action="store_true", help="count gates as well")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    base = load_machine(arguments.machine)
    machines = [with_lanes(base, lanes, count) for lanes in choices(base)
                for count in arguments.requantizers or [base.requantizers]]
    programs = {bits: mobilenet(bits, arguments.size, base) for bits in arguments.bits}
    rows = [measure(program, bits, machine) for bits, program in programs.items() for machine in machines]
    counted = [gates(machine) for machine in machines] if arguments.gates else []
    if arguments.json:
        print(json.dumps({"machine": base.name, "size": arguments.size, "rows": rows, "gates": counted}, indent=2))
    else:
        report(rows, counted, base.name)


def report(rows: list[Row], counted: list[Row], name: str) -> None:
    print(f"MobileNetV2 on machine '{name}' with depthwise lanes")
    print(f"{'bits':>5}{'lanes':>7}{'requantizers':>14}{'M cycles':>10}{'depthwise':>11}{'mJ':>7}{'depthwise':>11}"
          f"{'stream MB':>11}")
    for row in rows:
        print(f"{row['bits']:>5}{row['depthwise_lanes']:7}{row['requantizers']:14}{float(row['cycles']) / 1e6:10.3f}"
              f"{float(row['depthwise_cycles']) / 1e6:11.3f}{row['energy_mj']:7.3f}{row['depthwise_energy_mj']:11.3f}"
              f"{row['stream_mb']:11.2f}")
    for row in counted:
        print(f"{row['depthwise_lanes']} lanes, {row['requantizers']} requantizers: {row['cells']:,} cells without "
              f"memories, {row['lane_cells']:,} of them lanes")


if __name__ == "__main__":
    main()
