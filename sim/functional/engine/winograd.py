"""Tell which layers the kernels of Winograd's convolution are exact for, and prepare their sums of weights."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim.functional.engine.buffers import Buffer
from sim.functional.engine.operation import Operation
from sim.functional.engine.weights import channel_order, quad_panels
from sim.functional.kernels import abi
from sim.functional.kernels.abi import WINOGRAD_TILES, WinogradTile
from sim.functional.kernels.kernel_id import KernelId
from sim.ir.formats import Format
from sim.ir.ops import Conv

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
CODE_BITS = {WINOGRAD_TILES[KernelId("winograd", *name)]: bits
             for name, bits in ((("rows", 2), 6), (("rows", 4), 3), (("squares", 4), 8))}
"""Most bits of codes whose sums fit a byte, or two."""
CHUNK_BYTES = 54
"""Most tiles that pass while a panel of weights is near, times the bytes of a sum of codes: more than the 49 of a map
of 14 x 14."""


def winograd_kernels(conv: Conv, source_format: Format) -> list[KernelId]:
    """Return the kernels that are exact for `conv`, the one of fewer products first."""
    if conv.depthwise or conv.kernel != (3, 3) or conv.stride != (1, 1) or conv.dilation != (1, 1):
        return []
    most = int(np.abs(conv.weight_values).sum(axis=(1, 2, 3)).max()) * (source_format.high - source_format.low)
    return [kernel for kernel, tile in WINOGRAD_TILES.items()
            if source_format.bits <= CODE_BITS[tile] and most << tile.doublings < 1 << 31
            and _sums_fit(conv.weight_values, tile)]


def _sums_fit(values: Values, tile: WinogradTile) -> bool:
    """Tell whether the sums of weights fit bytes, or two bytes each, computing them only where that is needed."""
    limit = 1 << (8 * tile.code_bytes - 1)
    gain = int(np.abs(WEIGHTS[tile.height]).sum(axis=1).max() * np.abs(WEIGHTS[tile.width]).sum(axis=1).max())
    return bool(np.abs(values).max() * gain < limit or np.abs(_weight_sums(values, tile)).max() < limit)


def _weight_sums(values: Values, tile: WinogradTile) -> Values:
    """Turn weights (O, C, 3, 3) into their sums (O, places, C).

    They are far below 2**24, so single precision is exact, and many times as fast as integers.
    """
    places = np.kron(WEIGHTS[tile.height], WEIGHTS[tile.width]).astype(np.float32)
    sums = values.reshape(-1, 9).astype(np.float32) @ places.T
    return sums.astype(np.int64).reshape(*values.shape[:2], tile.places).transpose(0, 2, 1)


def _corrections(sums: Values, tile: WinogradTile) -> NDArray[np.int32]:
    """Return what raising the codes takes off the outputs, as `[panel][output][channel]`."""
    raised = -abi.CODE_OFFSET * sums.sum(axis=2).reshape(-1, tile.height + 2, tile.width + 2)
    if tile.width == 2:
        raised[:, 1, 1] = 0
    taken = np.einsum("yi,oij,xj->oyx", OUTPUTS[tile.height], raised, OUTPUTS[tile.width])
    panels = -(-len(sums) // abi.GROUP)
    padded = np.zeros((panels * abi.GROUP, tile.outputs), np.int64)
    padded[: len(sums)] = taken.reshape(len(sums), -1)
    return padded.reshape(panels, abi.GROUP, -1).transpose(0, 2, 1).astype(np.int32, order="C")


def prepare(operation: Operation, conv: Conv, source: Buffer) -> None:
    """Add the words, constants and memory that a kernel of Winograd's convolution needs."""
    del source
    tile = WINOGRAD_TILES[operation.kernel]
    sums = _weight_sums(conv.weight_values, tile)[channel_order(conv.channels)]
    weights = quad_panels(sums, abi.GROUP, np.int8 if tile.code_bytes == 1 else np.int16)
    groups = weights.shape[2] // abi.GROUP_QUADS
    run = groups * abi.GROUP_QUADS * 4
    count = tile.count(operation.words[abi.HEIGHT], operation.words[abi.WIDTH])
    share = -(-count // -(-count // (CHUNK_BYTES // tile.code_bytes)))
    tiles = -(-share // abi.TALL_TILE) * abi.TALL_TILE
    operation.words |= {abi.RUN: groups, abi.TILES: tiles}
    corrections = _corrections(sums, tile) if tile.code_bytes == 1 else np.zeros(0, np.int32)
    operation.constants |= {
        abi.WEIGHTS: weights, abi.CORRECTIONS: corrections,
        abi.TAPS: np.arange(tile.places, dtype=np.int64) * abi.place_bytes(tiles, run)}
    operation.scratch_bytes = abi.winograd_scratch_bytes(tile, tiles, run)
    operation.unwanted = True
