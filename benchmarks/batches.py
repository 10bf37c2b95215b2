"""Compare several images in one Program (`sim.ir.batch`) with as many images one after the other.

    python -m benchmarks.batches [--json] [--machine edge] [--networks AlexNet ...] [--bits 8/8 4/4 2/2] [--images 7]

Networks are random but realistic, as in `benchmarks.networks`. A row counts only if every code of every tensor is that
of the images alone, on random images.
"""

from __future__ import annotations

import argparse
import json
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from benchmarks.networks import NETWORKS
from quant.convert import quantize
from quant.data.image_format import IMAGE_EXPONENT, IMAGE_FORMAT, noise_codes
from quant.lowering.lower import lower_with_report
from quant.lowering.space_to_depth import fold_image
from quant.networks import make_realistic
from sim.arch.machine import Machine, load_machine
from sim.cost.estimate import Estimate, estimate
from sim.energy.technology import load_technology
from sim.functional.engine.simulator import Simulator
from sim.ir.batch import batch
from sim.ir.program import Program
from sim.plan.plan import plan

Row = dict[str, str | int | float | bool]


def measure(name: str, bits: str, images: int, size: int, machine: Machine) -> Row:
    """Measure one row: quantize and lower a network, batch it, estimate both, compare the codes of all outputs."""
    torch.manual_seed(0)
    model, codes = NETWORKS[name](), noise_codes(max(2, images), size, seed=0)
    pictures = codes * 2.0**IMAGE_EXPONENT
    make_realistic(model, pictures[:2], seed=0)
    weight_bits, activation_bits = map(int, bits.split("/"))
    quantized = quantize(model, pictures[:2], scheme="power_of_two", weight_bits=weight_bits,
                         activation_bits=activation_bits, first_last_bits=8, input_format=IMAGE_FORMAT,
                         input_exponent=IMAGE_EXPONENT)
    lowered = lower_with_report(quantized, pictures[:1], machine.arithmetic, fold=True)
    assert lowered.folding is not None
    inputs = {"x": fold_image(codes[:images].numpy(), lowered.folding)}
    several = batch(lowered.program, images)
    alone = Simulator(lowered.program).run(inputs)
    together = Simulator(several.program).run(several.inputs(inputs))
    one, all_of_them = costs(lowered.program, machine), costs(several.program, machine)
    return {"network": name, "bits": bits, "images": images, "ops": len(several.program.ops),
            "cycles": one.latency_cycles, "batch_cycles": all_of_them.latency_cycles / images,
            "energy_mj": one.energy.nominal_pj / 1e9, "batch_energy_mj": all_of_them.energy.nominal_pj / 1e9 / images,
            "exact": all(np.array_equal(several.codes(tensor, together), alone[tensor]) for tensor in alone)}


def costs(program: Program, machine: Machine) -> Estimate:
    """Estimate a Program on a machine."""
    return estimate(plan(program, machine), load_technology(machine.technology))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--bits", nargs="+", default=["8/8", "4/4", "2/2"],
                        help="of weights/activations of inner layers")
    parser.add_argument("--images", type=int, default=4, help="of a batch")
    parser.add_argument("--machine", default="edge")
    parser.add_argument("--size", type=int, default=224, help="height and width of the image")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    machine = load_machine(arguments.machine)
    rows = [measure(name, bits, arguments.images, arguments.size, machine)
            for name in arguments.networks for bits in arguments.bits]
    if arguments.json:
        print(json.dumps({"machine": machine.name, "size": arguments.size, "rows": rows}, indent=2))
        return
    print(f"machine '{machine.name}', images of {arguments.size} x {arguments.size}; cycles and energy of one image")
    print(f"{'network':13}{'bits':>5}{'images':>7}{'ops':>5}{'M cycles':>10}{'in a batch':>11}{'':8}{'mJ':>7}"
          f"{'in a batch':>11}{'':8}{'exact':>6}")
    for row in rows:
        cycles, energy = (float(row[f"batch_{what}"]) / float(row[what]) - 1 for what in ("cycles", "energy_mj"))
        print(f"{row['network']:13}{row['bits']:>5}{row['images']:>7}{row['ops']:>5}{float(row['cycles']) / 1e6:10.3f}"
              f"{float(row['batch_cycles']) / 1e6:11.3f}{cycles:8.1%}{row['energy_mj']:7.2f}"
              f"{row['batch_energy_mj']:11.2f}{energy:8.1%}{'yes' if row['exact'] else 'NO':>6}")


if __name__ == "__main__":
    main()
