"""One finished configuration is one JSON file: its settings, what came out, what it took, and where."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from time import perf_counter, process_time
from typing import Any

from sim.errors import InputError
from sim.io.atomic_write import atomic_write_text

__all__ = ["Clock", "done", "name_of", "read_all", "write"]

PACKAGES = ("torch", "numpy", "numba", "pillow")
Settings = Mapping[str, Any]


class Clock:
    """What the stages of a run take: seconds of wall and of the processor, and memory; interrupted runs count too.

    Parameters
    ----------
    path : Path
        Where the seconds are kept until the run is done.

    Attributes
    ----------
    stages : dict of str to dict
        `wall_s` and `cpu_s` of each stage, and `peak_mib`, the most memory that the process had by its end.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.stages: dict[str, dict[str, float]] = json.loads(path.read_text()) if path.exists() else {}
        self._stage, self._since = "", (0.0, 0.0)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage, and say on stderr what it took."""
        self._stage, self._since = name, (perf_counter(), process_time())
        print(f"{name} ...", file=sys.stderr, flush=True)
        yield
        self.tick()
        print(f"{name}: {self.stages[name]}", file=sys.stderr, flush=True)

    def tick(self) -> None:
        """Keep what the stage has taken so far, as when a checkpoint was written."""
        now, taken = (perf_counter(), process_time()), self.stages.setdefault(self._stage, {"wall_s": 0., "cpu_s": 0.})
        for name, end, start in zip(("wall_s", "cpu_s"), now, self._since, strict=True):
            taken[name] = round(taken[name] + end - start, 2)
        taken["peak_mib"] = getrusage(RUSAGE_SELF).ru_maxrss // 1024
        self._since = now
        self.path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write_text(self.path, json.dumps(self.stages))


def name_of(settings: Settings) -> str:
    """Return the name of a configuration's files.

    Examples
    --------
    >>> name_of({"network": "resnet20", "bits": "2/4", "half": "first", "seed": 0})
    'resnet20-2+4-first-seed=0'
    """
    return "-".join(f"{name}={value}" if isinstance(value, int | float) else str(value).replace("/", "+")
                    for name, value in settings.items())


def done(folder: Path, settings: Settings) -> dict[str, Any] | None:
    """Return the record of a configuration, if there is one.

    Raises
    ------
    InputError
        If the file is none of this configuration.
    """
    path = folder / f"{name_of(settings)}.json"
    if not path.exists():
        return None
    record = _read(path)
    if record["settings"] != dict(settings):
        raise InputError(f"'{path}' is of other settings, {record['settings']}; give another folder or remove it")
    return record


def write(folder: Path, settings: Settings, found: Settings, clock: Clock) -> dict[str, Any]:
    """Write and return the record of a configuration, whole or not at all."""
    record = {"settings": dict(settings), **found, "stages": clock.stages, "environment": _environment()}
    atomic_write_text(folder / f"{name_of(settings)}.json", json.dumps(record, indent=1) + "\n")
    clock.path.unlink(missing_ok=True)
    return record


def read_all(folder: Path) -> list[dict[str, Any]]:
    """Return all records of a folder, by their files' names.

    Raises
    ------
    InputError
        If there is none, or a file is no record.
    """
    records = [_read(path) for path in sorted(folder.glob("*.json"))]
    if not records:
        raise InputError(f"no results in '{folder}'")
    return records


def _read(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"'{path}' is no result of this benchmark: {error}") from None
    if not isinstance(record, dict) or not {"settings", "answers"} <= record.keys():
        raise InputError(f"'{path}' is no result of this benchmark: it must have settings and answers")
    return record


def _environment() -> dict[str, Any]:
    listed = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.*)", listed.read_text()) if listed.exists() else []
    return {"commit": _commit(), "python": platform.python_version(), "cores": os.cpu_count(),
            "processor": names[0] if names else platform.processor(),
            "versions": {name: version(name) for name in PACKAGES}}


def _commit() -> str:
    """Return the commit of the code, with a `+` if files have changed since."""
    found = subprocess.run(["git", "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"],
                           cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"
