"""Prepare operands of bit-plane kernels: planes of the weights, and the order in which pairs of planes are taken."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim.functional.engine.buffers import Buffer
from sim.functional.engine.operation import Operation
from sim.functional.engine.weights import channel_order
from sim.functional.kernels import abi
from sim.functional.kernels.kernel_id import KernelId
from sim.ir.formats import Format
from sim.ir.ops import Conv

__all__ = ["bitplane_kernels", "prepare"]

WORD = 32
"""Channels of a lane."""


def bitplane_kernels(conv: Conv, source_format: Format) -> list[KernelId]:
    """Return the kernels that are exact for `conv`: the one for the codes of its input, if it is dense."""
    return [] if conv.depthwise else [KernelId("bitplane_conv", "avx512", source_format.bits)]


def plane_panels(codes: NDArray[np.int64], bits: int) -> NDArray[np.uint32]:
    """Lay out codes 0..2**bits - 1, shape (O, taps, C), as `[panel][plane][tap][word][channel]`, filled up with 0."""
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
    """Return the pairs of planes by falling power, as rows of STEP_WORDS.

    A plane takes `input_bytes` or `weight_bytes`.

    >>> plane_steps(2, 2, 8, 100).tolist()
    [[1, 8, 100], [1, 0, 100], [0, 8, 0], [1, 0, 0]]
    """
    pairs = sorted(((i, j) for i in range(input_bits) for j in range(weight_bits)), key=lambda pair: -sum(pair))
    powers = [sum(pair) for pair in pairs]
    doubled = [before - power for before, power in zip([powers[0] + 1, *powers], powers, strict=False)]
    return np.array([(shift, i * input_bytes, j * weight_bytes)
                     for shift, (i, j) in zip(doubled, pairs, strict=True)], np.int64)


def prepare(operation: Operation, conv: Conv, source: Buffer) -> None:
    """Add the words, constants and memory that a kernel of bit planes needs."""
    kind, weight_bits, input_bits = conv.weight_format.kind, conv.weight_format.bits, operation.kernel.size
    assert input_bits is not None
    height, width = conv.kernel
    shift, reference = {"unsigned": (0, 0), "signed": (0, 1 << (weight_bits - 1)), "bipolar": (1, 1)}[kind]
    codes = conv.weights.astype(np.int64).transpose(0, 2, 3, 1).reshape(conv.channels, height * width, -1)
    if kind == "signed":
        codes = codes + reference
    weights = plane_panels(codes[channel_order(conv.channels)], weight_bits)
    pixels, word_bytes = source.bytes // source.pixel_bytes, weights.shape[3] * 4
    row_bytes = source.row_pixels * word_bytes
    rows = np.arange(height, dtype=np.int64)[:, None] * conv.dilation[0] * row_bytes
    taps = (rows + np.arange(width) * conv.dilation[1] * word_bytes).reshape(-1)
    run = 1
    if conv.dilation[1] == 1:
        taps, run = taps[::width].copy(), width
    top, left, _, _ = conv.pads
    first_pixel = (source.at(-top, -left) - source.start) // source.pixel_bytes
    channels = source.shape.channels
    steps = plane_steps(input_bits, weight_bits, abi.plane_bytes(pixels, channels), weights[0, 0].nbytes)
    operation.words |= {
        abi.SOURCE: first_pixel * word_bytes, abi.SOURCE_ROW: conv.stride[0] * row_bytes,
        abi.SOURCE_PIXEL: conv.stride[1] * word_bytes, abi.TAP_COUNT: len(taps), abi.RUN: run * weights.shape[3],
        abi.INPUT: source.start, abi.INPUT_PIXELS: pixels, abi.INPUT_CHANNELS: channels,
        abi.STEP_COUNT: len(steps), abi.PRODUCT_SHIFT: shift, abi.REFERENCE: reference}
    operation.constants |= {abi.WEIGHTS: weights, abi.TAPS: taps, abi.STEPS: steps}
    operation.scratch_bytes = abi.bitplane_scratch_bytes(pixels, channels, input_bits)
