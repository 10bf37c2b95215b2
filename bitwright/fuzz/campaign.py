"""Many inputs for a loader in worker processes; findings, and how far each loader has read, are kept in files."""

from __future__ import annotations

import json
import multiprocessing
import signal
import time
from collections import Counter
from collections.abc import Callable
from ctypes import c_longlong
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from multiprocessing.context import SpawnContext, SpawnProcess
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import cast

from bitwright.fuzz.worker import Finding, Limits, Result, input_of, target_named, work
from sim.errors import InputError
from sim.io.atomic_write import atomic_write, atomic_write_text, ensure_folder

__all__ = ["Outcome", "Stand", "fuzz"]

CHUNK = 200
"""Inputs that a worker gets at a time."""
LIMITS = Limits()
KEPT = 3
"""Inputs that are kept for each signature."""


@dataclass
class Outcome:
    """What became of the inputs of a loader."""

    name: str
    inputs: int = 0
    accepted: int = 0
    seconds: float = 0.0
    signatures: Counter[str] = field(default_factory=Counter)

    @property
    def findings(self) -> int:
        """Count the inputs that were neither taken nor refused."""
        return self.signatures.total()


class Stand:
    """A file of how many inputs of a seed each loader has read, so that a run goes on where the last one ended."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._file, self._seed = folder / "stand.json", str(seed)
        self._read = _read_stand(self._file) if self._file.exists() else {}

    def of(self, name: str) -> int:
        """Return the first input that the loader has not read."""
        return self._read.get(self._seed, {}).get(name, 0)

    def note(self, name: str, index: int) -> None:
        """Write down that everything before `index` is read."""
        self._read.setdefault(self._seed, {})[name] = index
        atomic_write_text(self._file, json.dumps(self._read, indent=1) + "\n")


def _read_stand(file: Path) -> dict[str, dict[str, int]]:
    """Read the file of a `Stand`: by seed and loader, the first input that is not read."""
    try:
        read: dict[str, dict[str, int]] = json.loads(file.read_text())
        if all(type(index) is int for stand in read.values() for index in stand.values()):
            return read
    except (ValueError, AttributeError):
        pass
    raise InputError(f"{file} does not hold what was read before; remove it, or use another folder")


class _Worker:
    """A process, the range of inputs that it was given, and since when it has been at the same input."""

    def __init__(self, context: SpawnContext, name: str, seed: int, limits: Limits) -> None:
        self.current = cast("Synchronized[int]", context.Value(c_longlong, -1))
        self.connection, theirs = context.Pipe()
        arguments = name, seed, limits, theirs, self.current
        self.process: SpawnProcess = context.Process(target=work, args=arguments, daemon=True)
        self.process.start()
        theirs.close()
        self.given: tuple[int, int] | None = None
        self.ready = False
        self._most_seconds = limits.waiting_seconds
        self._index, self._since = -1, time.monotonic()

    def stuck(self) -> bool:
        """Return whether the process has been at one input for too long, and kill it if so."""
        index = int(self.current.value)
        if index != self._index or self.given is None:
            self._index, self._since = index, time.monotonic()
        if time.monotonic() - self._since < self._most_seconds:
            return False
        self.process.kill()
        self.process.join()
        return True

    def end(self) -> None:
        """Kill the process, which holds nothing that is needed."""
        self.process.kill()
        self.process.join()
        self.connection.close()


class _Campaign:
    """The run of one loader over its inputs."""

    def __init__(self, name: str, seed: int, folder: Path, jobs: int, limits: Limits) -> None:
        self.outcome = Outcome(name)
        self._name, self._seed, self._folder, self._jobs, self._limits = name, seed, folder, jobs, limits
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[_Worker] = []
        self._pending: list[tuple[int, int]] = []
        self._done: set[int] = set()

    def run(self, first: int, last: int | None, seconds: float | None, progress: Callable[[Outcome], None]) -> int:
        """Read inputs `first` .. `last - 1`, or for so many seconds, and return the first that was not read."""
        started, self._next = time.monotonic(), first
        self._workers = [_Worker(self._context, self._name, self._seed, self._limits) for _ in range(self._jobs)]
        try:
            while True:
                self.outcome.seconds = time.monotonic() - started
                over = seconds is not None and self.outcome.seconds > seconds
                for worker in self._workers:
                    if worker.ready and worker.given is None and not over:
                        self._give(worker, last)
                if all(worker.given is None for worker in self._workers if worker.ready) and (
                        over or (self._exhausted(last) and all(worker.ready for worker in self._workers))):
                    return self._first_unread(first)
                self._listen()
                progress(self.outcome)
        finally:
            for worker in self._workers:
                worker.end()

    def _exhausted(self, last: int | None) -> bool:
        return not self._pending and last is not None and self._next >= last

    def _give(self, worker: _Worker, last: int | None) -> None:
        if not self._pending and not self._exhausted(last):
            end = self._next + CHUNK if last is None else min(self._next + CHUNK, last)
            self._pending.append((self._next, end))
            self._next = end
        if self._pending:
            worker.given = self._pending.pop()
            worker.connection.send(worker.given)

    def _listen(self) -> None:
        """Take what the workers say, for half a second, and replace those that died."""
        said = wait([worker.connection for worker in self._workers], timeout=0.5)
        for place, worker in enumerate(self._workers):
            try:
                if worker.connection in said:
                    self._take(worker, worker.connection.recv())
                elif worker.stuck():
                    self._replace(place, "a hang: it waits and does not work")
            except (EOFError, ConnectionError):
                worker.process.join()
                code = worker.process.exitcode or 0
                self._replace(place, f"the process died of {signal.Signals(-code).name if code < 0 else code}")

    def _take(self, worker: _Worker, result: Result | None) -> None:
        worker.ready, worker.given = True, None
        if result is not None:
            self.outcome.inputs += result.last - result.first
            self.outcome.accepted += result.accepted
            self._done.update(range(result.first, result.last))
            for finding in result.findings:
                self._keep(finding)

    def _replace(self, place: int, what: str) -> None:
        """Start another worker for the rest of the range, and keep the input at which the first one stopped."""
        worker = self._workers[place]
        if worker.given is None:
            raise RuntimeError(f"a worker of {self._name} cannot start: {what}")
        first, last = worker.given
        index = max(first, int(worker.current.value))
        target = target_named(self._name)
        target.prepare(ensure_folder(self._folder / "tmp"))
        self._keep(Finding(index, what, what, input_of(target, self._seed, index)))
        self.outcome.inputs += 1
        self._done.add(index)
        self._pending += [(start, end) for start, end in ((first, index), (index + 1, last)) if start < end]
        worker.end()
        self._workers[place] = _Worker(self._context, self._name, self._seed, self._limits)

    def _keep(self, finding: Finding) -> None:
        """Write a finding and how to see it again, unless there are enough of its kind."""
        self.outcome.signatures[finding.signature] += 1
        if self.outcome.signatures[finding.signature] > KEPT:
            return
        place = ensure_folder(self._folder / self._name) / f"{self._seed}-{finding.index}"
        with atomic_write(place) as stream:
            stream.write(finding.data)
        atomic_write_text(place.with_suffix(".txt"), (
            f"python -m bitwright.fuzz --loader {self._name} --again {place}\n\n{finding.signature!a}\n\n"
            + finding.text.encode("ascii", "backslashreplace").decode()))

    def _first_unread(self, first: int) -> int:
        while first in self._done:
            first += 1
        return first


def fuzz(name: str, seed: int, folder: Path, jobs: int, inputs: int, seconds: float | None,
         progress: Callable[[Outcome], None], limits: Limits = LIMITS) -> Outcome:
    """Read inputs of a seed with a loader, from where the last run was stopped.

    Parameters
    ----------
    name : str
        Name of the loader.
    seed : int
    folder : Path
        Gets the findings, and what has been read.
    jobs : int
        Worker processes.
    inputs : int
        Number of the input to stop at, without `seconds`.
    seconds : float or None
        Time to run instead, whatever the number of inputs.
    progress : callable
        Gets the outcome so far about twice a second.
    limits : Limits
        What one input may take.
    """
    stand, campaign = Stand(ensure_folder(folder), seed), _Campaign(name, seed, folder, jobs, limits)
    first = stand.of(name)
    if seconds is not None or first < inputs:
        stand.note(name, campaign.run(first, None if seconds is not None else inputs, seconds, progress))
    return campaign.outcome
