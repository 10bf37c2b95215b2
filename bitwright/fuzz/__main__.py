"""`python -m bitwright.fuzz`: damaged inputs for every loader, a table at the end, exit status 1 if one failed."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from bitwright.cli.console import Report, message, show
from bitwright.fuzz.campaign import Outcome, fuzz
from bitwright.fuzz.worker import TARGETS, Finding, Limits, examine, target_named
from sim.errors import InputError

INPUTS = 100_000
REPORT_SECONDS = 10.0


def main(argv: list[str] | None = None) -> int:
    """Fuzz, or read one input again, and return the exit status."""
    arguments = _parser().parse_args(argv)
    if arguments.again is not None:
        if len(arguments.loader) != 1:
            raise SystemExit("fuzz: --again needs one --loader")
        return _again(arguments.loader[0], arguments.again)
    names = arguments.loader or list(TARGETS)
    seconds = None if arguments.minutes is None else 60 * arguments.minutes / len(names)
    try:
        outcomes = [fuzz(name, arguments.seed, arguments.out, arguments.jobs, arguments.inputs, seconds, _Progress())
                    for name in names]
    except InputError as error:
        raise SystemExit(f"fuzz: {error}") from None
    report = Report({"seed": arguments.seed, "loaders": [
        {"loader": outcome.name, "inputs": outcome.inputs, "accepted": outcome.accepted, "seconds": outcome.seconds,
         "findings": dict(outcome.signatures)} for outcome in outcomes]})
    report.table(f"inputs of seed {arguments.seed}", ["loader", "inputs", "accepted", "seconds", "findings"],
                 [[outcome.name, outcome.inputs, outcome.accepted, outcome.seconds, outcome.findings]
                  for outcome in outcomes])
    report.lines += [f"{outcome.name}: {count} times {signature}" for outcome in outcomes
                     for signature, count in outcome.signatures.most_common()]
    found = sum(outcome.findings for outcome in outcomes)
    report.lines.append(f"inputs and how to see them again are in {arguments.out}" if found
                        else "every input was taken or refused in one sentence, within its budget")
    show(report, arguments.json)
    return int(found > 0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("fuzz", description=__doc__)
    parser.add_argument("--loader", action="append", choices=[*TARGETS, "planted"], default=[],
                        help="only this loader; may be repeated; planted has faults of all kinds")
    parser.add_argument("--inputs", type=int, default=INPUTS, help="inputs for each loader (default: %(default)s)")
    parser.add_argument("--minutes", type=float,
                        help="instead, run this long for all loaders, from where the last run stopped")
    parser.add_argument("--seed", type=int, default=0, help="seed of the inputs")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)),
                        help="worker processes (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("fuzz-out"), help="folder of findings and progress")
    parser.add_argument("--again", type=Path, help="read this finding again")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser


class _Progress:
    """Progress as a line now and then."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self, outcome: Outcome) -> None:
        if time.monotonic() - self._last > REPORT_SECONDS:
            self._last = time.monotonic()
            message(f"{outcome.name}: {outcome.inputs:,} inputs, {outcome.findings} findings")


def _again(name: str, path: Path) -> int:
    """Read one input again, and print its traceback to stdout."""
    with tempfile.TemporaryDirectory(prefix="bitwright-fuzz-") as place:
        target, folder = target_named(name), Path(place)
        target.prepare(folder)
        found = examine(target, path.read_bytes(), folder / "input", 0, Limits())
    if isinstance(found, Finding):
        print(found.text.encode("ascii", "backslashreplace").decode())
        return 1
    print("taken" if found is None else "refused")
    return 0


if __name__ == "__main__":
    sys.exit(main())
