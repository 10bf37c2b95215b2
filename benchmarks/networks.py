"""Estimate what real networks cost on a machine, in cycles, utilisation and energy, and time the estimate.

    python -m benchmarks.networks [--json] [--machine edge] [--scheme qil] [--bits 8/8 4/4 2/2] [--size 224]

Networks are random but realistic (`quant.networks.make_realistic`): cycles and energy depend on shapes and bits, and on
weights only through the digits that their multipliers need. First and last layers have 8 bits, the image is folded.
A row counts only if the simulator and the integer reference in torch agree on every code of every tensor.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Callable
from time import perf_counter

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from torch import nn

from quant.convert import quantize
from quant.data.image_format import IMAGE_EXPONENT, IMAGE_FORMAT, noise_codes
from quant.lowering.lower import lower_with_report
from quant.lowering.space_to_depth import fold_image
from quant.networks import AlexNet, MobileNetV2, make_realistic, resnet18, resnet34
from quant.reference import run_reference
from sim.arch.machine import Machine, load_machine
from sim.cost.estimate import estimate
from sim.energy.technology import load_technology
from sim.functional.reference import simulate
from sim.ir.program import Program
from sim.plan.plan import plan

NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "ResNet-18": resnet18, "ResNet-34": resnet34, "AlexNet": AlexNet, "MobileNetV2": MobileNetV2}
CALIBRATION_IMAGES = 2

Row = dict[str, str | int | float | bool]


class Clock:
    """Seconds since the last look."""

    def __init__(self) -> None:
        self.last = perf_counter()

    def __call__(self) -> float:
        now, before = perf_counter(), self.last
        self.last = now
        return now - before


def measure(name: str, bits: str, scheme: str, size: int, machine: Machine) -> Row:
    """Measure one row: quantize, lower, plan, simulate one image, compare with the reference."""
    torch.manual_seed(0)
    model, codes = NETWORKS[name](), noise_codes(CALIBRATION_IMAGES, size, seed=0)
    images = codes * 2.0**IMAGE_EXPONENT
    make_realistic(model, images, seed=0)
    weight_bits, activation_bits = map(int, bits.split("/"))
    clock = Clock()
    quantized = quantize(model, images, scheme=scheme, weight_bits=weight_bits, activation_bits=activation_bits,
                         first_last_bits=8, input_format=IMAGE_FORMAT, input_exponent=IMAGE_EXPONENT)
    quantize_s = clock()
    lowered = lower_with_report(quantized, images[:1], machine.arithmetic, fold=True)
    lower_s = clock()
    assert lowered.folding is not None
    costs = estimate(plan(lowered.program, machine), load_technology(machine.technology))
    estimate_s = clock()
    inputs = {"x": fold_image(codes[:1].numpy(), lowered.folding)}
    found = simulate(lowered.program, inputs)
    clock()
    simulate(lowered.program, inputs)
    simulate_s = clock()
    right = run_reference(lowered.program, inputs)
    reference_s = clock()
    macs = network_macs(lowered.program, quantized)
    work = sum(macs.get(layer.name, 0) * layer.bits[0] * layer.bits[1] for layer in costs.layers)
    lanes = machine.rows * machine.columns * machine.lanes
    inner = [error.error for layer, error in lowered.errors.items() if layer != lowered.program.outputs[0].name]
    return {
        "network": name, "bits": bits, "scheme": scheme, "cycles": costs.latency_cycles,
        "latency_ms": costs.latency_us / 1e3, "utilisation": work / (lanes * costs.latency_cycles),
        "energy_mj": costs.energy.nominal_pj / 1e9, "energy_low_mj": costs.energy.low_pj / 1e9,
        "energy_high_mj": costs.energy.high_pj / 1e9, "weight_mb": costs.weight_bytes / 1e6,
        "macs": sum(macs.values()),
        "worst_fit_codes": max(inner), "quantize_s": quantize_s, "lower_s": lower_s, "estimate_s": estimate_s,
        "simulate_s": simulate_s, "reference_s": reference_s,
        "exact": all(np.array_equal(found[tensor], right[tensor]) for tensor in right)}


def network_macs(program: Program, model: nn.Module) -> dict[str, int]:
    """Multiplications of each layer that the network asks for: no averages, no zero weights that folding adds."""
    counts = {}
    for conv in program.convs:
        if conv.weight_format.kind != "unit":
            weights = model.get_submodule(conv.name).weight
            counts[conv.name] = int(np.prod(program.tensor(conv.output).shape)) * weights[0].numel()
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--bits", nargs="+", default=["8/8", "4/4", "2/2"],
                        help="of weights/activations of inner layers")
    parser.add_argument("--scheme", choices=["qil", "power_of_two"], default="qil")
    parser.add_argument("--machine", default="edge")
    parser.add_argument("--size", type=int, default=224, help="height and width of the image")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    machine = load_machine(arguments.machine)
    rows = [measure(name, bits, arguments.scheme, arguments.size, machine)
            for name in arguments.networks for bits in arguments.bits]
    versions = {"python": platform.python_version(), "numpy": np.__version__, "torch": torch.__version__}
    if arguments.json:
        print(json.dumps({"machine": machine.name, "size": arguments.size, "rows": rows, "versions": versions},
                         indent=2))
        return
    report(rows, machine, arguments.size)
    print(", ".join(f"{name} {version}" for name, version in versions.items()))


def report(rows: list[Row], machine: Machine, size: int) -> None:
    print(f"machine '{machine.name}' at {machine.clock_mhz} MHz, one image of {size} x {size}, "
          f"first and last layer 8 bits")
    print(f"{'network':13}{'bits':>5}{'G MAC':>7}{'M cycles':>10}{'ms':>8}{'used':>6}{'mJ (low..high)':>20}"
          f"{'weights MB':>11}{'quantize s':>11}{'lower s':>8}{'simulate s':>11}{'exact':>6}")
    for row in rows:
        energy = f"{row['energy_mj']:.2f} ({row['energy_low_mj']:.2f}..{row['energy_high_mj']:.2f})"
        print(f"{row['network']:13}{row['bits']:>5}{float(row['macs']) / 1e9:7.2f}{float(row['cycles']) / 1e6:10.3f}"
              f"{row['latency_ms']:8.2f}{row['utilisation']:6.0%}{energy:>20}{row['weight_mb']:11.2f}"
              f"{row['quantize_s']:11.1f}{row['lower_s']:8.1f}{row['simulate_s']:11.2f}"
              f"{'yes' if row['exact'] else 'NO':>6}")


if __name__ == "__main__":
    main()
