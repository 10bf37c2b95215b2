"""Lower convolutions: bind one to its kernel, with the weights and constants in the order in which that reads them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from sim.functional.engine import bitplane, winograd
from sim.functional.engine.buffers import Buffer
from sim.functional.engine.operation import Operation, map_words
from sim.functional.engine.requant_table import requant_table
from sim.functional.engine.weights import (
    channel_order,
    group_widths,
    nibble_panels,
    pieces,
    quad_panels,
    step_panels,
    tap_quads,
    tap_rows,
    window_columns,
    window_quads,
)
from sim.functional.kernels import abi
from sim.functional.kernels.kernel_id import KernelId
from sim.ir.ops import Conv
from sim.ir.program import Program

__all__ = ["conv_operation"]

CACHED_PANELS = 1 << 18
"""Weights that stay in the second-level cache from chunk to chunk of windows [bytes]."""


def conv_operation(program: Program, conv: Conv, buffers: Mapping[str, Buffer], kernel: KernelId) -> Operation:
    """Bind a convolution to a kernel, which must be one of `kernel_selection.conv_kernels`."""
    source, target = buffers[conv.input], buffers[conv.output]
    constants = requant_table(program, conv, _interleaves(kernel))
    top, left, _, _ = conv.pads
    first = program.tensor(conv.input).run_slice(conv.input_parts).start
    common = {
        abi.SOURCE: source.at(-top, -left, first), abi.SOURCE_ROW: conv.stride[0] * source.row_bytes,
        abi.SOURCE_PIXEL: conv.stride[1] * source.pixel_bytes, **map_words(program, conv, target),
        abi.ZERO: constants.zero, abi.LOW: constants.low,
        abi.HIGH: constants.high, abi.WRAP: constants.wrap}
    if conv.residual is not None:
        other, channels = buffers[conv.residual], program.tensor(conv.residual).part_slice(conv.residual_part)
        common |= {abi.RESIDUAL: other.at(0, 0, channels.start)}
        if conv.residual_broadcast != "map":
            common |= {abi.RESIDUAL_ROW: other.row_bytes, abi.RESIDUAL_PIXEL: other.pixel_bytes}
    operation = Operation(kernel, conv.name, common, {abi.PARAMETERS: constants.table}, constants.kernel)
    PREPARE[kernel.family](operation, conv, source)
    return operation


def _interleaves(kernel: KernelId) -> bool:
    """Tell whether sums of whole groups of channels come interleaved."""
    match kernel.family:
        case "gemm_conv":
            return _tile_channels(kernel) == abi.GROUP
        case "depthwise":
            return kernel.variant != "taps"
        case _:
            return True


def _tile_channels(kernel: KernelId) -> int:
    """Count the channels of a tile of `gemm_conv`."""
    assert kernel.size is not None
    return kernel.size * abi.VECTOR_LANES[kernel.variant]


def _prepare_gemm(operation: Operation, conv: Conv, source: Buffer) -> None:
    block = _tile_channels(operation.kernel)
    if operation.kernel.variant == "quads":
        values, offsets = window_quads(pieces(conv), _piece_offsets(conv, source))
    else:
        values, offsets = pieces(conv), _piece_offsets(conv, source)
    weights = quad_panels(values[channel_order(conv.channels)] if block == abi.GROUP else values, block)
    operation.words |= {abi.TAP_COUNT: weights.shape[1], abi.RUN: weights.shape[2] // abi.GROUP_QUADS}
    operation.constants |= {abi.WEIGHTS: weights, abi.TAPS: offsets}
    operation.scratch_bytes = (abi.CHUNK + abi.SPARE_ROWS) * (3 * 8 + block * 4)


def _prepare_fused(operation: Operation, conv: Conv, source: Buffer) -> None:
    values, offsets = pieces(conv), _piece_offsets(conv, source)
    if operation.kernel.variant.startswith("quads"):
        values, offsets = window_quads(values, offsets)
    values, panels, first = values[channel_order(conv.channels)], [], 0
    for width in group_widths(conv.channels):
        panels.append(quad_panels(values[first : first + width], width))
        first += width
    operation.words |= {
        abi.TAP_COUNT: values.shape[1], abi.RUN: panels[0].shape[2] // abi.GROUP_QUADS,
        abi.PASS_CHANNELS: conv.channels if sum(panel.nbytes for panel in panels) <= CACHED_PANELS else abi.GROUP}
    operation.constants |= {abi.WEIGHTS: np.concatenate([panel.reshape(-1) for panel in panels]), abi.TAPS: offsets}
    operation.scratch_bytes = (abi.CHUNK + abi.SPARE_ROWS) * 3 * 8


def _prepare_amx(operation: Operation, conv: Conv, source: Buffer) -> None:
    values = pieces(conv)[channel_order(conv.channels)]
    configuration = np.zeros(64, np.uint8)
    configuration[0] = 1
    configuration[16:32:2], configuration[48:56] = 64, 16
    operation.constants |= {abi.CONFIGURATION: configuration, abi.TAPS: _piece_offsets(conv, source)}
    operation.words[abi.TAP_COUNT] = values.shape[1]
    sums = abi.TILE_PIXELS * abi.GROUP * 4
    if operation.kernel.variant == "direct":
        weights = step_panels(values)
        operation.words |= {abi.RUN: weights.shape[2], abi.VIRTUAL_WIDTH: source.row_pixels}
        operation.scratch_bytes = abi.DIRECT_PIXELS * 2 * 8 + sums
        operation.unwanted = True
    else:
        weights = step_panels(values.reshape(conv.channels, 1, -1))
        row_bytes = weights.shape[2] * abi.STEP_BYTES
        operation.words |= {abi.RUN: values.shape[2], abi.ROW_STEPS: weights.shape[2]}
        chunk = max(abi.GATHER_BYTES // row_bytes // abi.TILE_PIXELS, 1) * abi.TILE_PIXELS
        operation.scratch_bytes = chunk * (3 * 8 + row_bytes) + sums + 128
    operation.constants[abi.WEIGHTS] = weights


def _prepare_int4(operation: Operation, conv: Conv, source: Buffer) -> None:
    del source
    values = pieces(conv)[channel_order(conv.channels)].reshape(conv.channels, -1)
    lowest = min(int(values.min()), 0)
    weights = nibble_panels(values, lowest)
    operation.words |= {abi.RUN: weights.shape[1], abi.LOWEST: lowest}
    operation.constants[abi.WEIGHTS] = weights
    operation.scratch_bytes = 64 + 4 * abi.GROUP


def _prepare_depthwise(operation: Operation, conv: Conv, source: Buffer) -> None:
    values, (height, _) = conv.weight_values[:, 0], conv.kernel
    taps = _tap_offsets(conv, source)
    group = abi.GROUP
    if operation.kernel.variant == "taps":
        weights, group = tap_rows(values), 16
        operation.words |= {abi.RUN: len(taps)}
    elif operation.kernel.variant == "quads":
        weights = tap_quads(values)
        taps = np.concatenate([taps, np.repeat(taps[-1:], -len(taps) % 4)])
        operation.words |= {abi.RUN: len(taps) // 4}
    else:
        weights = window_columns(values)
        taps = np.minimum(np.arange(4), height - 1) * source.row_bytes
        operation.words |= {abi.RUN: source.pixel_bytes}
    operation.constants |= {abi.WEIGHTS: weights, abi.TAPS: taps}
    operation.scratch_bytes = abi.ROW_CHUNK * (3 * 8 + group * 4)


PREPARE: dict[str, Callable[[Operation, Conv, Buffer], None]] = {
    "gemm_conv": _prepare_gemm, "fused_conv": _prepare_fused, "amx_conv": _prepare_amx, "int4_linear": _prepare_int4,
    "depthwise": _prepare_depthwise, "bitplane_conv": bitplane.prepare, "winograd": winograd.prepare}
"""Preparation by family of kernels: adds the words, constants and memory that its kernels need."""


def _tap_offsets(conv: Conv, source: Buffer) -> NDArray[np.int64]:
    """Return where the taps of a window lie, in raster order [bytes]."""
    height, width = conv.kernel
    rows = np.arange(height, dtype=np.int64)[:, None] * conv.dilation[0] * source.row_bytes
    return (rows + np.arange(width) * conv.dilation[1] * source.pixel_bytes).reshape(-1)


def _piece_offsets(conv: Conv, source: Buffer) -> NDArray[np.int64]:
    """Return where the pieces of a window lie, as `sim.functional.engine.weights.pieces` cuts it [bytes]."""
    taps = _tap_offsets(conv, source)
    return taps[:: conv.kernel[1]].copy() if conv.dilation[1] == 1 else taps
