"""Faults of operands: signs, pads, taps, lanes, and weights of other channels."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from bitwright.divergence.conv_run import Array, ConvRun
from bitwright.divergence.hypothesis import Hypothesis
from rtl.cosim.run import UNDEFINED

__all__ = ["operand_faults"]

SIDES = ("top", "left", "bottom", "right")
MOST_CODES = 1 << 18
"""Codes of a map times lanes times planes, above which single bits of operands are not tried."""


def operand_faults(run: ConvRun) -> Iterator[Hypothesis]:
    """Yield sums over operands that are wrong in one way, the likelier ones first."""
    yield from _signs(run)
    yield from _pads(run)
    yield from _edges(run)
    yield from _taps(run)
    yield from _weights(run)
    yield from _positions(run)
    yield from _banks(run)
    yield from _lanes(run)


def _signs(run: ConvRun) -> Iterator[Hypothesis]:
    """Yield sums with sign planes that count as positive: of all taps, of one, of some planes."""
    conv, source = run.conv, run.source.format
    if source.kind == "signed":
        negative = (run.padded < 0).astype(np.int32)
        for text, weights in _tap_choices(run):
            extra = run.sums(weights, negative) << source.bits
            yield _of(run, "activation sign", f"sign plane added for {text}", run.accumulator + extra)
    if conv.weight_format.kind == "signed":
        negatives = (conv.weight_values < 0).astype(np.int64)
        for text, weights in _tap_choices(run, negatives):
            extra = run.sums(weights) << conv.weight_format.bits
            yield _of(run, "weight sign", f"sign plane added for {text}", run.accumulator + extra)


def _tap_choices(run: ConvRun, weights: Array | None = None) -> Iterator[tuple[str, Array | None]]:
    """Yield all taps, then each of several, with weights."""
    yield "all taps", weights
    if run.taps > 1:
        for tap in range(run.taps):
            yield f"tap {tap}", run.of_tap(tap, weights)


def _pads(run: ConvRun) -> Iterator[Hypothesis]:
    """Yield maps whose pads are 0, or are read from memory, which no op has written there."""
    zero = run.source.format.zero_point
    for side, mask in _sides(run):
        if zero:
            yield _of(run, "padding", f"{side} pads are 0, not the zero point {zero}",
                      run.sums(padded=np.where(mask, 0, run.padded).astype(np.int32)))
            yield _of(run, "padding", f"{side} pads are the zero point twice",
                      run.sums(padded=np.where(mask, 2 * zero, run.padded).astype(np.int32)))
    for side, mask in _sides(run):
        if side in SIDES:
            for text, some in (("all", mask), ("the first", mask & _next_to_map(run))):
                yield _undefined(run, f"{text} {side} pads are read from memory that holds nothing", some)
                yield from _stored(run, side, text, some)


def _edges(run: ConvRun) -> Iterator[Hypothesis]:
    """Yield maps of which a margin is taken for pads."""
    y, x = np.indices(run.padded.shape[2:])
    top, left = run.conv.pads[:2]
    zero = run.source.format.zero_point
    for what, place, extent in (("row", y - top, run.source.height), ("column", x - left, run.source.width)):
        for by in range(1, extent):
            for text, mask in ((f"from {what} {extent - by} on", place >= extent - by), (f"up to {what} {by - 1}",
                                                                                         place < by)):
                yield _of(run, "padding", f"pixels {text} are taken for pads",
                          run.sums(padded=np.where(mask, zero, run.padded).astype(np.int32)))


def _sides(run: ConvRun) -> Iterator[tuple[str, Array]]:
    """Yield the sides that have pads with their places, shape of a padded map."""
    height, width = run.padded.shape[2:]
    top, left, bottom, right = run.conv.pads
    y, x = np.indices((height, width))
    masks = dict(zip(SIDES, (y < top, x < left, y >= height - bottom, x >= width - right), strict=True))
    if any(run.conv.pads):
        yield "all", np.logical_or.reduce(list(masks.values()))
    yield from ((side, mask) for side, mask in masks.items() if mask.any())


def _next_to_map(run: ConvRun) -> NDArray[np.bool_]:
    """Return the places of a padded map that are at most one away from the map."""
    height, width = run.padded.shape[2:]
    top, left, bottom, right = run.conv.pads
    y, x = np.indices((height, width))
    near = (y >= top - 1) & (y <= height - bottom) & (x >= left - 1) & (x <= width - right)
    return np.asarray(near, np.bool_)


def _undefined(run: ConvRun, text: str, mask: Array) -> Hypothesis:
    """Undefined codes wherever a pad of these is met by a weight that is not 0."""
    touched = run.sums(np.abs(run.conv.weight_values), np.broadcast_to(mask, run.padded.shape).astype(np.int32))
    return Hypothesis("padding", text, np.where(touched != 0, UNDEFINED, run.expected))


def _stored(run: ConvRun, side: str, text: str, mask: Array) -> Iterator[Hypothesis]:
    """Yield what lies in memory where the map would go on: of the row or pixel beyond, the next row's or group's."""
    top, left = run.conv.pads[:2]
    height, width = run.source.height, run.source.width
    columns = run.plan.machine.columns
    padded = run.padded.copy()
    for y, x in np.argwhere(mask).tolist():
        row, pixel = y - top, x - left
        if not 0 <= row < height:
            return
        group, bank = divmod(row, columns)
        number = group * width + pixel
        there = number // width * columns + bank
        if not (0 <= number and there < height):
            return
        padded[:, :, y, x] = padded[:, :, there + top, number % width + left]
    yield _of(run, "padding", f"{text} {side} pads are read from memory: the next pixel there", run.sums(padded=padded))


def _taps(run: ConvRun) -> Iterator[Hypothesis]:
    """Yield sums without a tap, and with taps at other places."""
    conv = run.conv
    if run.taps > 1:
        for tap in range(run.taps):
            yield _of(run, "tap", f"tap {tap} not read", run.wrapped(run.accumulator - run.sums(run.of_tap(tap))))
        for by, what in ((1, "before"), (-1, "after")):
            flat = conv.weight_values.reshape(*conv.weight_values.shape[:2], -1)
            yield _of(run, "tap", f"weights of the tap {what}",
                      run.sums(np.roll(flat, by, axis=2).reshape(conv.weight_values.shape)))
    for axis, step, what in ((2, conv.dilation[0], "rows"), (3, conv.dilation[1], "columns")):
        size = conv.weight_values.shape[axis]
        if step > 1 and size > 1:
            yield _of(run, "tap", f"dilation of {what} ignored", _sum_at(run, axis))


def _sum_at(run: ConvRun, axis: int) -> Array:
    """Return sums in which the taps along an axis lie beside each other."""
    total = np.zeros_like(run.accumulator)
    step = run.conv.dilation[axis - 2]
    for tap in range(run.taps):
        number = tap // run.conv.kernel[1] if axis == 2 else tap % run.conv.kernel[1]
        moved = np.roll(run.padded, number * (step - 1), axis)
        total += run.sums(run.of_tap(tap), moved)
    return run.wrapped(total)


def _weights(run: ConvRun) -> Iterator[Hypothesis]:
    """Yield sums with weights of other channels: of the row tile before or after, of a neighbour."""
    weights = run.conv.weight_values
    machine, every = run.plan.machine, np.arange(len(weights))
    rows = machine.depthwise_lanes if run.schedule.on_depthwise_unit else machine.rows
    sources = (("the row tile before", np.where(every >= rows, every - rows, every)),
               ("the row tile after", np.where(every + rows < len(every), every + rows, every)),
               ("two row tiles before", np.where(every >= 2 * rows, every - 2 * rows, every)),
               ("the neighbour's row", np.minimum(every ^ 1, len(every) - 1)),
               ("the first row", every // rows * rows))
    for text, channels in sources:
        other = weights[channels]
        yield _of(run, "weights", f"those of {text}", run.sums(other))
        if run.taps > 1:
            for tap in range(run.taps):
                change = run.of_tap(tap, other) - run.of_tap(tap)
                yield _of(run, "weights", f"those of {text} for tap {tap}", run.sums(weights + change))
    yield _of(run, "weights", "all 0", np.zeros_like(run.accumulator))
    fmt = run.conv.weight_format
    if fmt.kind in ("signed", "unsigned"):
        for bit in range(fmt.bits):
            value = -(1 << bit) if fmt.kind == "signed" and bit == fmt.bits - 1 else 1 << bit
            present = (run.conv.weights.astype(np.int64) >> bit) & 1
            yield _of(run, "weights", f"plane {bit} lost", run.sums(weights - present * value))
            yield _of(run, "weights", f"plane {bit} all ones", run.sums(weights + (1 - present) * value))


def _banks(run: ConvRun) -> Iterator[Hypothesis]:
    """Yield sums in which the words of a bank are zeros, always or where a window comes there after its first row."""
    height = run.padded.shape[2]
    row = np.arange(height) - run.conv.pads[0]
    inside = (row >= 0) & (row < run.source.height)
    weights = run.conv.weight_values
    later = weights.copy()
    later[:, :, 0] = 0
    for bank in range(run.plan.machine.columns):
        lost = np.where((inside & (row % run.plan.machine.columns == bank))[:, None], run.padded, 0).astype(np.int32)
        yield _of(run, "bank", f"words of bank {bank} are zeros", run.accumulator - run.sums(weights, lost))
        yield _of(run, "bank", f"words of bank {bank} are zeros unless a window begins there",
                  run.accumulator - run.sums(later, lost))


def _positions(run: ConvRun) -> Iterator[Hypothesis]:
    """Yield sums over a map that is read a row or a pixel off, or with its planes wrong."""
    machine = run.plan.machine
    columns, per_tile = machine.columns, machine.depthwise_lanes if run.schedule.on_depthwise_unit else machine.rows
    for axis, by, text in ((3, 1, "a pixel to the left"), (3, -1, "a pixel to the right"), (2, 1, "a row above"),
                           (2, -1, "a row below"), (2, columns, "a row group above"),
                           (2, -columns, "a row group below"), (1, 1, "a channel before"), (1, -1, "a channel after"),
                           (1, per_tile, "the channels of the row tile before")):
        yield _of(run, "position", f"read {text}", run.sums(padded=np.roll(run.padded, by, axis)))
    for bit in range(run.source.format.bits):
        yield _of(run, "activations", f"plane {bit} lost", run.sums(padded=_with_bit(run, bit, 0)))
        yield _of(run, "activations", f"plane {bit} all ones", run.sums(padded=_with_bit(run, bit, 1)))
        yield _of(run, "activations", f"plane {bit} inverted", run.sums(padded=_with_bit(run, bit, 2)))


def _with_bit(run: ConvRun, bit: int, what: int) -> NDArray[np.int32]:
    """Return the padded input with a plane of zeros, of ones, or inverted."""
    value = 1 << bit
    if run.source.format.kind == "signed" and bit == run.source.format.bits - 1:
        value = -value
    present = (run.padded >> bit) & 1
    wanted = (np.zeros_like(present), np.ones_like(present), 1 - present)[what]
    return np.asarray(run.padded + (wanted - present) * value, np.int32)


def _lanes(run: ConvRun) -> Iterator[Hypothesis]:
    """Yield sums in which a bit of one lane of the activations is wrong."""
    lanes, schedule = run.plan.machine.lanes, run.schedule
    segment = lanes // schedule.packing
    if run.accumulator.size * lanes * run.source.format.bits > MOST_CODES or schedule.on_depthwise_unit:
        return
    weights = run.conv.weight_values
    tap = np.arange(run.taps)[None, None]
    channels = np.arange(weights.shape[1])[None, :, None]
    lane_of = np.broadcast_to(tap % schedule.packing * segment + channels % segment,
                              (1, weights.shape[1], run.taps))
    if run.conv.depthwise or run.conv.grouped:
        return
    for lane in range(lanes):
        own = np.where(lane_of == lane, weights.reshape(*weights.shape[:2], -1), 0).reshape(weights.shape)
        if not own.any():
            continue
        yield _of(run, "lane", f"lane {lane} not counted", run.wrapped(run.accumulator - run.sums(own)))
        for bit in range(run.source.format.bits):
            for what, text in enumerate(("lost", "always set", "inverted")):
                change = run.sums(own, _with_bit(run, bit, what) - run.padded)
                yield _of(run, "lane", f"plane {bit} of lane {lane} {text}", run.wrapped(run.accumulator + change))


def _of(run: ConvRun, field: str, text: str, accumulator: Array) -> Hypothesis:
    wrapped = run.wrapped(accumulator)
    return Hypothesis(field, text, run.codes_of(wrapped), wrapped)
