"""Runs a list of commands one after another, goes on where it was stopped, and ends with a table of verdicts and times.

What a part has found stands in a folder of the commit (and of what differs from it): a green part runs once for each
state of the sources, a red one or one that was stopped runs again.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from sim.io.atomic_write import atomic_write_text

__all__ = ["PYTEST", "ROOT", "Part", "run_parts"]

ROOT = Path(__file__).resolve().parents[1]
PYTEST = (sys.executable, "-m", "pytest", "-q", "-n", "auto", "--maxprocesses=8", "--dist=worksteal")
"""One worker per core; torch then has one thread in each."""
GRACE_S = 10
"""How long a part that is stopped may take to end."""


@dataclass(frozen=True)
class Part:
    """A command of the root of the checkout, green if it exits with 0.

    Parameters
    ----------
    name : str
        Also the name of its log and of its result, without the suffix.
    command : sequence of str
    environment : mapping of str to str
        Added to what is there.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """What was run, as it would be typed."""
        return " ".join([*(f"{name}={value}" for name, value in self.environment.items()), *self.command])


@dataclass(frozen=True)
class Result:
    """What became of a part.

    Parameters
    ----------
    text : str
        Of the part: the result of another command does not stand.
    status : int
        Exit status.
    seconds : float
    """

    text: str
    status: int
    seconds: float


def run_parts(title: str, parts: Sequence[Part], folder: Path, arguments: Sequence[str] | None = None) -> int:
    """Follow a command line; the exit status is 1 if a part that was asked for is red.

    Parameters
    ----------
    title : str
        What all parts are together.
    parts : sequence of Part
    folder : Path
        Of the results, relative to the root of the checkout.
    arguments : sequence of str, optional
        `sys.argv` if not given.
    """
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("--list", action="store_true", help="show the parts and their commands, run nothing")
    parser.add_argument("--only", nargs="+", metavar="PART", choices=[part.name for part in parts], help="only these")
    parser.add_argument("--again", action="store_true", help="also what is green already")
    chosen = parser.parse_args(arguments)
    asked = [part for part in parts if not chosen.only or part.name in chosen.only]
    if chosen.list:
        print("\n".join(f"{part.name}: {part.text}" for part in asked))
        return 0
    commit = _commit()
    place = ROOT / folder / (commit or "no-commit")
    place.mkdir(parents=True, exist_ok=True)
    stops: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        # An exception could come while a process starts and is nobody's yet.
        signal.signal(number, lambda number, frame: stops.append(number))
    for part in asked:
        if not stops and (chosen.again or commit is None or not _is_green(_result(place, part))):
            _run(part, place, stops)
    print(_table(place, asked), flush=True)
    if stops:
        _say("stopped; the same command goes on from here")
        return 128 + stops[0]
    return 0 if all(_is_green(_result(place, part)) for part in asked) else 1


def _commit() -> str | None:
    """The commit and a digest of what differs from it; None where there is no git or no repository."""
    def git(*arguments: str) -> bytes:
        return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True).stdout

    try:
        commit = git("rev-parse", "--short=12", "HEAD").decode().strip()
        changed = git("diff", "HEAD")
        new = [name for name in git("ls-files", "--others", "--exclude-standard", "-z").split(b"\0") if name]
    except (OSError, subprocess.CalledProcessError):
        return None
    for name in new:
        changed += name + (ROOT / os.fsdecode(name)).read_bytes()
    return f"{commit}-{sha256(changed).hexdigest()[:8]}" if changed else commit


def _run(part: Part, place: Path, stops: Sequence[int]) -> None:
    """Run it and keep its result; a part that is stopped has none."""
    log, kept = place / f"{part.name}.log", place / f"{part.name}.json"
    kept.unlink(missing_ok=True)
    _say(f"{part.name}: {log.relative_to(ROOT)}")
    # What `make nightly PARTS=...` was told is not for the parts that are targets too.
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "PARTS")}
    started = time.monotonic()
    with log.open("w") as file:
        file.write(f"$ {part.text}\n")
        file.flush()
        with subprocess.Popen(part.command, cwd=ROOT, env=environment | part.environment, stdin=subprocess.DEVNULL,
                              stdout=file, stderr=subprocess.STDOUT, start_new_session=True) as process:
            while (status := _wait(process)) is None:
                if stops:
                    return _stop(process)
    result = Result(part.text, status, round(time.monotonic() - started, 1))
    atomic_write_text(kept, json.dumps(vars(result)))
    _say(f"{part.name}: {_verdict(result)}, {_time(result.seconds)}")


def _wait(process: subprocess.Popen[bytes]) -> int | None:
    """The exit status, if it comes soon."""
    with suppress(subprocess.TimeoutExpired):
        return process.wait(0.2)
    return None


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End a part with all that it has started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S)


def _result(place: Path, part: Part) -> Result | None:
    """What the part has come to, if it ran to its end with this command."""
    kept = place / f"{part.name}.json"
    if not kept.exists():
        return None
    try:
        result = Result(**json.loads(kept.read_text()))
    except (ValueError, TypeError):  # damaged
        return None
    return result if result.text == part.text else None


def _is_green(result: Result | None) -> bool:
    return result is not None and result.status == 0


def _verdict(result: Result | None) -> str:
    if result is None:
        return "not run"
    return "green" if result.status == 0 else f"RED ({result.status})"


def _time(seconds: float) -> str:
    """Hours, minutes and seconds."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def _table(place: Path, parts: Sequence[Part]) -> str:
    """A line for each part, and the sum."""
    results = {part.name: _result(place, part) for part in parts}
    total = sum(result.seconds for result in results.values() if result is not None)
    rows = [(name, _verdict(result), _time(result.seconds) if result else "") for name, result in results.items()]
    rows = [("part", "verdict", "time"), *rows, ("all", "", _time(total))]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
                     for row in rows)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
