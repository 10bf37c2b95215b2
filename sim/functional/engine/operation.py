"""An operation of compiled code, before the executor's table holds it, and the words that tell where tensors lie."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sim.functional.engine.buffers import Buffer
from sim.functional.kernels import abi
from sim.functional.kernels.kernel_id import KernelId
from sim.ir.ops import Conv, Lattice
from sim.ir.program import Program

__all__ = ["Constant", "Operation", "extent_words", "map_words", "source_words", "target_words"]

Constant = NDArray[np.generic]


@dataclass
class Operation:
    """Everything that the executor needs of one operation.

    Parameters
    ----------
    kernel : KernelId
    op : str
        Name of the op, or of the tensor that is moved.
    words : dict of int to int
        By their names in `sim.functional.kernels.abi`.
    constants : dict of int to array
        Words that are addresses of these.
    requantizer : KernelId or None
        What turns sums into codes.
    scratch_bytes : int
    unwanted : bool
        Whether it writes results that must be dropped.
    """

    kernel: KernelId
    op: str
    words: dict[int, int]
    constants: dict[int, Constant] = field(default_factory=dict)
    requantizer: KernelId | None = None
    scratch_bytes: int = 0
    unwanted: bool = False

    @property
    def called_requantizer(self) -> KernelId | None:
        """Return the requantizer that the kernel calls: None if it does that work itself."""
        fused = self.kernel.family == "fused_conv" or self.kernel.variant.startswith("narrow")
        return None if fused else self.requantizer


def source_words(buffer: Buffer, row: int = 0, channel: int = 0) -> dict[int, int]:
    """Return the words for an operation that reads a tensor from `row` and `channel` on."""
    return {abi.SOURCE: buffer.at(row, 0, channel), abi.SOURCE_ROW: buffer.row_bytes,
            abi.SOURCE_PIXEL: buffer.pixel_bytes}


def target_words(buffer: Buffer, channel: int = 0, row: int = 0) -> dict[int, int]:
    """Return the words for an operation that writes a tensor from `channel` and `row` on."""
    return {abi.TARGET: buffer.at(row, 0, channel), abi.TARGET_ROW: buffer.row_bytes,
            abi.TARGET_PIXEL: buffer.pixel_bytes}


def map_words(program: Program, conv: Conv, buffer: Buffer) -> dict[int, int]:
    """Return the words for an operation that writes all pixels of the map of a Conv, wherever they lie."""
    height, width = conv.map_size(program.tensor(conv.input))
    channels, lattice = program.tensor(conv.output).part_slice(conv.output_part), conv.lattice or Lattice()
    down, right = lattice.stride
    return {abi.TARGET: buffer.at(*lattice.offset, channels.start), abi.TARGET_ROW: down * buffer.row_bytes,
            abi.TARGET_PIXEL: right * buffer.pixel_bytes, abi.HEIGHT: height, abi.WIDTH: width,
            abi.CHANNELS: conv.channels}


def extent_words(buffer: Buffer) -> dict[int, int]:
    """Return the words for an operation on all pixels and channels of a tensor."""
    shape = buffer.shape
    return {abi.HEIGHT: shape.height, abi.WIDTH: shape.width, abi.CHANNELS: shape.channels}
