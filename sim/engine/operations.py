"""A record as an operation of compiled code: its kernel, its words, and the arrays that they point to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sim.engine import planes, winograd
from sim.engine.buffers import Buffer
from sim.engine.parameters import requantizer
from sim.engine.weights import (
    channel_order,
    nibble_panels,
    pieces,
    quad_panels,
    step_panels,
    tap_quads,
    tap_rows,
    window_columns,
)
from sim.kernels import words
from sim.program import Program
from sim.records import Conv, Load, Pool, Store

__all__ = ["Operation", "conv_operation", "copy_operation", "enter_operation", "leave_operation", "pool_operation"]

Constant = NDArray[np.generic]


@dataclass
class Operation:
    """What the executor needs of one operation.

    Parameters
    ----------
    kernel : str
        Of `sim.kernels`, `<module>.<name>`.
    record : str
        Name of the record, or of the tensor that is moved.
    words : dict of int to int
        By their names in `sim.kernels.words`.
    constants : dict of int to array
        Words that are addresses of these.
    requantizer : str or None
        Kernel of `sim.kernels.requantizer`.
    scratch_bytes : int
    unwanted : bool
        Whether it writes results that nobody wants.
    """

    kernel: str
    record: str
    words: dict[int, int]
    constants: dict[int, Constant] = field(default_factory=dict)
    requantizer: str | None = None
    scratch_bytes: int = 0
    unwanted: bool = False


def enter_operation(name: str, buffer: Buffer, lowest: int, slot: int) -> Operation:
    """An input of the Program, from the host."""
    return Operation("moves.enter", name, {
        **_target(buffer), **_extent(buffer), words.ZERO: lowest, words.HOST: slot})


def leave_operation(name: str, buffer: Buffer, lowest: int, slot: int) -> Operation:
    """A tensor to the host."""
    kernel = "moves.leave_8" if buffer.geometry.code_bytes == 1 else "moves.leave_32"
    return Operation(kernel, name, {
        **_source(buffer), **_extent(buffer), words.ZERO: lowest, words.HOST: slot})


def copy_operation(record: Load | Store, source: Buffer, target: Buffer, channel: int) -> Operation:
    """Rows of a tensor: of the source for a Load, of the target for a Store, whose channels start at `channel`."""
    source_row, target_row = (record.first_row, 0) if isinstance(record, Load) else (0, record.first_row)
    height = min(source.geometry.height, target.geometry.height)
    return Operation("moves.copy", record.name, {
        **_source(source, source_row), **_target(target, channel, target_row), words.HEIGHT: height,
        words.WIDTH: source.geometry.width, words.RUN: source.pixel_bytes})


def pool_operation(pool: Pool, source: Buffer, target: Buffer, isa: str) -> Operation:
    """Max pooling."""
    (height, width), (top, left, _, _) = pool.kernel, pool.pads
    return Operation(f"pool.{'lanes_64' if isa in ('avx512', 'amx') else 'lanes_32'}", pool.name, {
        **_source(source), **_target(target), **_extent(target), words.POOL_TOP: top, words.POOL_LEFT: left,
        words.POOL_BOTTOM: source.geometry.height, words.POOL_RIGHT: source.geometry.width,
        words.POOL_HEIGHT: height, words.POOL_WIDTH: width, words.POOL_STRIDE: pool.stride})


def conv_operation(program: Program, conv: Conv, buffers: dict[str, Buffer], kernel: str) -> Operation:
    """A convolution by the kernel of that name, which must be one of `sim.engine.dispatch.conv_kernels`."""
    source, target = buffers[conv.input], buffers[conv.output]
    part = program.tensor(conv.output).part_slice(conv.output_part)
    grouped = kernel == "multiply.avx512_4" or kernel.split(".")[0] in INTERLEAVED or (
        conv.depthwise and kernel != "depthwise.taps")
    constants = requantizer(program, conv, grouped)
    top, left, _, _ = conv.pads
    common = {
        words.SOURCE: source.at(-top, -left), words.SOURCE_ROW: conv.stride * source.row_bytes,
        words.SOURCE_PIXEL: conv.stride * source.pixel_bytes, **_target(target, part.start), **_extent(target),
        words.CHANNELS: conv.channels, words.ZERO: constants.zero, words.LOW: constants.low,
        words.HIGH: constants.high, words.WRAP: constants.wrap}
    if conv.residual is not None:
        other, channels = buffers[conv.residual], program.tensor(conv.residual).part_slice(conv.residual_part)
        common |= {words.RESIDUAL: other.at(0, 0, channels.start), words.RESIDUAL_ROW: other.row_bytes,
                   words.RESIDUAL_PIXEL: other.pixel_bytes}
    module, _, name = kernel.partition(".")
    operation = Operation(kernel, conv.name, common, {words.PARAMETERS: constants.table},
                          f"requantizer.{constants.kernel}")
    PREPARED[module](operation, conv, source, name)
    return operation


def _multiply(operation: Operation, conv: Conv, source: Buffer, name: str) -> None:
    isa, _, vectors = name.partition("_")
    block = int(vectors) * (16 if isa == "avx512" else 8)
    values = pieces(conv)
    weights = quad_panels(values[channel_order(conv.channels)] if block == words.GROUP else values, block)
    operation.words |= {words.TAP_COUNT: weights.shape[1], words.RUN: weights.shape[2] // words.GROUP_QUADS}
    operation.constants |= {words.WEIGHTS: weights, words.TAPS: _piece_offsets(conv, source)}
    operation.scratch_bytes = (words.CHUNK + words.SPARE_ROWS) * (3 * 8 + block * 4)


def _tiles(operation: Operation, conv: Conv, source: Buffer, name: str) -> None:
    values = pieces(conv)[channel_order(conv.channels)]
    configuration = np.zeros(64, np.uint8)
    configuration[0] = 1
    configuration[16:32:2], configuration[48:56] = 64, 16
    operation.constants |= {words.CONFIGURATION: configuration, words.TAPS: _piece_offsets(conv, source)}
    operation.words[words.TAP_COUNT] = values.shape[1]
    sums = words.TILE_PIXELS * words.GROUP * 4
    if name == "direct":
        weights = step_panels(values)
        operation.words |= {words.RUN: weights.shape[2], words.VIRTUAL_WIDTH: source.row_pixels}
        operation.scratch_bytes = words.DIRECT_PIXELS * 2 * 8 + sums
        operation.unwanted = True
    else:
        weights = step_panels(values.reshape(conv.channels, 1, -1))
        row_bytes = weights.shape[2] * words.STEP_BYTES
        operation.words |= {words.RUN: values.shape[2], words.ROW_STEPS: weights.shape[2]}
        chunk = max(words.GATHER_BYTES // row_bytes // words.TILE_PIXELS, 1) * words.TILE_PIXELS
        operation.scratch_bytes = chunk * (3 * 8 + row_bytes) + sums + 128
    operation.constants[words.WEIGHTS] = weights


def _nibbles(operation: Operation, conv: Conv, source: Buffer, name: str) -> None:
    del source, name
    values = pieces(conv)[channel_order(conv.channels)].reshape(conv.channels, -1)
    lowest = min(int(values.min()), 0)
    weights = nibble_panels(values, lowest)
    operation.words |= {words.RUN: weights.shape[1], words.LOWEST: lowest}
    operation.constants[words.WEIGHTS] = weights
    operation.scratch_bytes = 64 + 4 * words.GROUP


def _depthwise(operation: Operation, conv: Conv, source: Buffer, name: str) -> None:
    values, (height, _) = conv.weight_values[:, 0], conv.kernel
    taps = _tap_offsets(conv, source)
    group = words.GROUP
    if name == "taps":
        weights, group = tap_rows(values), 16
        operation.words |= {words.RUN: len(taps)}
    elif name == "quads":
        weights = tap_quads(values)
        taps = np.concatenate([taps, np.repeat(taps[-1:], -len(taps) % 4)])
        operation.words |= {words.RUN: len(taps) // 4}
    else:
        weights = window_columns(values)
        taps = np.minimum(np.arange(4), height - 1) * source.row_bytes
        operation.words |= {words.RUN: source.pixel_bytes}
    operation.constants |= {words.WEIGHTS: weights, words.TAPS: taps}
    operation.scratch_bytes = words.ROW_CHUNK * (3 * 8 + group * 4)


PREPARED: dict[str, Callable[[Operation, Conv, Buffer, str], None]] = {
    "multiply": _multiply, "tiles": _tiles, "nibbles": _nibbles, "depthwise": _depthwise, "planes": planes.prepare,
    "winograd": winograd.prepare}
"""What else the kernels of a module need."""
INTERLEAVED = {"tiles", "nibbles", "planes", "winograd"}
"""Modules whose sums come interleaved."""


def _tap_offsets(conv: Conv, source: Buffer) -> NDArray[np.int64]:
    """Where the taps of a window lie, in raster order [bytes]."""
    height, width = conv.kernel
    rows = np.arange(height, dtype=np.int64)[:, None] * conv.dilation * source.row_bytes
    return (rows + np.arange(width) * conv.dilation * source.pixel_bytes).reshape(-1)


def _piece_offsets(conv: Conv, source: Buffer) -> NDArray[np.int64]:
    """Where its pieces lie: `sim.engine.weights.pieces`."""
    taps = _tap_offsets(conv, source)
    return taps[:: conv.kernel[1]].copy() if conv.dilation == 1 else taps


def _source(buffer: Buffer, row: int = 0) -> dict[int, int]:
    return {words.SOURCE: buffer.at(row, 0), words.SOURCE_ROW: buffer.row_bytes,
            words.SOURCE_PIXEL: buffer.pixel_bytes}


def _target(buffer: Buffer, channel: int = 0, row: int = 0) -> dict[int, int]:
    return {words.TARGET: buffer.at(row, 0, channel), words.TARGET_ROW: buffer.row_bytes,
            words.TARGET_PIXEL: buffer.pixel_bytes}


def _extent(buffer: Buffer) -> dict[int, int]:
    geometry = buffer.geometry
    return {words.HEIGHT: geometry.height, words.WIDTH: geometry.width, words.CHANNELS: geometry.channels}
