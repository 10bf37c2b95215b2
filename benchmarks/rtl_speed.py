"""Compare the RTL with what predicts it: cycles of every layer, speed of the engines, gates of the machines.

    python -m benchmarks.rtl_speed [--json] [--quick] [--rounds 5]

* cycles: every op of whole networks on machines of all kinds, as `sim.timing.timeline` predicts and as the hardware
  counts.
* engines: simulated cycles and multiplications a second of Icarus Verilog, Verilator and the Numba simulator on the
  same layer, with the spread over the rounds; starting the simulator's process is not counted.
* gates: two-input gates of three machines by Yosys, memories excluded (`benchmarks/gates.py` lists the modules).

Nothing is printed for a result that is not exact: all codes, cycles and counters are compared in the same run.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import median
from time import perf_counter
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks.gates import gate_counts
from benchmarks.throughput import digits_program
from quant.convert import quantize
from quant.data.digits import digits
from quant.data.image_format import IMAGE_EXPONENT, IMAGE_FORMAT, noise_codes
from quant.lowering.lower import lower
from quant.networks import make_realistic, resnet20, small_mobilenet
from rtl.cosim.run import RtlResult, run
from rtl.cosim.simulators import ICARUS, VERILATOR, Engine
from rtl.encoding.geometry import Geometry
from rtl.shell.top import Top
from sim.arch.host_memory import Memory
from sim.arch.machine import Machine, load_machine
from sim.energy.counting import total_events
from sim.functional.reference import simulate
from sim.ir.formats import Format
from sim.ir.ops import Conv, Tensor
from sim.ir.program import Program
from sim.plan.plan import Plan, plan

Inputs = dict[str, NDArray[np.int32]]


@dataclass(frozen=True)
class Case:
    """A network on a machine."""

    network: str
    planned: Plan
    inputs: Inputs


def digits_case(name: str, machine: Machine) -> Case:
    """Build the digits network at 4/4 bits, and draw one image."""
    program = digits_program()
    codes = digits()[1].stored[:1].numpy().astype(np.int32)
    return Case(name, plan(program, machine), {program.inputs[0].name: codes})


def network_case(name: str, make: Callable[[], nn.Module], bits: int, machine: Machine) -> Case:
    """Build a network for 32 x 32 images, inner layers of that many bits, first and last of 8."""
    torch.manual_seed(0)
    model, codes = make(), noise_codes(2, 32, seed=0)
    images = codes * 2.0**IMAGE_EXPONENT
    make_realistic(model, images, seed=0)
    quantized = quantize(model, images, scheme="qil", weight_bits=bits, activation_bits=bits, first_last_bits=8,
                         input_format=IMAGE_FORMAT, input_exponent=IMAGE_EXPONENT)
    program = lower(quantized, images[:1], machine.arithmetic)
    return Case(name, plan(program, machine), {program.inputs[0].name: codes[:1].numpy().astype(np.int32)})


def cases(quick: bool) -> list[Case]:
    """Ideal and slow memory, everything on chip and in bands, narrow and wide machines."""
    tiny, edge = load_machine("tiny"), load_machine("edge")
    slow = tiny.model_copy(update={"memory": Memory(latency_cycles=40, beats=2, period_cycles=3)})
    cramped = tiny.model_copy(update={"act_regions": 5, "region_words": 64})
    found = [digits_case("digits", tiny), digits_case("digits, slow memory", slow),
             digits_case("digits, in bands", cramped)]
    if not quick:
        found += [network_case("ResNet-20", resnet20, 4, edge), network_case("ResNet-20, 2 bits", resnet20, 2, edge),
                  network_case("MobileNetV2, small", small_mobilenet, 4, edge)]
    return found


def check(case: Case, found: RtlResult) -> None:
    """No figure for a result that is not exact."""
    program, line = case.planned.program, case.planned.timeline
    right = simulate(program, case.inputs)
    wrong = [name for name in right if not np.array_equal(right[name], found.codes[name])]
    expected = total_events(case.planned)
    expected |= {name: getattr(line, name) for name in ("pairs", "wait_accumulator", "wait_weights", "wait_transfers",
                                                        "starved", "blocked")}
    wrong += [name for counters in found.counters for name in expected if counters[name] != expected[name]]
    if wrong:
        sys.exit(f"{case.network} on '{case.planned.machine.name}': the RTL differs in {', '.join(wrong)}")


def cycle_rows(case: Case) -> list[dict[str, Any]]:
    """Predicted and counted end of every op."""
    engine = ICARUS if VERILATOR.missing() else VERILATOR
    found = run(case.planned, case.inputs, engine=engine)
    check(case, found)
    names = [op.name for op in case.planned.program.ops]
    return [{"program": case.network, "layer": name, "machine": case.planned.machine.name, "predicted": int(predicted),
             "counted": int(counted)}
            for name, predicted, counted in zip(names, case.planned.timeline.ends, found.ends[0], strict=True)]


def engine_rows(machine: Machine, rounds: int, images: dict[str, int]) -> list[dict[str, Any]]:
    """Speed of every engine on `layer`; `images` says how many each RTL engine runs in a round."""
    planned = plan(layer(machine), machine)
    (_, schedule), = planned.convs()
    (source,) = planned.program.inputs
    engines: dict[str, Callable[[Inputs], object]] = {
        "Numba simulator": lambda inputs: simulate(planned.program, inputs)}
    for engine in (ICARUS, VERILATOR):
        if not engine.missing():
            engines[engine.title] = partial(checked, planned, engine)
    rng = np.random.default_rng(0)
    count = {"Numba simulator": 2000, **images}
    batches = {name: {source.name: rng.integers(0, 16, (count[name] + 1, *source.shape)).astype(np.int32)}
               for name in engines}
    alone = {name: {source.name: batch[source.name][:1]} for name, batch in batches.items()}
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    for name, run_engine in engines.items():
        run_engine(alone[name])
    for _ in range(rounds):
        for name, run_engine in engines.items():
            one = elapsed(run_engine, alone[name])
            seconds[name].append((elapsed(run_engine, batches[name]) - one) / count[name])
    cycles, macs = planned.timeline.total, schedule.shape.macs
    return [{"engine": name, "machine": machine.name, "cycles": cycles, "macs": macs, "rounds": rounds,
             "cycles_per_s": cycles / median(times), "macs_per_s": macs / median(times),
             "slowest_cycles_per_s": cycles / max(times), "fastest_cycles_per_s": cycles / min(times), "exact": True}
            for name, times in seconds.items()]


def layer(machine: Machine) -> Program:
    """Build a 3 x 3 layer of 4-bit codes: two row tiles, as many channels as lanes, two rows per column."""
    rng = np.random.default_rng(0)
    size, channels, outputs = 2 * machine.columns, machine.lanes, 2 * machine.rows
    codes = Format(4, "unsigned")
    weights = rng.integers(-8, 8, (outputs, channels, 3, 3)).astype(np.int8)
    conv = Conv("conv", "x", "y", weights, Format(4, "signed"), np.full((outputs, 1), 1, np.int8),
                np.full(outputs, 8), np.zeros(outputs, np.int64), 0, 15, pads=(1, 1, 1, 1))
    tensors = Tensor("x", size, size, (channels,), codes), Tensor("y", size, size, (outputs,), codes)
    return Program(tensors, (conv,), machine.arithmetic)


def elapsed(engine: Callable[[Inputs], object], inputs: Inputs) -> float:
    """Seconds of one call."""
    started = perf_counter()
    engine(inputs)
    return perf_counter() - started


def checked(planned: Plan, engine: Engine, inputs: Inputs) -> RtlResult:
    """Return the RTL's result after comparing it with the simulator's."""
    found = run(planned, inputs, engine=engine)
    check(Case("layer", planned, inputs), found)
    return found


def gate_rows() -> list[dict[str, Any]]:
    """Cells of the built-in machines."""
    rows = []
    for name in ("tiny", "edge", "large"):
        modules = gate_counts(Top(Geometry(load_machine(name))))
        rows.append({"machine": name, "cells": sum(module.total for module in modules),
                     "flip_flops": sum(module.instances * module.flip_flops for module in modules),
                     "modules": {module.module: module.total for module in modules}})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="only the machine 'tiny', no gates")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cycles = [row for case in cases(arguments.quick) for row in cycle_rows(case)]
    engines = engine_rows(load_machine("tiny"), arguments.rounds, {"Icarus Verilog": 2, "Verilator": 20})
    gates: list[dict[str, Any]] = []
    if not arguments.quick:
        engines += engine_rows(load_machine("edge"), arguments.rounds, {"Icarus Verilog": 1, "Verilator": 4})
        gates = gate_rows()
    versions = {"python": platform.python_version(), "numpy": np.__version__,
                **{engine.name: engine.version() for engine in (ICARUS, VERILATOR) if not engine.missing()}}
    if arguments.json:
        print(json.dumps({"cycles": cycles, "engines": engines, "gates": gates, "versions": versions}, indent=2))
    else:
        report(cycles, engines, gates)
        print(", ".join(f"{name} {version}" for name, version in versions.items()))
    if any(row["predicted"] != row["counted"] for row in cycles):
        sys.exit("predicted and counted cycles differ")


def report(cycles: list[dict[str, Any]], engines: list[dict[str, Any]], gates: list[dict[str, Any]]) -> None:
    """Print the tables."""
    print(f"{'program':22}{'machine':9}{'op':34}{'predicted end':>14}{'counted end':>13}{'difference':>12}")
    for row in cycles:
        print(f"{row['program']:22}{row['machine']:9}{row['layer']:34}{row['predicted']:14,}{row['counted']:13,}"
              f"{row['counted'] - row['predicted']:12}")
    print(f"\n{'engine':18}{'machine':9}{'cycles/s':>15}{'slowest':>15}{'fastest':>15}{'MAC/s':>15}  exact")
    for row in engines:
        print(f"{row['engine']:18}{row['machine']:9}{row['cycles_per_s']:15,.0f}{row['slowest_cycles_per_s']:15,.0f}"
              f"{row['fastest_cycles_per_s']:15,.0f}{row['macs_per_s']:15,.0f}  yes")
    for row in gates:
        print(f"\nmachine '{row['machine']}': {row['cells']:,} cells, {row['flip_flops']:,} of them flip-flops, "
              f"without memories")


if __name__ == "__main__":
    main()
