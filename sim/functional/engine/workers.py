"""The memory that calls run in: a worker belongs to one call at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from sim.functional.engine.compiled_network import CompiledNetwork, aligned_bytes

__all__ = ["Worker", "Workers"]


class Worker:
    """Memory of one thread, borders filled, and the host's arrays that it works on."""

    def __init__(self, network: CompiledNetwork) -> None:
        self.network = network
        self._bytes = aligned_bytes(network.arena_bytes)
        for buffer in network.arena.all:
            if buffer.shape.fill:
                self._bytes[buffer.start : buffer.start + buffer.bytes] = buffer.shape.fill

    @property
    def address(self) -> int:
        """Return where its memory starts."""
        return self._bytes.ctypes.data

    def run(self, arrays: Mapping[str, NDArray[np.generic]], first: int, last: int) -> None:
        """Run images first .. last - 1 of `arrays`: uint8 inputs, int32 tensors that leave, all C contiguous."""
        header = self._bytes[: 8 * (1 + len(self.network.slots))].view(np.int64)
        for name, slot in self.network.slots.items():
            header[slot] = arrays[name].ctypes.data
        self.network.run(self._bytes.ctypes.data, first, last)


class Workers:
    """Workers for as many calls as there are at one time, made when none is idle.

    Lists of Python take and give one item at once, so there is no lock: nothing can wait for a call that an interrupt
    ended, or for a thread that a forked process does not have.

    Parameters
    ----------
    network : CompiledNetwork
    threads : int
        Idle workers that are kept at least; more only up to the number of processors.
    """

    def __init__(self, network: CompiledNetwork, threads: int) -> None:
        self._network = network
        self._most_idle = max(threads, os.cpu_count() or 1)
        self._idle = [Worker(network)]

    @contextmanager
    def one(self) -> Iterator[Worker]:
        """Lend a worker that nobody else has until the block ends."""
        try:
            worker = self._idle.pop()
        except IndexError:
            worker = Worker(self._network)
        try:
            yield worker
        finally:
            if len(self._idle) < self._most_idle:
                self._idle.append(worker)
