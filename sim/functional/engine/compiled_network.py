"""Make a Program ready to run: operations in one table, and the memory that a run needs."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from sim.errors import InputError
from sim.functional.engine.buffers import ALIGNMENT, lay_out
from sim.functional.engine.lowering import Lowering
from sim.functional.engine.operation import Operation
from sim.functional.kernels import abi
from sim.functional.kernels.kernel_cache import library
from sim.functional.kernels.kernel_id import KernelId
from sim.ir.ops import Conv
from sim.ir.program import Program

__all__ = ["CompiledNetwork", "aligned_bytes"]

MAX_ARENA_BYTES = 1 << 32
"""Memory of a thread; ResNet-18 at 224 x 224 takes 3 MB."""

Bytes = NDArray[np.uint8]
Words = NDArray[np.int64]


class CompiledNetwork:
    """A Program for one rung of instructions, with the tensors that leave it.

    Parameters
    ----------
    program : Program
    leaving : collection of str
        Tensors that the host wants.
    isa : str
    kernels : mapping of str to str
        Kernels of layers by name, instead of those that the selection takes.

    Raises
    ------
    InputError
        If a kernel in `kernels` cannot compute its layer, the layer is unknown, or a thread would need more than
        MAX_ARENA_BYTES.
    """

    def __init__(self, program: Program, leaving: Collection[str], isa: str, kernels: Mapping[str, str]) -> None:
        self.program = program
        self.slots = {name: 1 + i for i, name in enumerate((*(t.name for t in program.inputs), *leaving))}
        self.arena = lay_out(program, 8 * (1 + len(self.slots)), {*leaving, *(t.name for t in program.inputs)})
        self._check_memory()
        self._lowering = Lowering(program, self.arena.buffers, isa, kernels)
        self.operations = self._lowering.operations(self.slots, leaving)
        sizes = [array.nbytes for operation in self.operations for array in operation.constants.values()]
        # One piece of memory, since NumPy asks for huge pages for large ones.
        self._constants = aligned_bytes(sum(size + ALIGNMENT for size in sizes))
        self._constant_bytes = 0
        scratch = self.arena.reserve(max(operation.scratch_bytes for operation in self.operations) + ALIGNMENT)
        unwanted = self.arena.reserve(4 * max(tensor.channels for tensor in program.tensors) + ALIGNMENT)
        self.arena_bytes = self._check_memory()
        self._rows = np.zeros((len(self.operations), abi.WORDS), np.int64)
        self._table = np.zeros((len(self.operations), 2), np.int64)
        for row, entry, operation in zip(self._rows, self._table, self.operations, strict=True):
            self._fill(row, operation, scratch, unwanted)
            entry[:] = library().address(operation.kernel), row.ctypes.data
        run = library().address(KernelId("executor", "run"))
        self._run = ctypes.CFUNCTYPE(ctypes.c_int32, *[ctypes.c_int64] * 7)(run)

    def run(self, arena_address: int, first: int, last: int) -> None:
        """Run images first .. last - 1, of and into the host's arrays that the arena has; without holding the GIL."""
        unused = ctypes.c_int64()
        place = ctypes.addressof(unused)
        self._run(place, place, self._table.ctypes.data, len(self._table), arena_address, first, last)

    def one_operation(self, index: int, words: Mapping[int, int]) -> Callable[[int], None]:
        """Return what runs one operation of the first image in an arena, with some of its words replaced."""
        memory, unused = np.concatenate([self._table[index], self._rows[index]]), ctypes.c_int64()
        row = memory[self._table.shape[1] :]
        memory[1] = row.ctypes.data
        for word, value in words.items():
            row[word] = value

        def run(arena_address: int) -> None:
            place = ctypes.addressof(unused)
            self._run(place, place, memory.ctypes.data, 1, arena_address, 0, 1)

        return run

    def possible_kernels(self, conv: Conv) -> list[KernelId]:
        """Return every kernel that is exact for a layer, the best first."""
        return self._lowering.possible_kernels(conv)

    def _fill(self, row: Words, operation: Operation, scratch: int, unwanted: int) -> None:
        for index, value in operation.words.items():
            row[index] = value
        for index, array in operation.constants.items():
            place = self._constants[self._constant_bytes :][: array.nbytes]
            place[:] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
            row[index] = place.ctypes.data
            self._constant_bytes += -(-array.nbytes // ALIGNMENT) * ALIGNMENT
        operation.constants.clear()
        if operation.called_requantizer is not None:
            row[abi.REQUANTIZER] = library().address(operation.called_requantizer)
        row[abi.SCRATCH] = scratch
        if operation.unwanted:
            row[abi.UNWANTED] = unwanted

    def _check_memory(self) -> int:
        """Count all bytes of a thread, with those after the arena that a kernel may read but no result depends on.

        They are counted before any are taken.
        """
        pixels = max(buffer.pixel_bytes for buffer in self.arena.all)
        needed = self.arena.bytes + abi.TILE_PIXELS * pixels + 4 * abi.STEP_BYTES
        if needed > MAX_ARENA_BYTES:
            raise InputError(f"a thread of the simulator takes at most {MAX_ARENA_BYTES} bytes for the tensors of an "
                             f"image and their borders, not {needed}")
        return needed


def aligned_bytes(size: int) -> Bytes:
    """Return zeros that start at a cache line."""
    room = np.zeros(size + ALIGNMENT, np.uint8)
    start = -room.ctypes.data % ALIGNMENT
    return room[start : start + size]
