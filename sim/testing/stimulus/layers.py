"""Draw layers: windows with at least one output pixel, weights with extremes, requantizers that suit the sums."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sim.functional.reference import accumulate
from sim.ir.formats import Format, Kind
from sim.ir.ops import Conv, Pads, Tensor, accumulator_bounds, out_size
from sim.ir.signed_digits import no_digits
from sim.mapping.activation_layout import blocks_of
from sim.testing.stimulus.choices import Choices
from sim.testing.stimulus.program_builder import ProgramBuilder
from sim.testing.stimulus.requantizers import plain_requantizer, random_requantizer
from sim.testing.stimulus.tables import draw_table

__all__ = ["Window", "conv_fits", "draw_conv", "draw_window", "requantized"]

RANDOM = 0.97
"""Probability of random values where the plainest would do: those are there for failing cases to shrink to."""
MAX_DILATION = MAX_KERNEL = 3
"""Largest dilation, and largest height and width of a window unless a caller allows more."""
MAX_STRIDE = 4
MAX_PAD = 2
"""Largest pad of a Conv, unless its window needs more."""


@dataclass(frozen=True)
class Window:
    """A window that slides over the input of an op."""

    kernel: tuple[int, int] = (1, 1)
    stride: int = 1
    dilation: int = 1
    pads: Pads = (0, 0, 0, 0)

    def output(self, source: Tensor) -> tuple[int, int]:
        """Return (height, width) of the output."""
        top, left, bottom, right = self.pads
        return (out_size(source.height, top, bottom, self.kernel[0], self.stride, self.dilation),
                out_size(source.width, left, right, self.kernel[1], self.stride, self.dilation))


def draw_window(choices: Choices, kind: str, source: Tensor, kernel: int = MAX_KERNEL) -> Window:
    """Draw a window of at most `kernel` pixels each way for an op of this kind (`sim.testing.KINDS`) over `source`."""
    size = source.height, source.width
    if kind == "linear" or (kind == "average" and choices.chance("whole_map", 0.4)):
        return Window(size)
    height, width = (choices.integer("kernel", 1, kernel) for _ in size)
    stride = choices.integer("stride", 1, MAX_STRIDE)
    dilation = choices.integer("dilation", 1, MAX_DILATION) if kind != "max" else 1
    padded = choices.chance("padding", 0.5)
    (top, bottom), (left, right) = (_draw_pads(choices, extent, taps, dilation, padded, inside=kind == "max")
                                    for extent, taps in zip(size, (height, width), strict=True))
    return Window((height, width), stride, dilation, (top, left, bottom, right))


def _draw_pads(choices: Choices, size: int, kernel: int, dilation: int, padded: bool, inside: bool) -> tuple[int, int]:
    """Draw the pads of one axis, before and after: what the window needs at least, more if `padded`."""
    needed = max(0, dilation * (kernel - 1) + 1 - size)
    most = kernel - 1 if inside else max(MAX_PAD, -(-needed // 2))
    before = choices.integer("pad", max(0, needed - most), most if padded else min(most, needed))
    least = max(0, needed - before)
    return before, choices.integer("pad", least, most if padded else least)


def draw_conv(builder: ProgramBuilder, kind: str, window: Window, source: Tensor, target: Tensor, part: int) -> Conv:
    """Draw a Conv that writes one part of `target`; its requantizer is still empty."""
    choices, outputs = builder.choices, target.parts[part]
    weights, fmt = _draw_weights(builder, kind, (outputs, source.channels, *window.kernel))
    table = draw_table(builder, target.format)
    clamped = target.format if table is None else table.index
    low, high = clamped.low, clamped.high
    if choices.chance("relu", 0.3):
        low = max(low, clamped.zero_point)
    elif choices.chance("clamp", 0.3):
        low = choices.integer("low", low, high)
        high = choices.integer("high", low, high)
    empty = np.zeros(outputs, np.int64)
    groups = 1 if kind in ("dense", "linear") else outputs
    return Conv(f"r{len(builder.ops) + part}", source.name, target.name, weights, fmt, no_digits(outputs), empty,
                empty, low, high, groups, window.stride, window.dilation, window.pads, part,
                prefer_depthwise=kind == "depthwise" and outputs == 1, table=table)


def _draw_weights(builder: ProgramBuilder, kind: str,
                  shape: tuple[int, int, int, int]) -> tuple[NDArray[np.int8], Format]:
    """Draw weight codes and their format; one channel in five holds the same extreme code everywhere."""
    if kind not in ("dense", "linear"):
        shape = (shape[0], 1, *shape[2:])
    if kind in ("average", "add"):
        return np.ones(shape, np.int8), Format(1, "unit")
    choices, most = builder.choices, builder.machine.max_bits_w
    weight_kind: Kind = "signed"
    if kind != "depthwise" and builder.machine.bipolar and builder.has("bipolar", 0.2):
        most, weight_kind = 1, "bipolar"
    elif builder.has("unsigned", 0.15):
        most, weight_kind = min(7, most), "unsigned"
    fmt = Format(choices.integer("weight_bits", 1, most), weight_kind)
    if not choices.chance("random_weights", RANDOM):
        return np.full(shape, fmt.high or fmt.low, np.int8), fmt
    rng = choices.values("weights")
    codes = rng.integers(fmt.low, fmt.high + 1, shape)
    extremes = rng.choice([fmt.low, fmt.high], (shape[0], 1, 1, 1))
    return np.where(rng.random(extremes.shape) < 0.2, extremes, codes).astype(np.int8), fmt


def conv_fits(builder: ProgramBuilder, conv: Conv, source: Tensor) -> bool:
    """Tell whether a row tile fits the weight memory, however its taps are packed, and no sum can overflow."""
    arithmetic, blocks = builder.arithmetic, 1 if conv.depthwise else blocks_of(source.parts, builder.machine.lanes)
    words = conv.kernel[0] * conv.kernel[1] * blocks * conv.weight_format.bits
    bound = int(accumulator_bounds(conv, source.format).max())
    return words <= builder.machine.weight_words and (arithmetic.wrap or bound < 1 << (arithmetic.acc_bits - 1))


def requantized(builder: ProgramBuilder, conv: Conv, source: Tensor, target: Tensor, wants_residual: bool) -> Conv:
    """Give `conv` a requantizer that suits the sums of the samples, and a residual if wanted."""
    choices, arithmetic = builder.choices, builder.arithmetic
    codes = None
    if wants_residual:
        other, part = _residual(builder, conv, source, target)
        conv = replace(conv, residual=other.name, residual_part=part)
        codes = _by_channel(builder.samples[other.name][:, other.part_slice(part)].astype(np.int64))
    most = choices.integer("digits", 1, arithmetic.terms), choices.integer("residual_digits", 1, arithmetic.terms)
    if choices.chance("random_requantizer", RANDOM):
        sums = accumulate(conv, source, builder.samples[source.name]).astype(np.int64)
        half = 1 << (arithmetic.acc_bits - 1)
        wrapped = (sums + half) % (2 * half) - half
        found = random_requantizer(choices.values("requantizer"), _by_channel(wrapped), codes,
                                   conv.requantized_format(target.format), arithmetic, most)
    else:
        found = plain_requantizer(conv.channels, codes is not None and arithmetic.residual_window > 0)
    multiplier, residual_multiplier, shift, offset = found
    if codes is None:
        residual_multiplier = conv.residual_multiplier
    return replace(conv, multiplier=multiplier, residual_multiplier=residual_multiplier, shift=shift, offset=offset)


def _residual(builder: ProgramBuilder, conv: Conv, source: Tensor, target: Tensor) -> tuple[Tensor, int]:
    """Find a part that can be added to the output of `conv`: an earlier one, or else one of a new input."""
    size = target.height, target.width
    found = [(tensor, part) for tensor in builder.tensors
             if tensor not in (source, target) and tensor.name not in builder.remote
             and (tensor.height, tensor.width) == size and tensor.format.bits <= builder.machine.max_bits_a
             for part, channels in enumerate(tensor.parts) if channels == conv.channels]
    if found and not builder.choices.chance("fresh_residual", 0.3):
        return builder.choices.choice("residual_tensor", found)
    before = builder.parts(8, 0.2)[1:]
    fmt = builder.format("residual_bits")
    return builder.add(builder.tensor(*size, (*before, conv.channels), fmt)), len(before)


def _by_channel(maps: NDArray[np.int64]) -> NDArray[np.int64]:
    """Turn (N, channels, H, W) into (channels, samples)."""
    return maps.swapaxes(0, 1).reshape(maps.shape[1], -1)
