"""Run a Program at full speed, with the same codes as `sim.functional.reference.simulate`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import RLock

import numpy as np
from numpy.typing import NDArray

from sim.errors import InputError
from sim.functional.engine.compiled_network import CompiledNetwork
from sim.functional.engine.profile import OperationTime, time_operations
from sim.functional.engine.workers import Workers
from sim.functional.kernels.isa import chosen
from sim.ir.program import Program

__all__ = ["Simulator"]

Codes = NDArray[np.int32]
Batch = Mapping[str, NDArray[np.integer]]

MAX_THREADS = 1024
"""More than any machine has cores; every one has its own memory."""


class Simulator:
    """A Program made ready to run.

    Any number of threads may call `run` and draw streams at the same time: no two calls ever share memory. A process
    that is forked may go on using it; pickled or copied, it is made anew from its Program.

    Parameters
    ----------
    program : Program
    capture : collection of str, optional
        Tensors to return beside the outputs.
    threads : int, 1..1024
        That share the images of a call; results do not depend on it.
    isa : str, optional
        Rung of `sim.functional.kernels.isa`; the highest that the CPU has, or BITWRIGHT_ISA, if None.
    kernels : mapping of str to str, optional
        Kernels of layers by name, instead of those that the selection takes: for tests and measurements.

    Raises
    ------
    InputError
        If a tensor, layer, kernel or rung is unknown or impossible, threads is no number from 1 to 1024, or the
        Program needs more memory than `sim.functional.engine.compiled_network` allows.
    """

    def __init__(self, program: Program, *, capture: Collection[str] = (), threads: int = 1, isa: str | None = None,
                 kernels: Mapping[str, str] | None = None) -> None:
        if not isinstance(threads, int | np.integer) or not 1 <= threads <= MAX_THREADS:
            raise InputError(f"threads must be in 1..{MAX_THREADS}, not {threads}")
        self.program, self.threads = program, int(threads)
        self._again = partial(Simulator, program, capture=tuple(capture), threads=threads, isa=isa,
                              kernels=None if kernels is None else dict(kernels))
        captured = dict.fromkeys(program.tensor(name).name for name in capture)
        outputs = [tensor.name for tensor in program.outputs]
        inputs = dict.fromkeys(tensor.name for tensor in program.inputs)
        self._given = [name for name in inputs if name in captured]
        self._leaving = [name for name in dict.fromkeys((*outputs, *captured)) if name not in inputs]
        self._network = CompiledNetwork(program, self._leaving, chosen(isa), kernels or {})
        self._workers = Workers(self._network, threads)

    def __reduce__(self) -> tuple[Callable[[], Simulator], tuple[()]]:
        return self._again, ()

    @property
    def kernels(self) -> dict[str, str]:
        """The kernel of each layer, by name."""
        return {operation.op: str(operation.kernel) for operation in self._network.operations
                if operation.requantizer is not None}

    @property
    def possible_kernels(self) -> dict[str, list[str]]:
        """Every kernel that is exact for each layer on this rung, by name, the one that the selection takes first."""
        return {conv.name: [str(kernel) for kernel in self._network.possible_kernels(conv)]
                for conv in self.program.convs}

    @property
    def requantizers(self) -> dict[str, str]:
        """The requantizer of each layer, by name."""
        return {operation.op: str(operation.requantizer) for operation in self._network.operations
                if operation.requantizer is not None}

    def run(self, inputs: Batch) -> dict[str, Codes]:
        """Return codes of the outputs and of what is captured.

        Parameters
        ----------
        inputs : mapping of name to integer array, shape (N, channels, height, width)
            As in `sim.functional.reference.simulate`; uint8 and int8 are taken as they are, so nobody may change them
            meanwhile.

        Returns
        -------
        dict of str to int32 array, shape (N, channels, height, width)
        """
        given = self.program.check_inputs(inputs)
        images = len(given[self.program.inputs[0].name])
        results = {name: np.empty((images, *self.program.tensor(name).shape), np.int32) for name in self._leaving}
        arrays = {name: _bytes(codes) for name, codes in given.items()} | results
        share = -(-images // (4 * self.threads)) if self.threads > 1 else images
        self._share(arrays, [(first, min(first + share, images)) for first in range(0, images, max(share, 1))])
        return {name: given[name].astype(np.int32) for name in self._given} | results

    def profile(self, inputs: Batch, rounds: int = 32) -> list[OperationTime]:
        """Time every operation on the first image, on one thread, in the order in which they run.

        Parameters
        ----------
        inputs : mapping of name to integer array
            As in `run`, of at least one image.
        rounds : int, at least 1
            Of which the median is taken.
        """
        if not isinstance(rounds, int | np.integer) or rounds < 1:
            raise InputError(f"rounds must be at least 1, not {rounds}")
        given = {name: _bytes(codes) for name, codes in self.program.check_inputs(inputs).items()}
        if not len(given[self.program.inputs[0].name]):
            raise InputError("a profile needs one image, not 0")
        results = {name: np.empty((1, *self.program.tensor(name).shape), np.int32) for name in self._leaving}
        with self._workers.one() as worker:
            worker.run(given | results, 0, 1)
            return time_operations(self._network, worker.address, rounds)

    def _share(self, arrays: Mapping[str, NDArray[np.generic]], spans: list[tuple[int, int]]) -> None:
        """Let every thread take the next span of images until there is none."""
        remaining = iter(spans)

        def work(_: int) -> None:
            with self._workers.one() as worker:
                for span in remaining:
                    worker.run(arrays, *span)

        count = min(self.threads, len(spans))
        if count <= 1:
            work(0)
            return
        with ThreadPoolExecutor(count) as pool:
            list(pool.map(work, range(count)))

    def stream(self, batches: Iterable[Batch]) -> Iterator[dict[str, Codes]]:
        """Yield what `run` gives on one batch after the other; the memory in use is that of a batch.

        Several threads may draw from one stream: each batch is taken by one of them, which gets its codes.
        """
        return map(self.run, _OneAtATime(batches))


class _OneAtATime:
    """An iterator that several threads may draw from: a generator alone refuses the second one."""

    def __init__(self, batches: Iterable[Batch]) -> None:
        self._batches, self._lock = iter(batches), RLock()

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        with self._lock:
            return next(self._batches)


def _bytes(codes: NDArray[np.integer]) -> NDArray[np.generic]:
    """Return the lowest byte of every code, which is all of it modulo 256."""
    if codes.dtype.itemsize == 1:
        return np.ascontiguousarray(codes).view(np.uint8)
    return np.ascontiguousarray(codes.astype(np.uint8))
