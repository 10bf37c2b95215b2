"""Processes of this machine: a pool of one process for each slot, so that a death concerns one job and is known to."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from multiprocessing.connection import Connection
from threading import Thread
from types import FrameType, TracebackType
from typing import NoReturn, Self

from bitwright.farm.perform import Reply, perform
from sim.errors import InputError

__all__ = ["Processes"]

GRACE_SECONDS = 1.0
"""What a job has to remove its temporary files when it is ended."""


class _Slot:
    """A process that is started when it is first needed, and the job that it does.

    It leads a process group, with the simulators that it starts, and holds one end of a pipe. When the other end
    closes, because the block was left or because this process has died, the whole group ends.
    """

    def __init__(self) -> None:
        context = get_context("spawn")
        theirs, self._lifeline = context.Pipe(duplex=False)
        self._pool = ProcessPoolExecutor(1, context, _begin, (theirs,))
        self._theirs = theirs
        self.key = ""

    def start(self, key: str, text: str) -> Future[Reply]:
        """Begin a job."""
        self.key, future = key, self._pool.submit(perform, text)
        self._theirs.close()  # the process has been started, with its own copy
        return future

    def let_go(self) -> None:
        """Tell the process to end, with what it has started."""
        self._lifeline.close()

    def end(self) -> None:
        """End the process, and wait until it has."""
        self.let_go()
        self._pool.shutdown(cancel_futures=True)


class Processes:
    """Processes of this machine, each of which does one job at a time.

    Parameters
    ----------
    count : int
        At least 1.
    """

    def __init__(self, count: int) -> None:
        if count < 1:
            raise InputError(f"there must be at least 1 process, not {count}")
        self.slots = count
        self._free: list[_Slot] = []
        self._busy: dict[Future[Reply], _Slot] = {}

    def start(self, key: str, text: str) -> None:
        """Begin a job in a process that is free, or in a new one."""
        while self._free:
            slot = self._free.pop()
            try:
                self._busy[slot.start(key, text)] = slot
                return
            except BrokenProcessPool:  # it died while it did nothing
                slot.end()
        slot = _Slot()
        self._busy[slot.start(key, text)] = slot

    def wait(self, seconds: float) -> list[tuple[str, Reply | None]]:
        """Return what has ended; a process that died is replaced when it is needed."""
        ended, _ = wait(self._busy, seconds, FIRST_COMPLETED)
        found: list[tuple[str, Reply | None]] = []
        for future in ended:
            slot = self._busy.pop(future)
            try:
                found.append((slot.key, future.result()))
                self._free.append(slot)
            except BrokenProcessPool:
                found.append((slot.key, None))
                slot.end()
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        """End all processes, with what they have started."""
        slots = [*self._free, *self._busy.values()]
        for slot in slots:
            slot.let_go()
        for slot in slots:
            slot.end()


def _begin(lifeline: Connection) -> None:
    """Prepare a process: a group of its own, which Ctrl-C does not reach and which ends with the lifeline."""
    os.setpgid(0, 0)
    signal.signal(signal.SIGTERM, _leave)
    Thread(target=_end_with, args=(lifeline,), daemon=True).start()


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    """Leave the job, so that its blocks remove their temporary files."""
    raise SystemExit(1)


def _end_with(lifeline: Connection) -> None:
    """Wait for the end of the lifeline, then end the group: gently, and for good if that does not help."""
    try:
        lifeline.recv_bytes()
    except (EOFError, OSError):
        pass
    os.killpg(0, signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os.killpg(0, signal.SIGKILL)
