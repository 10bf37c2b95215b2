"""Run a side of the simulator's benchmark in its own process, which takes turns when it is told to.

    python -m benchmarks.simulator.sides SIDE PROGRAM CODES [--threads N] [--isa RUNG]

Side `ours` is the simulator, `ort-int8`, `convinteger` and `torch-fp32` are its peers, `vnni-peak` multiplies in
registers alone. Orders come and answers go as lines of JSON; arrays are in files.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.ir.ops import Conv, Pool
from sim.ir.program import Program
from sim.ir.serialize import load_program
from sim.ir.signed_digits import multipliers

__all__ = ["PEAK_MACS", "PEERS", "Side"]

PEERS = ("ort-int8", "convinteger", "torch-fp32")
LEAST_CALLS = 2
PEAK_ACCUMULATORS, PEAK_TURNS = 24, 200_000
PEAK_MACS = PEAK_ACCUMULATORS * PEAK_TURNS * 64
"""Multiplications of a call of side `vnni-peak`."""

Call = Callable[[], object]


class Side:
    """A process that computes one Program in one way."""

    def __init__(self, side: str, program: Path, codes: Path, threads: int = 1, isa: str | None = None) -> None:
        self._command = [sys.executable, "-m", "benchmarks.simulator.sides", side, str(program), str(codes),
                         "--threads", str(threads), *(["--isa", isa] if isa else [])]
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                         env=os.environ | {"OMP_NUM_THREADS": str(threads)})
        self.isa = str(self._answer()["isa"])

    def turn(self, seconds: float) -> list[float]:
        """Make a call to get warm, then timed ones for that long, at least two [s]."""
        return [float(value) for value in self._ask({"seconds": seconds})["seconds"]]

    def save(self, path: Path) -> None:
        """Side `ours`: outputs of all images as `<tensor>`, every tensor of the first image as `all:<tensor>`."""
        self._ask({"save": str(path)})

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def _ask(self, order: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"a side ended with exit status {self._process.wait()}: {self._command}")
        answer: dict[str, Any] = json.loads(line)
        return answer


def _narrow(program: Program, codes: NDArray[np.integer]) -> dict[str, NDArray[np.integer]]:
    (source,) = program.inputs
    return {source.name: codes.astype(np.int8 if source.format.kind == "signed" else np.uint8)}


def _session(model: Any, threads: int, inputs: dict[str, NDArray[Any]]) -> Call:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, inputs)


def _int8(program: Program, codes: NDArray[np.integer], threads: int) -> Call:
    from benchmarks.qlinear_peer import qlinear_model, stored

    (source,) = program.inputs
    return _session(qlinear_model(program), threads, {source.name: stored(source, codes)})


def _convinteger(program: Program, codes: NDArray[np.integer], threads: int) -> Call:
    from bitwright.interop.onnx_model import onnx_model

    return _session(onnx_model(program), threads, _narrow(program, codes))


def _torch(program: Program, codes: NDArray[np.integer], threads: int) -> Call:
    """Convolutions of float32 with bias, M / 2**n in the weights, and ReLU; maps with channels last."""
    import torch
    from torch.nn import functional

    torch.set_num_threads(threads)
    layout = torch.channels_last
    (source,) = program.inputs
    images = torch.from_numpy(codes.astype(np.float32)).contiguous(memory_format=layout)
    weights, biases = {}, {}
    for conv in program.convs:
        scale = 2.0 ** -conv.shift
        factors = (multipliers(conv.multiplier) * scale).reshape(-1, 1, 1, 1)
        weights[conv.name] = torch.from_numpy((conv.weight_values * factors).astype(np.float32)).contiguous(
            memory_format=layout)
        biases[conv.name] = torch.from_numpy((conv.offset * scale).astype(np.float32))

    def conv_value(conv: Conv, values: dict[str, torch.Tensor]) -> torch.Tensor:
        top, left, bottom, right = conv.pads
        value, pads = values[conv.input], (top, left)
        if (top, left) != (bottom, right):
            value, pads = functional.pad(value, (left, right, top, bottom)), (0, 0)
        if conv.weight_format.kind == "unit" and value.shape[2:] == conv.kernel:
            value = functional.adaptive_avg_pool2d(value, 1)
        else:
            value = functional.conv2d(value, weights[conv.name], biases[conv.name], conv.stride, pads, conv.dilation,
                                      conv.groups)
        if conv.residual is not None:
            value = value.add_(values[conv.residual])
        return value.relu_() if program.tensor(conv.output).format.kind == "unsigned" else value

    def run() -> object:
        values = {source.name: images}
        with torch.inference_mode():
            for op in program.ops:
                if isinstance(op, Conv):
                    values[op.output] = conv_value(op, values)
                elif isinstance(op, Pool):
                    assert op.pads[:2] == op.pads[2:]
                    values[op.output] = functional.max_pool2d(values[op.input], op.kernel, op.stride,
                                                                  op.pads[:2])
        return [values[tensor.name] for tensor in program.outputs]
    return run


def _peak() -> Call:
    """Products of bytes in registers: nothing is loaded, and no sum waits for another."""
    from llvmlite import ir
    from numba import njit

    from sim.functional.kernels.llvm_builder import I32, I64, Code, Loop, llvm_intrinsic, vector

    kind = vector(I32, 16)

    @llvm_intrinsic
    def products(code: Code, turns: ir.Value) -> ir.Value:
        operand = code.splat(code.trunc(turns, I32), 16)
        loop = Loop(code, turns, [ir.Constant(kind, None)] * PEAK_ACCUMULATORS)
        sums = loop.close([code.call_intrinsic("llvm.x86.avx512.vpdpbusd.512", kind, value, operand, operand)
                         for value in loop.values])
        total = sums[0]
        for value in sums[1:]:
            total = code.xor(total, value)
        return code.zext(code.extract_element(total, ir.Constant(I32, 0)), I64)

    compiled = njit(lambda turns: products(turns))
    return lambda: compiled(PEAK_TURNS)


def _made(side: str, program: Program, codes: NDArray[np.integer], threads: int) -> Call:
    match side:
        case "ort-int8":
            return _int8(program, codes, threads)
        case "convinteger":
            return _convinteger(program, codes, threads)
        case "torch-fp32":
            return _torch(program, codes, threads)
        case _:
            return _peak()


def _turn(call: Call, seconds: float) -> list[float]:
    call()
    times: list[float] = []
    while len(times) < LEAST_CALLS or sum(times) < seconds:
        started = perf_counter()
        call()
        times.append(perf_counter() - started)
    return times


def _save(program: Program, inputs: dict[str, NDArray[np.integer]], arguments: argparse.Namespace, path: str) -> None:
    from sim.functional.engine.simulator import Simulator

    simulator = Simulator(program, threads=arguments.threads, isa=arguments.isa)
    outputs = simulator.run(inputs)
    captured = Simulator(program, capture=[tensor.name for tensor in program.tensors], isa=arguments.isa)
    first = captured.run({name: codes[:1] for name, codes in inputs.items()})
    np.savez(path, **outputs, **{f"all:{name}": codes for name, codes in first.items()})  # type: ignore[arg-type]  # arrays, not its option


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("side", choices=["ours", *PEERS, "vnni-peak"])
    parser.add_argument("program")
    parser.add_argument("codes")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--isa")
    arguments = parser.parse_args()
    program, codes = load_program(arguments.program), np.load(arguments.codes)
    narrow, isa = _narrow(program, codes), ""
    if arguments.side == "ours":
        from sim.functional.engine.simulator import Simulator
        from sim.functional.kernels.isa import chosen

        simulator, isa = Simulator(program, threads=arguments.threads, isa=arguments.isa), chosen(arguments.isa)

        def call() -> object:
            return simulator.run(narrow)
    else:
        call = _made(arguments.side, program, codes, arguments.threads)
    print(json.dumps({"isa": isa}), flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        if "save" in order:
            _save(program, narrow, arguments, order["save"])
            print("{}", flush=True)
        else:
            print(json.dumps({"seconds": _turn(call, order["seconds"])}), flush=True)


if __name__ == "__main__":
    main()
