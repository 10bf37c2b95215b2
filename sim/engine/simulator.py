"""`Simulator`: a Program at full speed, bit for bit what `sim.simulate.simulate` gives."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from sim.engine.network import Network, Worker
from sim.errors import InputError
from sim.inputs import check_inputs
from sim.kernels.isa import chosen
from sim.program import Program

__all__ = ["Simulator"]

Codes = NDArray[np.int32]


class Simulator:
    """A Program made ready to run.

    Parameters
    ----------
    program : Program
    capture : collection of str, optional
        Tensors to return beside the outputs.
    threads : int, at least 1
        Images are shared among them; results do not depend on it.
    isa : str, optional
        Rung of `sim.kernels.isa`; the highest that the CPU has, or BITWRIGHT_ISA, if None.
    kernels : mapping of str to str, optional
        Kernels of layers by name, instead of those that the dispatch chooses: for tests and measurements.

    Raises
    ------
    InputError
        If a tensor, layer, kernel or rung is unknown or impossible, or threads is below 1.
    """

    def __init__(self, program: Program, *, capture: Collection[str] = (), threads: int = 1, isa: str | None = None,
                 kernels: Mapping[str, str] | None = None) -> None:
        if threads < 1:
            raise InputError(f"threads must be at least 1, not {threads}")
        self.program, self.threads = program, threads
        captured = [program.tensor(name).name for name in capture]
        outputs = [tensor.name for tensor in program.outputs]
        inputs = [tensor.name for tensor in program.inputs]
        self._given = [name for name in inputs if name in captured]
        self._leaving = [name for name in dict.fromkeys((*outputs, *captured)) if name not in inputs]
        self._network = Network(program, self._leaving, chosen(isa), kernels or {})
        self._workers = [Worker(self._network) for _ in range(threads)]

    @property
    def kernels(self) -> dict[str, str]:
        """Which kernel computes each layer, by name."""
        convs = {conv.name for conv in self.program.convs}
        return {operation.record: operation.kernel for operation in self._network.operations
                if operation.record in convs}

    @property
    def possible_kernels(self) -> dict[str, list[str]]:
        """Every kernel that is exact for each layer on this rung, by name, the one that the dispatch takes first."""
        return {conv.name: self._network.possible_kernels(conv) for conv in self.program.convs}

    @property
    def requantizers(self) -> dict[str, str]:
        """Which kernel requantizes each layer, by name."""
        return {operation.record: operation.requantizer for operation in self._network.operations
                if operation.requantizer is not None}

    def run(self, inputs: Mapping[str, NDArray[np.integer]]) -> dict[str, Codes]:
        """Codes of the outputs and of what is captured.

        Parameters
        ----------
        inputs : mapping of name to integer array, shape (N, channels, height, width)
            As in `sim.simulate.simulate`; uint8 and int8 are taken as they are.

        Returns
        -------
        dict of str to int32 array, shape (N, channels, height, width)
        """
        images = check_inputs(self.program, inputs)
        arrays: dict[str, NDArray[np.generic]] = {name: _bytes(codes) for name, codes in inputs.items()}
        results = {name: np.empty((images, *self.program.tensor(name).shape), np.int32) for name in self._leaving}
        arrays |= results
        share = -(-images // (4 * self.threads)) if self.threads > 1 else images
        spans = [(first, min(first + share, images)) for first in range(0, images, max(share, 1))]
        self._share(arrays, spans)
        return {name: inputs[name].astype(np.int32) for name in self._given} | results

    def _share(self, arrays: Mapping[str, NDArray[np.generic]], spans: list[tuple[int, int]]) -> None:
        """Every thread takes the next span of images until there is none."""
        remaining = iter(spans)

        def work(worker: Worker) -> None:
            for span in remaining:
                worker.run(arrays, *span)

        workers = self._workers[: max(len(spans), 1)]
        if len(workers) == 1:
            work(workers[0])
            return
        with ThreadPoolExecutor(len(workers)) as pool:
            list(pool.map(work, workers))

    def stream(self, batches: Iterable[Mapping[str, NDArray[np.integer]]]) -> Iterator[dict[str, Codes]]:
        """`run` on one batch after the other; the memory in use is that of a batch."""
        return map(self.run, batches)


def _bytes(codes: NDArray[np.integer]) -> NDArray[np.uint8]:
    """The lowest byte of every code, which is all of it modulo 256."""
    if codes.dtype.itemsize == 1:
        return np.ascontiguousarray(codes).view(np.uint8)
    return np.ascontiguousarray(codes.astype(np.uint8))
