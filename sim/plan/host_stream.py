"""What passes over the two streams while a planned Program runs, item by item, as the host sees it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.ir.ops import Tensor, Transfer
from sim.ir.program import Program
from sim.mapping.activation_layout import Bits

__all__ = ["InwardItem", "RowTileItem", "TableItem", "TensorItem", "tensor_item"]


@dataclass(frozen=True, eq=False)
class RowTileItem:
    """Parameters and weights of a row tile.

    Attributes
    ----------
    op : int
        Index of the Conv in the planned Program.
    words : uint8 array of bits, shape (words, rows, lanes)
        In the order of the stream.
    """

    op: int
    words: Bits


@dataclass(frozen=True, eq=False)
class TableItem:
    """The table of a Conv, right before its first row tile.

    Attributes
    ----------
    op : int
        Index of the Conv in the planned Program.
    words : uint8 array of bits, shape (words, bits of a word)
        In the order of the stream.
    """

    op: int
    words: Bits


@dataclass(frozen=True)
class TensorItem:
    """A tensor that is loaded or stored.

    Attributes
    ----------
    op : int
        Index of the Load or Store in the planned Program.
    tensor : Tensor
        As it lies on chip: what passes is its `sim.mapping.activation_layout.bank_contents`, address outer, bank
        inner.
    host : str
        The tensor in the host's memory.
    channels, rows : slice
        What of `host` it is.
    written : int
        Stores that must have ended before the host has a Load's rows; 0 for a Store.
    """

    op: int
    tensor: Tensor
    host: str
    channels: slice
    rows: slice
    written: int

    def view(self, codes: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return the part of `codes`, an array (..., channels, height, width) of the host's tensor, that passes."""
        return codes[..., self.channels, self.rows, :]


InwardItem = TableItem | RowTileItem | TensorItem
"""What passes to the machine at once."""


def tensor_item(program: Program, op: int, written: int = 0) -> TensorItem:
    """Return the item of a Load or Store of `program`."""
    transfer = program.ops[op]
    if not isinstance(transfer, Transfer):
        raise TypeError(f"op '{transfer.name}' is a {type(transfer).__name__}, neither a Load nor a Store")
    host, chip, part = program.tensor(transfer.in_host), program.tensor(transfer.on_chip), transfer.part
    channels = slice(0, host.channels) if part is None else host.part_slice(part)
    rows = slice(transfer.first_row, transfer.first_row + chip.height)
    return TensorItem(op, chip, host.name, channels, rows, written)
