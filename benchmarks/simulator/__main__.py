"""Compare the speed of the simulator with ONNX Runtime and torch: ratios of times that processes measure in turns.

    python -m benchmarks.simulator [--json] [--networks ResNet-18 ...] [--bits 8/8 4/4 2/2 1/1] [--threads 1 2]
                                   [--seconds 6] [--isa amx avx512 ...] [--against ort-int8 convinteger torch-fp32]
    python -m benchmarks.simulator --profile [--json] [--networks ResNet-18 ...] [--bits 8/8 ...] [--isa avx2 ...]
    python -m benchmarks.simulator --layers | --start [--json]

Every side is a separate process, with as many threads as the others. Sides take short turns: a call to get warm, then
a few timed ones. A ratio is the median over the rounds of their time by ours, beside the 10th and 90th percentile.
On one thread a call is one image, on more it is four images a thread, of two different ones. Outputs of all images and
every tensor of one must be equal to those of the slow simulator, else there is no ratio and the exit status is 1.

`ort-int8` are the same shapes by int8 kernels that requantize in float, `convinteger` gives the same codes,
`torch-fp32` are float convolutions of the same shapes. `--layers`: 3x3 convolutions as a share of the products that
the CPU's registers allow, and depthwise layers beside ONNX Runtime. `--profile`: what every operation
of a network takes on one thread. `--start`: what a new process waits for.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.simulator.layers import layer_rows, report_layers
from benchmarks.simulator.profile import profile_of, report_profiles
from benchmarks.simulator.programs import NETWORKS, Case, network_case
from benchmarks.simulator.rounds import Expected, prepare, ratio_of, take_turns
from benchmarks.simulator.sides import PEERS, Side
from benchmarks.simulator.start import report_start, start_times
from sim.functional.kernels.isa import LADDER, available

DISTINCT_IMAGES = 2
IMAGES_PER_THREAD = 4

Row = dict[str, Any]


def batch_of(threads: int) -> int:
    """Return how many images a call has."""
    return 1 if threads == 1 else IMAGES_PER_THREAD * threads


def network_rows(name: str, bits: str, arguments: argparse.Namespace) -> list[Row]:
    """Measure one Program: a row for every number of threads, rung and peer."""
    print(f"{name} {bits}: building", file=sys.stderr)
    case = network_case(name, bits, arguments.size, DISTINCT_IMAGES)
    expected, rows = Expected(case), []
    with TemporaryDirectory() as place:
        for threads in arguments.threads:
            images = np.resize(case.codes, (batch_of(threads), *case.codes.shape[1:]))
            for isa in arguments.isa:
                print(f"{name} {bits}, {threads} threads, {isa or 'highest rung'}: measuring", file=sys.stderr)
                files = prepare(Case(case.program, images), Path(place))
                sides = {"ours": Side("ours", *files, threads, isa)}
                try:
                    exact = expected.agrees(sides["ours"], Path(place) / "found.npz")
                    sides |= {peer: Side(peer, *files, threads) for peer in arguments.against} if exact else {}
                    times = take_turns(sides, arguments.seconds) if exact else {}
                    here = {"network": name, "bits": "W{}A{}".format(*bits.split("/")), "threads": threads,
                            "isa": sides["ours"].isa, "images_per_call": len(images), "exact": exact,
                            "load": os.getloadavg()[0]}
                finally:
                    for side in sides.values():
                        side.close()
                rows += [{**here, "against": peer, **measures(times, peer, len(images))} for peer in arguments.against]
    return rows


def measures(times: dict[str, list[float]], peer: str, images: int) -> Row:
    """Return ratio, spread and times of an image [ms]; nothing where there are no times."""
    if not times:
        return {}
    ratio, spread = ratio_of([theirs / ours for theirs, ours in zip(times[peer], times["ours"], strict=True)])
    return {"ratio": ratio, "spread": spread, "ours_ms": median(times["ours"]) / images * 1e3,
            "theirs_ms": median(times[peer]) / images * 1e3, "rounds": len(times["ours"])}


def cpu_name() -> str:
    """Return the CPU's name as the kernel of Linux gives it, or what Python knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor() or platform.machine()}, up to {available()[-1]}"


def report(rows: list[Row]) -> None:
    print(f"times of an image; on 1 thread a call is 1 image, on more {IMAGES_PER_THREAD} images a thread; load: tasks "
          f"that wanted a CPU in the last minute, {os.cpu_count()} there are")
    print(f"{'network':13}{'bits':>6}{'threads':>9}{'isa':>9}{'ours ms':>9}  {'against':12}{'theirs ms':>10}"
          f"{'ratio':>8}{'10..90 %':>15}{'load':>6}")
    for row in rows:
        head = f"{row['network']:13}{row['bits']:>6}{row['threads']:9}{row['isa']:>9}"
        if not row["exact"]:
            print(f"{head}  {row['against']:12} not exact")
            continue
        low, high = row["spread"]
        print(f"{head}{row['ours_ms']:9.2f}  {row['against']:12}{row['theirs_ms']:10.2f}{row['ratio']:8.2f}"
              f"{f'{low:.2f}..{high:.2f}':>15}{row['load']:6.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.simulator", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--bits", nargs="+", default=["8/8", "4/4", "2/2", "1/1"],
                        help="of weights/activations of inner layers")
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--seconds", type=float, default=6, help="that a comparison takes turns")
    parser.add_argument("--isa", nargs="+", choices=LADDER, default=[None], help="rungs; default: the CPU's highest")
    parser.add_argument("--against", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--size", type=int, default=224, help="height and width of the image")
    parser.add_argument("--layers", action="store_true")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--start", action="store_true")
    arguments = parser.parse_args()
    result: dict[str, Any]
    if arguments.start:
        result = {"start": start_times(arguments.size)}
    elif arguments.profile:
        result = {"profiles": [profile_of(name, bits, arguments.size, isa) for name in arguments.networks
                               for bits in arguments.bits for isa in arguments.isa]}
    elif arguments.layers:
        result = {"layers": layer_rows(arguments.seconds)}
    else:
        result = {"ratios": [row for name in arguments.networks for bits in arguments.bits
                             for row in network_rows(name, bits, arguments)]}
    versions = {"python": platform.python_version()}
    versions |= {name: version(name) for name in ("numpy", "numba", "onnxruntime", "torch")}
    if arguments.json:
        print(json.dumps({**result, "versions": versions, "cpu": cpu_name()}, indent=2))
    else:
        if arguments.start:
            report_start(result["start"])
        elif arguments.profile:
            report_profiles(result["profiles"])
        elif arguments.layers:
            report_layers(result["layers"])
        else:
            report(result["ratios"])
        print(", ".join(f"{name} {number}" for name, number in versions.items()), f"on {cpu_name()}")
    if not all(row["exact"] for row in (*result.get("ratios", ()), *result.get("layers", ()))):
        sys.exit(1)


if __name__ == "__main__":
    main()
