"""Operands of the bit-plane kernels: planes of the weights, and the order in which pairs of planes are taken."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sim.functional.engine.buffers import Buffer
from sim.functional.engine.weights import channel_order
from sim.functional.kernels import abi
from sim.functional.kernels import bitplane_abi as planes
from sim.ir.formats import Format
from sim.ir.ops import Conv

if TYPE_CHECKING:
    from sim.functional.engine.lowering import Operation

__all__ = ["plane_panels", "plane_steps", "planes_kernels", "prepare"]

WORD = 32
"""Channels of a lane."""


def planes_kernels(conv: Conv, source_format: Format) -> list[str]:
    """Kernels that are exact for `conv`: that for codes of the input, if it is dense."""
    return [] if conv.depthwise else [f"bitplane_conv.avx512_{source_format.bits}"]


def plane_panels(codes: NDArray[np.int64], bits: int) -> NDArray[np.uint32]:
    """Codes 0..2**bits - 1, shape (O, taps, C), as `[panel][plane][tap][word][channel]`; what is missing is 0."""
    outputs, taps, channels = codes.shape
    panels, count = -(-outputs // abi.GROUP), -(-channels // WORD)
    padded = np.zeros((panels * abi.GROUP, taps, count * WORD), np.uint8)
    padded[:outputs, :, :channels] = codes
    parts = []
    for plane in range(bits):
        lanes = np.packbits(padded >> plane & 1, axis=-1, bitorder="little").view("<u4")
        parts.append(lanes.reshape(panels, abi.GROUP, taps, count).transpose(0, 2, 3, 1))
    return np.ascontiguousarray(np.stack(parts, axis=1))


def plane_steps(input_bits: int, weight_bits: int, input_bytes: int, weight_bytes: int) -> NDArray[np.int64]:
    """Pairs of planes by falling power, as rows of STEP_WORDS; a plane takes `input_bytes` or `weight_bytes`.

    >>> plane_steps(2, 2, 8, 100).tolist()
    [[1, 8, 100], [1, 0, 100], [0, 8, 0], [1, 0, 0]]
    """
    pairs = sorted(((i, j) for i in range(input_bits) for j in range(weight_bits)), key=lambda pair: -sum(pair))
    powers = [sum(pair) for pair in pairs]
    doubled = [before - power for before, power in zip([powers[0] + 1, *powers], powers, strict=False)]
    return np.array([(shift, i * input_bytes, j * weight_bytes)
                     for shift, (i, j) in zip(doubled, pairs, strict=True)], np.int64)


def prepare(operation: Operation, conv: Conv, source: Buffer, name: str) -> None:
    """Words, constants and memory of `planes.<name>`."""
    kind, weight_bits, input_bits = conv.weight_format.kind, conv.weight_format.bits, int(name.partition("_")[2])
    height, width = conv.kernel
    raised, reference = {"unsigned": (0, 0), "signed": (0, 1 << (weight_bits - 1)), "bipolar": (1, 1)}[kind]
    codes = conv.weights.astype(np.int64).transpose(0, 2, 3, 1).reshape(conv.channels, height * width, -1)
    if kind == "signed":
        codes = codes + reference
    weights = plane_panels(codes[channel_order(conv.channels)], weight_bits)
    pixels, word_bytes = source.bytes // source.pixel_bytes, weights.shape[3] * 4
    row_bytes = source.row_pixels * word_bytes
    rows = np.arange(height, dtype=np.int64)[:, None] * conv.dilation * row_bytes
    taps = (rows + np.arange(width) * conv.dilation * word_bytes).reshape(-1)
    run = 1
    if conv.dilation == 1:
        taps, run = taps[::width].copy(), width
    top, left, _, _ = conv.pads
    first_pixel = (source.at(-top, -left) - source.start) // source.pixel_bytes
    channels = source.geometry.channels
    steps = plane_steps(input_bits, weight_bits, planes.plane_bytes(pixels, channels), weights[0, 0].nbytes)
    operation.words |= {
        abi.SOURCE: first_pixel * word_bytes, abi.SOURCE_ROW: conv.stride * row_bytes,
        abi.SOURCE_PIXEL: conv.stride * word_bytes, abi.TAP_COUNT: len(taps), abi.RUN: run * weights.shape[3],
        planes.INPUT: source.start, planes.INPUT_PIXELS: pixels, planes.INPUT_CHANNELS: channels,
        planes.STEP_COUNT: len(steps), planes.RAISE: raised, planes.REFERENCE: reference}
    operation.constants |= {abi.WEIGHTS: weights, abi.TAPS: taps, planes.STEPS: steps}
    operation.scratch_bytes = planes.scratch_bytes(pixels, channels, input_bits)
