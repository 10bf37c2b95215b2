"""Measure the accuracy of integer Programs on rendered glyphs, quantized, trained, and with bits under budgets.

    python -m benchmarks.accuracy [--profile NAME] [--jobs 2] [--folder accuracy-out] [--out FILE] [--json]

Every number is the accuracy of the Program in the simulator on 10 000 test images, and another engine gave the same
outputs on each of them (`benchmarks/accuracy/runs.py`). Learning rates are chosen on validation images. A run is
written down as soon as it is done, so an interrupted benchmark goes on where it was; `--out` writes all results with
seeds, versions and hardware. `quick` takes a quarter of an hour on two cores, `full` one to two hours;
`mobilenet-budget` makes of `full` only QBitOpt on the MobileNet, with three seeds and half as many epochs.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import sys
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.accuracy.profiles import PROFILES, Profile, planned
from benchmarks.accuracy.runs import Run, perform
from benchmarks.accuracy.tables import tables
from bitwright.cli.console import Report, show
from sim.io.atomic_write import atomic_write_text

PACKAGES = ("torch", "numpy", "numba", "matplotlib")


def outcomes(folder: Path) -> dict[str, dict[str, Any]]:
    """Read the outcomes that are known, by key."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}


def run_all(profile: Profile, folder: Path, jobs: int) -> list[Run]:
    """Do every run of the profile that is not done, `jobs` at a time; gives those that are known, in order."""
    folder.mkdir(parents=True, exist_ok=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with (ProcessPoolExecutor(max(jobs, 1), get_context("spawn")) as pool,
          Progress(*columns, console=None, transient=True) as progress):
        task = progress.add_task("runs")
        pending: dict[Future[None], Run] = {}
        while True:
            done = outcomes(folder)
            runs = list(dict.fromkeys(planned(profile, done)))
            progress.update(task, total=len(runs), completed=sum(run.key in done for run in runs))
            for run in runs:
                ready = run.start is None or run.start.key in done
                if len(pending) < jobs and ready and run.key not in done and run not in pending.values():
                    pending[pool.submit(perform, run, folder)] = run
                    print(f"started {run.key}", file=sys.stderr)
            if not pending:
                return runs
            for future in wait(pending, return_when=FIRST_COMPLETED).done:
                future.result()
                del pending[future]


def environment() -> dict[str, Any]:
    """Say where the numbers come from."""
    listed = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.*)", listed.read_text()) if listed.exists() else []
    return {"python": platform.python_version(), "machine": platform.machine(), "cores": os.cpu_count(),
            "processor": names[0] if names else platform.processor(),
            "versions": {name: version(name) for name in PACKAGES}}


def main(arguments: list[str] | None = None) -> int:
    """Run a profile and print what came out."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", choices=PROFILES, default="quick")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="processes, one thread each")
    parser.add_argument("--folder", type=Path, default=Path("accuracy-out"), help="where runs are kept")
    parser.add_argument("--out", type=Path, help="file for all results")
    parser.add_argument("--so-far", action="store_true", help="start nothing, show what is done")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    chosen = parser.parse_args(arguments)
    if chosen.jobs < 1:
        parser.error(f"--jobs must be at least 1, not {chosen.jobs}")
    profile = PROFILES[chosen.profile]
    try:
        runs = run_all(profile, chosen.folder / chosen.profile, 0 if chosen.so_far else chosen.jobs)
    except KeyboardInterrupt:
        print("stopped; the same command goes on", file=sys.stderr)
        return 1
    found = outcomes(chosen.folder / chosen.profile)
    results, missing = [found[run.key] for run in runs if run.key in found], [r.key for r in runs if r.key not in found]
    shown = tables(results)
    everything = {"profile": chosen.profile, "environment": environment(), "missing": missing,
                  "comparisons": shown.comparisons,
                  "runs": [{name: value for name, value in result.items() if name != "right"} for result in results]}
    report = Report(everything)
    report.lines = [f"not done: {key}" for key in missing]
    for title, columns, rows in shown.tables:
        report.table(title, columns, rows)
    if chosen.out:
        atomic_write_text(chosen.out, json.dumps(everything, indent=1) + "\n")
    show(report, chosen.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
