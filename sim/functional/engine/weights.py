"""Arrange weights in the order in which a kernel reads them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim.functional.kernels.abi import GROUP, GROUP_QUADS, HALF_GROUP, LANES, STEP_BYTES, TILE_CHANNELS
from sim.ir.ops import Conv

__all__ = ["channel_order", "group_widths", "nibble_panels", "pieces", "quad_panels", "step_panels", "tap_quads",
           "tap_rows", "window_columns", "window_quads"]

Values = NDArray[np.int64]


def pieces(conv: Conv) -> Values:
    """Return what the weights mean, shape (O, pieces, bytes).

    A window is that many pieces of memory, its channels innermost.

    Without dilation along rows a kernel row is one piece.
    """
    values = conv.weight_values.transpose(0, 2, 3, 1)
    outputs, height, width, channels = values.shape
    if conv.dilation[1] == 1:
        return values.reshape(outputs, height, width * channels)
    return values.reshape(outputs, height * width, channels)


def quad_starts(values: Values) -> list[tuple[int, int]]:
    """Return piece and first byte of the fewest four bytes each that hold all weights but zeros, of (O, pieces, bytes).

    >>> quad_starts(np.array([[[0, 0, 1, 0, 2, 3, 0, 4], [0, 0, 0, 0, 0, 0, 0, 0]], [[0] * 8, [0] * 7 + [1]]]))
    [(0, 2), (0, 7), (1, 7)]
    """
    found = []
    for piece in range(values.shape[1]):
        end = 0
        for byte in np.flatnonzero(values[:, piece].any(axis=0)).tolist():
            if byte >= end:
                found.append((piece, byte))
                end = byte + 4
    return found


def window_quads(values: Values, offsets: NDArray[np.int64]) -> tuple[Values, NDArray[np.int64]]:
    """Return the weights of the quads of `quad_starts` as one piece, (O, 1, bytes), and where each quad lies.

    `offsets` are where the pieces lie [bytes]. What the last turn lacks are zeros at the window's start.
    """
    outputs, count, size = values.shape
    starts = quad_starts(values) or [(0, 0)]
    padded = np.zeros((outputs, count, size + 3), np.int64)
    padded[:, :, :size] = values
    missing = -len(starts) % GROUP_QUADS
    quads = np.stack([padded[:, piece, byte : byte + 4] for piece, byte in starts], axis=1)
    # Bytes beyond a piece belong to nothing or to another piece, whose quads have their weights.
    quads = np.concatenate([quads, np.zeros((outputs, missing, 4), np.int64)], axis=1)
    places = [int(offsets[piece]) + byte for piece, byte in starts] + [0] * missing
    return quads.reshape(outputs, 1, -1), np.array(places, np.int64)


def channel_order(channels: int) -> Values:
    """Return which channel is the n-th of a kernel whose sums come interleaved.

    `sim.functional.kernels.interleave` says how.

    >>> channel_order(98)[[0, 3, 4, 16, 64, 68, 72, 97]]
    array([ 0,  3, 16,  4, 64, 80, 68, 97])
    """
    order, first = np.arange(channels), 0
    for width in group_widths(channels):
        if width >= HALF_GROUP:
            group = order[first : first + width]
            group[:] = group.reshape(-1, 4, 4).transpose(1, 0, 2).reshape(-1)
        first += width
    return order


def group_widths(channels: int) -> list[int]:
    """Return the sizes of groups: whole ones, a half one, then 16 channels at a time, the last perhaps not all there.

    >>> group_widths(64 + 64 + 32 + 16 + 1)
    [64, 64, 32, 16, 16]
    """
    rest = channels % GROUP
    half = rest // HALF_GROUP
    return [GROUP] * (channels // GROUP) + [HALF_GROUP] * half + [LANES] * -(-(rest - half * HALF_GROUP) // LANES)


def quad_panels(values: Values, block: int, dtype: type[np.signedinteger] = np.int8) -> NDArray[np.signedinteger]:
    """Pieces as int8 `[panel][piece][quad][channel of the panel][4]`; what is missing is 0.

    As int16 a quad is a pair of them.
    """
    each = 4 // np.dtype(dtype).itemsize
    outputs, count, size = values.shape
    panels, quads = -(-outputs // block), -(-size // (each * GROUP_QUADS)) * GROUP_QUADS
    padded = np.zeros((panels * block, count, quads * each), dtype)
    padded[:outputs, :, :size] = values
    return np.ascontiguousarray(padded.reshape(panels, block, count, quads, each).transpose(0, 2, 3, 1, 4))


def step_panels(values: Values) -> NDArray[np.int8]:
    """Pieces as int8 `[panel][piece][step][half][16 quads][16 channels][4]`, as tiles want them."""
    outputs, count, size = values.shape
    panels, steps = -(-outputs // TILE_CHANNELS), -(-size // STEP_BYTES)
    padded = np.zeros((panels * TILE_CHANNELS, count, steps * STEP_BYTES), np.int8)
    padded[:outputs, :, :size] = values
    return np.ascontiguousarray(padded.reshape(panels, 2, 16, count, steps, 16, 4).transpose(0, 3, 4, 1, 5, 2, 6))


def nibble_panels(values: Values, lowest: int) -> NDArray[np.uint8]:
    """Linear weights (O, inputs) less `lowest`, 0..15, as `[panel][quad][half][channel of 16][4]`, two in a byte."""
    outputs, inputs = values.shape
    panels, quads = -(-outputs // GROUP), -(-inputs // 4)
    padded = np.full((panels * GROUP, quads * 4), -lowest, np.uint8)
    padded[:outputs, :inputs] = values - lowest
    vectors = padded.reshape(panels, 2, 2, 16, quads, 4).transpose(2, 0, 4, 1, 3, 5)
    return np.ascontiguousarray(vectors[0] | vectors[1] << 4)


def tap_rows(values: Values) -> NDArray[np.int8]:
    """Depthwise weights (C, kh, kw) as `[group of 16][tap][channel]`."""
    taps = values.reshape(len(values), -1)
    groups = -(-len(taps) // 16)
    padded = np.zeros((groups * 16, taps.shape[1]), np.int8)
    padded[: len(taps)] = taps
    return np.ascontiguousarray(padded.reshape(groups, 16, -1).transpose(0, 2, 1))


def tap_quads(values: Values) -> NDArray[np.int8]:
    """Depthwise weights (C, kh, kw) as `[group][quad of taps][interleaved channel][4]`."""
    taps = values.reshape(len(values), -1)
    padded = np.zeros((len(taps), -(-taps.shape[1] // 4) * 4), np.int64)
    padded[:, : taps.shape[1]] = taps
    return _interleaved(padded.reshape(len(taps), -1, 4))


def window_columns(values: Values) -> NDArray[np.int8]:
    """Depthwise weights (C, up to 4, kw) as `[group][column][interleaved channel][4]`."""
    channels, height, width = values.shape
    padded = np.zeros((channels, width, 4), np.int64)
    padded[:, :, :height] = values.transpose(0, 2, 1)
    return _interleaved(padded)


def _interleaved(quads: Values) -> NDArray[np.int8]:
    """Interleave (C, quads, 4), in the groups of `group_widths`."""
    parts, first, (channels, count, _) = [], 0, quads.shape
    for width in group_widths(channels):
        group = np.zeros((width, count, 4), np.int8)
        group[: channels - first] = quads[first : first + width]
        by_lane = group.reshape(width // 16, 4, 4, count, 4)  # lane, q, channel, quad of taps, tap
        parts.append(by_lane.transpose(3, 1, 0, 2, 4).reshape(-1))
        first += width
    return np.concatenate(parts)
