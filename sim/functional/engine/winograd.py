"""What the kernels of `sim.functional.kernels.winograd` need: which layers they are exact for, and sums of weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sim.functional.engine.buffers import Buffer
from sim.functional.engine.weights import channel_order, quad_panels
from sim.functional.kernels import abi
from sim.functional.kernels import winograd_abi as winograd
from sim.ir.formats import Format
from sim.ir.ops import Conv

if TYPE_CHECKING:
    from sim.functional.engine.lowering import Operation

__all__ = ["prepare", "winograd_kernels"]

Values = NDArray[np.int64]

WEIGHTS = {
    2: np.array([[2, 0, 0], [1, 1, 1], [1, -1, 1], [0, 0, 2]]),
    4: np.array([[1, 0, 0], [-1, -1, -1], [-1, 1, -1], [1, 2, 4], [1, -2, 4], [0, 0, 1]]),
}
"""Sums of weights, whole multiples of Winograd's, for so many outputs."""
OUTPUTS = {
    2: np.array([[1, 1, 1, 0], [0, 1, -1, -1]]),
    4: np.array([[6, 4, 4, 1, 1, 0], [0, 4, -4, 2, -2, 0], [0, 4, 4, 4, 4, 0], [0, 4, -4, 8, -8, 24]]),
}
"""Outputs, times 2 or 24, from products."""
CODE_BITS = {"rows_2": 6, "rows_4": 3}
"""Of codes whose sums fit a byte."""
CHUNK = 48
"""Most tiles that pass while a panel of weights is near."""


def winograd_kernels(conv: Conv, source_format: Format) -> list[str]:
    """Kernels that are exact for `conv`, that of fewer products first."""
    if conv.depthwise or conv.kernel != (3, 3) or conv.stride != 1 or conv.dilation != 1:
        return []
    most = int(np.abs(conv.weight_values).sum(axis=(1, 2, 3)).max()) * (source_format.high - source_format.low)
    return [f"winograd.{name}" for name in ("rows_4", "rows_2")
            if source_format.bits <= CODE_BITS[name] and most * winograd.SHAPES[name].divisor < 1 << 31
            and np.abs(_weight_sums(conv.weight_values, name)).max() <= 127]


def _weight_sums(values: Values, name: str) -> Values:
    """Weights (O, C, 3, 3) as (O, places, C)."""
    shape = winograd.SHAPES[name]
    sums: Values = np.einsum("iy,ocyx,jx->oijc", WEIGHTS[shape.height], values, WEIGHTS[shape.width])
    return sums.reshape(len(values), shape.places, -1)


def _corrections(sums: Values, name: str) -> NDArray[np.int32]:
    """What raising the codes takes off the outputs, as `[panel][output][channel]`."""
    shape = winograd.SHAPES[name]
    raised = -winograd.RAISED * sums.sum(axis=2).reshape(-1, shape.height + 2, shape.width + 2)
    if name == "rows_2":
        raised[:, 1, 1] = 0
    taken = np.einsum("yi,oij,xj->oyx", OUTPUTS[shape.height], raised, OUTPUTS[shape.width])
    panels = -(-len(sums) // abi.GROUP)
    padded = np.zeros((panels * abi.GROUP, shape.outputs), np.int64)
    padded[: len(sums)] = taken.reshape(len(sums), -1)
    return padded.reshape(panels, abi.GROUP, -1).transpose(0, 2, 1).astype(np.int32, order="C")


def prepare(operation: Operation, conv: Conv, source: Buffer, name: str) -> None:
    """Words, constants and memory of `winograd.<name>`."""
    del source
    shape = winograd.SHAPES[name]
    sums = _weight_sums(conv.weight_values, name)[channel_order(conv.channels)]
    weights = quad_panels(sums, abi.GROUP)
    groups = weights.shape[2] // abi.GROUP_QUADS
    run = groups * abi.GROUP_QUADS * 4
    count = shape.tiles(operation.words[abi.HEIGHT], operation.words[abi.WIDTH])
    share = -(-count // -(-count // CHUNK))
    tiles = -(-share // winograd.TALL) * winograd.TALL
    operation.words |= {abi.RUN: groups, winograd.TILES: tiles}
    operation.constants |= {
        abi.WEIGHTS: weights, winograd.CORRECTIONS: _corrections(sums, name),
        abi.TAPS: np.arange(shape.places, dtype=np.int64) * winograd.place_bytes(tiles, run)}
    operation.scratch_bytes = winograd.scratch_bytes(shape, tiles, run)
    operation.unwanted = True
