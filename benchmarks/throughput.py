"""Count images per second of the simulator, ONNX Runtime, torch and the RTL on Icarus Verilog.

    python -m benchmarks.throughput [--json] [--images 500] [--rounds 7] [--program FILE]

One network, the same codes everywhere: every engine's outputs are compared with the simulator's before a ratio is
printed. Engines take turns, one thread each; medians and the spread over the rounds are given, because on a shared
machine a single time proves nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter

os.environ.setdefault("OMP_NUM_THREADS", "1")
import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from bitwright.interop.onnx_model import onnx_model
from quant.convert import quantize
from quant.data.digits import DIGITS_EXPONENT, DIGITS_FORMAT, digits
from quant.lowering.lower import lower
from quant.networks import DigitsNet
from quant.reference import run_reference
from rtl.cosim.run import run as run_rtl
from sim.arch.machine import load_machine
from sim.functional.engine.simulator import Simulator
from sim.functional.reference import simulate
from sim.ir.arithmetic import Arithmetic
from sim.ir.program import Program
from sim.ir.serialize import load_program
from sim.plan.plan import plan

Engine = Callable[[dict[str, NDArray[np.int32]]], dict[str, NDArray[np.int32]]]


def digits_program() -> Program:
    """Build the digits network at 4/4 bits; untrained, since speed does not depend on the weights."""
    torch.manual_seed(0)
    train, test = digits()
    quantized = quantize(DigitsNet(), train.images[:256], scheme="power_of_two", input_format=DIGITS_FORMAT,
                         input_exponent=DIGITS_EXPONENT)
    return lower(quantized, test.images[:1], Arithmetic(acc_bits=24, window=10, terms=3))


def onnx_engine(program: Program) -> Engine:
    """Make an engine of ONNX Runtime on one thread, which gives the outputs alone."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(onnx_model(program).SerializeToString(), options,
                                           providers=["CPUExecutionProvider"])
    names = [tensor.name for tensor in program.outputs]
    kinds = {tensor.name: np.int8 if tensor.format.kind == "signed" else np.uint8 for tensor in program.inputs}

    def run(inputs: dict[str, NDArray[np.int32]]) -> dict[str, NDArray[np.int32]]:
        narrow = {name: codes.astype(kinds[name]) for name, codes in inputs.items()}
        return dict(zip(names, session.run(names, narrow), strict=True))
    return run


def check(engine: str, got: dict[str, NDArray[np.int32]], right: dict[str, NDArray[np.int32]]) -> None:
    """No ratio for a result that is not exact."""
    for name in set(got) & set(right):
        if not np.array_equal(got[name], right[name][: len(got[name])]):
            sys.exit(f"{engine} differs from the simulator on tensor '{name}': no ratio")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--rtl-images", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--program", type=Path, help="a Program of the digits; default: built here")
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    program = load_program(arguments.program) if arguments.program else digits_program()
    machine = load_machine("tiny")
    planned = plan(program, machine)
    (source,) = program.inputs
    codes = np.resize(digits()[1].stored.numpy(), (arguments.images, *source.shape)).astype(np.int32)
    inputs = {source.name: codes}
    engines: dict[str, Engine] = {
        "simulator": Simulator(program).run,
        "plain loops": lambda x: simulate(program, x),
        "ONNX Runtime, ConvInteger": onnx_engine(program),
        "torch": lambda x: run_reference(program, x),
    }
    right = simulate(program, inputs)
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    for _ in range(arguments.rounds):
        for name, engine in engines.items():
            started = perf_counter()
            got = engine(inputs)
            seconds[name].append((perf_counter() - started) / arguments.images)
            check(name, got, right)
    few = {source.name: codes[: arguments.rtl_images]}
    run_rtl(planned, {source.name: codes[:1]})
    started = perf_counter()
    on_rtl = run_rtl(planned, few)
    seconds["RTL, Icarus Verilog"] = [(perf_counter() - started) / arguments.rtl_images]
    check("RTL", on_rtl.codes, right)
    report(seconds, planned.timeline.total, arguments.json)


def report(seconds: dict[str, list[float]], cycles: int, as_json: bool) -> None:
    ours = median(seconds["simulator"])
    rows = [{"engine": name, "images_per_s": 1 / median(times), "slowest": 1 / max(times), "fastest": 1 / min(times),
             "rounds": len(times), "simulator_is_faster_by": median(times) / ours,
             "machine_cycles_per_s": cycles / median(times)} for name, times in seconds.items()]
    versions = {"python": platform.python_version(), "numpy": np.__version__, "torch": torch.__version__,
                "onnxruntime": onnxruntime.__version__, "machine": platform.machine()}
    if as_json:
        print(json.dumps({"exact": True, "cycles_per_image": cycles, "engines": rows, "versions": versions}, indent=2))
        return
    print(f"digits network, {cycles} cycles an image on machine 'tiny'; all engines gave equal codes")
    print(f"{'engine':28}{'images/s':>12}{'slowest':>12}{'fastest':>12}{'simulator is':>16}{'cycles/s':>12}")
    for row in rows:
        print(f"{row['engine']:28}{row['images_per_s']:12.4g}{row['slowest']:12.4g}{row['fastest']:12.4g}"
              f"{row['simulator_is_faster_by']:14.2f} x{row['machine_cycles_per_s']:12.3g}")
    print(", ".join(f"{name} {version}" for name, version in versions.items()))


if __name__ == "__main__":
    main()
