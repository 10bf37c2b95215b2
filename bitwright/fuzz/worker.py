"""A process that reads inputs, each within a budget of memory and time, and reports what it found.

Memory is address space: before each input the process may have 512 MB more of it than it has then, with everything
imported that the loader needs. Time is that of the processor, so that a busy machine changes no verdict; the parent
notices a process that waits instead of working.
"""

from __future__ import annotations

import os
import resource
import signal
import tempfile
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.connection import Connection
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from random import Random
from types import FrameType

from bitwright.fuzz.target import Target
from sim.errors import InputError

__all__ = ["LONGEST_MESSAGE", "TARGETS", "Finding", "Limits", "Result", "examine", "input_of", "target_named", "work"]

TARGETS = {
    "program": "programs.Programs", "run": "programs.Runs", "image": "programs.Images",
    "machine": "descriptions.Machines", "technology": "descriptions.Technologies", "losses": "networks.Losses",
    "budgets": "networks.Budgets", "weights": "networks.Weights", "checkpoint": "networks.Checkpoints",
    "codes": "networks.Codes", "picture": "networks.Pictures", "onnx": "models.OnnxModels"}
"""Module and class of each target in this package."""
LONGEST_MESSAGE = 4000
PAGE_BYTES = resource.getpagesize()


class TooSlow(BaseException):
    """Raised when an input takes longer than it may; no loader catches it."""


@dataclass(frozen=True)
class Limits:
    """What one input may take.

    Attributes
    ----------
    memory_bytes : int
        Address space beyond what the process had.
    seconds : float
        Time of the processor.
    waiting_seconds : float
        Elapsed time after which a process that is still at an input counts as hung.
    """

    memory_bytes: int = 512 << 20
    seconds: float = 5.0
    waiting_seconds: float = 60.0


@dataclass(frozen=True)
class Finding:
    """An input that a loader neither took nor refused properly.

    Attributes
    ----------
    index : int
        Number of the input.
    signature : str
        What happened and where, the same for inputs with one cause.
    text : str
        The whole traceback.
    data : bytes
        The input.
    """

    index: int
    signature: str
    text: str
    data: bytes


@dataclass(frozen=True)
class Result:
    """What became of the inputs `first` .. `last - 1`."""

    first: int
    last: int
    accepted: int
    findings: tuple[Finding, ...]


def target_named(name: str) -> Target:
    """Make the target of this name, which is not yet prepared."""
    module, _, kind = (TARGETS | {"planted": "planted.Planted"})[name].partition(".")
    target: Target = getattr(import_module(f"bitwright.fuzz.{module}"), kind)()
    return target


def work(name: str, seed: int, limits: Limits, connection: Connection, current: Synchronized[int]) -> None:
    """Receive ranges of inputs and send a `Result` for each until None comes; keep the present input in `current`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with tempfile.TemporaryDirectory(prefix="bitwright-fuzz-") as place:
        target, folder = target_named(name), Path(place)
        target.prepare(folder)
        connection.send(None)
        while (wanted := connection.recv()) is not None:
            first, last = wanted
            accepted, findings = 0, []
            for index in range(first, last):
                current.value = index
                found = examine(target, input_of(target, seed, index), folder / "input", index, limits)
                accepted += found is None
                findings += [found] if isinstance(found, Finding) else []
            connection.send(Result(first, last, accepted, tuple(findings)))


def input_of(target: Target, seed: int, index: int) -> bytes:
    """Return input `index` of a seed, which is the same on every machine."""
    return target.make(Random(f"{seed} {target.name} {index}"))


def examine(target: Target, data: bytes, path: Path, index: int, limits: Limits) -> Finding | bool | None:
    """Read one input, and return None if it was taken, True if it was refused, and a Finding otherwise."""
    path.write_bytes(data)
    try:
        with _budget(limits):
            target.read(path)
    except InputError as error:
        text = str(error)
        if text.isprintable() and 0 < len(text) <= LONGEST_MESSAGE:
            return True
        return Finding(index, "a message that is no short printable line", ascii(text), data)
    except BaseException as error:
        return Finding(index, _signature(error), "".join(traceback.format_exception(error)), data)
    return None


@contextmanager
def _budget(limits: Limits) -> Iterator[None]:
    """Let the block raise MemoryError or TooSlow beyond the budget of one input."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    held = int(Path("/proc/self/statm").read_text().split()[0]) * PAGE_BYTES
    signal.signal(signal.SIGPROF, _too_slow)
    resource.setrlimit(resource.RLIMIT_AS, (held + limits.memory_bytes, hard))
    signal.setitimer(signal.ITIMER_PROF, limits.seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


def _too_slow(number: int, frame: FrameType | None) -> None:
    raise TooSlow("it takes too long")


def _signature(error: BaseException) -> str:
    """Return the kind of an error and the innermost line of this project that it came through."""
    own = [entry for entry in traceback.extract_tb(error.__traceback__)
           if f"{os.sep}site-packages{os.sep}" not in entry.filename and f"{os.sep}fuzz{os.sep}" not in entry.filename
           and any(f"{os.sep}{package}{os.sep}" in entry.filename for package in ("sim", "quant", "rtl", "bitwright"))]
    if isinstance(error, TooSlow) or not own:
        return f"{type(error).__name__}: {str(error)[:80]}" if not own else f"TooSlow in {_line(own[0])}"
    return f"{type(error).__name__} in {_line(own[-1])}"


def _line(entry: traceback.FrameSummary) -> str:
    return f"{Path(entry.filename).parent.name}/{Path(entry.filename).name}:{entry.lineno} {entry.name}"
