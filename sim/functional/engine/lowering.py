"""An op as an operation of compiled code: its kernel, its words, and the arrays that they point to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sim.functional.engine import bitplane, winograd
from sim.functional.engine.buffers import Buffer
from sim.functional.engine.requant_table import requantizer
from sim.functional.engine.weights import (
    channel_order,
    nibble_panels,
    pieces,
    quad_panels,
    step_panels,
    tap_quads,
    tap_rows,
    window_columns,
)
from sim.functional.kernels import abi
from sim.ir.ops import Conv, Load, Pool, Store
from sim.ir.program import Program

__all__ = ["Operation", "conv_operation", "copy_operation", "enter_operation", "leave_operation", "pool_operation"]

Constant = NDArray[np.generic]


@dataclass
class Operation:
    """What the executor needs of one operation.

    Parameters
    ----------
    kernel : str
        Of `sim.functional.kernels`, `<module>.<name>`.
    op : str
        Name of the op, or of the tensor that is moved.
    words : dict of int to int
        By their names in `sim.functional.kernels.abi`.
    constants : dict of int to array
        Words that are addresses of these.
    requantizer : str or None
        Kernel of `sim.functional.kernels.requantizer`.
    scratch_bytes : int
    unwanted : bool
        Whether it writes results that nobody wants.
    """

    kernel: str
    op: str
    words: dict[int, int]
    constants: dict[int, Constant] = field(default_factory=dict)
    requantizer: str | None = None
    scratch_bytes: int = 0
    unwanted: bool = False


def enter_operation(name: str, buffer: Buffer, lowest: int, slot: int) -> Operation:
    """An input of the Program, from the host."""
    return Operation("copy.enter", name, {
        **_target(buffer), **_extent(buffer), abi.ZERO: lowest, abi.HOST: slot})


def leave_operation(name: str, buffer: Buffer, lowest: int, slot: int) -> Operation:
    """A tensor to the host."""
    kernel = "copy.leave_8" if buffer.geometry.code_bytes == 1 else "copy.leave_32"
    return Operation(kernel, name, {
        **_source(buffer), **_extent(buffer), abi.ZERO: lowest, abi.HOST: slot})


def copy_operation(op: Load | Store, source: Buffer, target: Buffer, channel: int) -> Operation:
    """Rows of a tensor: of the source for a Load, of the target for a Store, whose channels start at `channel`."""
    source_row, target_row = (op.first_row, 0) if isinstance(op, Load) else (0, op.first_row)
    height = min(source.geometry.height, target.geometry.height)
    return Operation("copy.copy", op.name, {
        **_source(source, source_row), **_target(target, channel, target_row), abi.HEIGHT: height,
        abi.WIDTH: source.geometry.width, abi.RUN: source.pixel_bytes})


def pool_operation(pool: Pool, source: Buffer, target: Buffer, isa: str) -> Operation:
    """Max pooling."""
    (height, width), (top, left, _, _) = pool.kernel, pool.pads
    return Operation(f"max_pool.{'lanes_64' if isa in ('avx512', 'amx') else 'lanes_32'}", pool.name, {
        **_source(source), **_target(target), **_extent(target), abi.POOL_TOP: top, abi.POOL_LEFT: left,
        abi.POOL_BOTTOM: source.geometry.height, abi.POOL_RIGHT: source.geometry.width,
        abi.POOL_HEIGHT: height, abi.POOL_WIDTH: width, abi.POOL_STRIDE: pool.stride})


def conv_operation(program: Program, conv: Conv, buffers: dict[str, Buffer], kernel: str) -> Operation:
    """Bind a convolution to the kernel of that name, which must be one of `kernel_selection.conv_kernels`."""
    source, target = buffers[conv.input], buffers[conv.output]
    part = program.tensor(conv.output).part_slice(conv.output_part)
    grouped = kernel == "gemm_conv.avx512_4" or kernel.split(".")[0] in INTERLEAVED or (
        conv.depthwise and kernel != "depthwise.taps")
    constants = requantizer(program, conv, grouped)
    top, left, _, _ = conv.pads
    common = {
        abi.SOURCE: source.at(-top, -left), abi.SOURCE_ROW: conv.stride * source.row_bytes,
        abi.SOURCE_PIXEL: conv.stride * source.pixel_bytes, **_target(target, part.start), **_extent(target),
        abi.CHANNELS: conv.channels, abi.ZERO: constants.zero, abi.LOW: constants.low,
        abi.HIGH: constants.high, abi.WRAP: constants.wrap}
    if conv.residual is not None:
        other, channels = buffers[conv.residual], program.tensor(conv.residual).part_slice(conv.residual_part)
        common |= {abi.RESIDUAL: other.at(0, 0, channels.start), abi.RESIDUAL_ROW: other.row_bytes,
                   abi.RESIDUAL_PIXEL: other.pixel_bytes}
    module, _, name = kernel.partition(".")
    operation = Operation(kernel, conv.name, common, {abi.PARAMETERS: constants.table},
                          f"requantizer.{constants.kernel}")
    PREPARED[module](operation, conv, source, name)
    return operation


def _multiply(operation: Operation, conv: Conv, source: Buffer, name: str) -> None:
    isa, _, vectors = name.partition("_")
    block = int(vectors) * (16 if isa == "avx512" else 8)
    values = pieces(conv)
    weights = quad_panels(values[channel_order(conv.channels)] if block == abi.GROUP else values, block)
    operation.words |= {abi.TAP_COUNT: weights.shape[1], abi.RUN: weights.shape[2] // abi.GROUP_QUADS}
    operation.constants |= {abi.WEIGHTS: weights, abi.TAPS: _piece_offsets(conv, source)}
    operation.scratch_bytes = (abi.CHUNK + abi.SPARE_ROWS) * (3 * 8 + block * 4)


def _tiles(operation: Operation, conv: Conv, source: Buffer, name: str) -> None:
    values = pieces(conv)[channel_order(conv.channels)]
    configuration = np.zeros(64, np.uint8)
    configuration[0] = 1
    configuration[16:32:2], configuration[48:56] = 64, 16
    operation.constants |= {abi.CONFIGURATION: configuration, abi.TAPS: _piece_offsets(conv, source)}
    operation.words[abi.TAP_COUNT] = values.shape[1]
    sums = abi.TILE_PIXELS * abi.GROUP * 4
    if name == "direct":
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


def _nibbles(operation: Operation, conv: Conv, source: Buffer, name: str) -> None:
    del source, name
    values = pieces(conv)[channel_order(conv.channels)].reshape(conv.channels, -1)
    lowest = min(int(values.min()), 0)
    weights = nibble_panels(values, lowest)
    operation.words |= {abi.RUN: weights.shape[1], abi.LOWEST: lowest}
    operation.constants[abi.WEIGHTS] = weights
    operation.scratch_bytes = 64 + 4 * abi.GROUP


def _depthwise(operation: Operation, conv: Conv, source: Buffer, name: str) -> None:
    values, (height, _) = conv.weight_values[:, 0], conv.kernel
    taps = _tap_offsets(conv, source)
    group = abi.GROUP
    if name == "taps":
        weights, group = tap_rows(values), 16
        operation.words |= {abi.RUN: len(taps)}
    elif name == "quads":
        weights = tap_quads(values)
        taps = np.concatenate([taps, np.repeat(taps[-1:], -len(taps) % 4)])
        operation.words |= {abi.RUN: len(taps) // 4}
    else:
        weights = window_columns(values)
        taps = np.minimum(np.arange(4), height - 1) * source.row_bytes
        operation.words |= {abi.RUN: source.pixel_bytes}
    operation.constants |= {abi.WEIGHTS: weights, abi.TAPS: taps}
    operation.scratch_bytes = abi.ROW_CHUNK * (3 * 8 + group * 4)


PREPARED: dict[str, Callable[[Operation, Conv, Buffer, str], None]] = {
    "gemm_conv": _multiply, "amx_conv": _tiles, "int4_linear": _nibbles, "depthwise": _depthwise,
    "bitplane_conv": bitplane.prepare,
    "winograd": winograd.prepare}
"""What else the kernels of a module need."""
INTERLEAVED = {"amx_conv", "int4_linear", "bitplane_conv", "winograd"}
"""Modules whose sums come interleaved."""


def _tap_offsets(conv: Conv, source: Buffer) -> NDArray[np.int64]:
    """Where the taps of a window lie, in raster order [bytes]."""
    height, width = conv.kernel
    rows = np.arange(height, dtype=np.int64)[:, None] * conv.dilation * source.row_bytes
    return (rows + np.arange(width) * conv.dilation * source.pixel_bytes).reshape(-1)


def _piece_offsets(conv: Conv, source: Buffer) -> NDArray[np.int64]:
    """Where its pieces lie: `sim.functional.engine.weights.pieces`."""
    taps = _tap_offsets(conv, source)
    return taps[:: conv.kernel[1]].copy() if conv.dilation == 1 else taps


def _source(buffer: Buffer, row: int = 0) -> dict[int, int]:
    return {abi.SOURCE: buffer.at(row, 0), abi.SOURCE_ROW: buffer.row_bytes,
            abi.SOURCE_PIXEL: buffer.pixel_bytes}


def _target(buffer: Buffer, channel: int = 0, row: int = 0) -> dict[int, int]:
    return {abi.TARGET: buffer.at(row, 0, channel), abi.TARGET_ROW: buffer.row_bytes,
            abi.TARGET_PIXEL: buffer.pixel_bytes}


def _extent(buffer: Buffer) -> dict[int, int]:
    geometry = buffer.geometry
    return {abi.HEIGHT: geometry.height, abi.WIDTH: geometry.width, abi.CHANNELS: geometry.channels}
