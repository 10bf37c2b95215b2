"""Time what a new process waits for: imports, machine code from the cache or compiled, the first result."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np

from benchmarks.simulator.programs import network_case
from benchmarks.simulator.rounds import prepare

__all__ = ["report_start", "start_times"]

NETWORK, BITS = "ResNet-18", "4/4"
ROUNDS = 9
NUMPY_ALONE = "import numpy; print()"
FIRST_RESULT = """
import sys
import numpy as np
from sim.ir.serialize import load_program
from sim.functional.engine.simulator import Simulator
program = load_program(sys.argv[1])
Simulator(program).run({program.inputs[0].name: np.load(sys.argv[2])})
print()
"""
ALL_KERNELS = """
from sim.functional.kernels.isa import available
from sim.functional.kernels.kernel_cache import kernel_ids, library
print(sum(library().kernel(kernel).compiled for kernel in kernel_ids(available()[-1])))
"""


def start_times(size: int) -> dict[str, float]:
    """Seconds from the start of a process to the first result of ResNet-18, and to have all kernels compiled."""
    with TemporaryDirectory() as folder:
        place = Path(folder)
        case = network_case(NETWORK, BITS, size, 1)
        program, codes = prepare(case, place)
        np.save(codes, case.codes.astype(np.int8))
        files = [str(program), str(codes)]
        _wait(FIRST_RESULT, files)
        numpy_s, first_s = [], []
        for turn in range(ROUNDS):
            print(f"start {turn + 1} of {ROUNDS}", file=sys.stderr)
            numpy_s.append(_wait(NUMPY_ALONE)[0])
            first_s.append(_wait(FIRST_RESULT, files)[0])
        print("compiling", file=sys.stderr)
        cold_s, _ = _wait(FIRST_RESULT, files, place / "first")
        kernels_s, kernels = _wait(ALL_KERNELS, [], place / "all")
    beyond = [first - base for first, base in zip(first_s, numpy_s, strict=True)]
    return {"numpy_s": median(numpy_s), "first_result_s": median(first_s), "beyond_numpy_s": median(beyond),
            "first_result_empty_cache_s": cold_s, "all_kernels_s": kernels_s, "kernels": int(kernels)}


def _wait(code: str, arguments: list[str] | None = None, cache: Path | None = None) -> tuple[float, str]:
    """Seconds from the start of a process to its line of output, and that line."""
    environment = os.environ | ({"XDG_CACHE_HOME": str(cache)} if cache else {})
    started = perf_counter()
    with subprocess.Popen([sys.executable, "-c", code, *(arguments or [])], stdout=subprocess.PIPE, text=True,
                          env=environment) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        seconds = perf_counter() - started
    if not line or process.returncode:
        raise RuntimeError(f"a process ended with exit status {process.returncode}")
    return seconds, line.strip()


def report_start(times: dict[str, float]) -> None:
    """Print the times."""
    print(f"first result of {NETWORK} {BITS} in a new process: {times['first_result_s']:.3f} s, "
          f"{times['beyond_numpy_s']:.3f} s beyond importing NumPy ({times['numpy_s']:.3f} s)")
    print(f"with an empty cache: {times['first_result_empty_cache_s']:.2f} s; all {times['kernels']:.0f} kernels "
          f"compiled in {times['all_kernels_s']:.2f} s")
