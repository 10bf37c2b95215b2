"""Random Convs: weights with extremes, and requantizers that suit the sums that occur."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sim.functional.reference import accumulate
from sim.ir.formats import Format, Kind
from sim.ir.ops import Conv, Tensor, accumulator_bounds
from sim.ir.signed_digits import no_digits
from sim.mapping.schedule import blocks_of
from sim.testing.stimulus.program_builder import Draft
from sim.testing.stimulus.requantizers import plain_requantizer, random_requantizer
from sim.testing.stimulus.sliding_windows import Window

__all__ = ["conv_fits", "draw_conv", "requantized"]

RANDOM = 0.97
"""Probability of random values where the plainest would do: those are there for failing cases to shrink to."""


def draw_conv(draft: Draft, kind: str, window: Window, source: Tensor, target: Tensor, part: int) -> Conv:
    """A Conv that writes one part of `target`; its requantizer is still empty."""
    choices, outputs, low, high = draft.choices, target.parts[part], target.format.low, target.format.high
    weights, fmt = _draw_weights(draft, kind, (outputs, source.channels, *window.kernel))
    if choices.chance("relu", 0.3):
        low = max(low, target.format.zero_point)
    elif choices.chance("clamp", 0.3):
        low = choices.integer("low", low, high)
        high = choices.integer("high", low, high)
    empty = np.zeros(outputs, np.int64)
    groups = 1 if kind in ("dense", "linear") else outputs
    return Conv(f"r{len(draft.ops) + part}", source.name, target.name, weights, fmt, no_digits(outputs), empty,
                empty, low, high, groups, window.stride, window.dilation, window.pads, part,
                prefer_depthwise=kind == "depthwise" and outputs == 1)


def _draw_weights(draft: Draft, kind: str, shape: tuple[int, int, int, int]) -> tuple[NDArray[np.int8], Format]:
    """Weight codes and their format; one channel in five holds the same extreme code everywhere."""
    if kind not in ("dense", "linear"):
        shape = (shape[0], 1, *shape[2:])
    if kind in ("average", "add"):
        return np.ones(shape, np.int8), Format(1, "unit")
    choices, most = draft.choices, draft.machine.max_bits_w
    weight_kind: Kind = "signed"
    if kind != "depthwise" and draft.machine.bipolar and draft.has("bipolar", 0.2):
        most, weight_kind = 1, "bipolar"
    elif draft.has("unsigned", 0.15):
        most, weight_kind = min(7, most), "unsigned"
    fmt = Format(choices.integer("weight_bits", 1, most), weight_kind)
    if not choices.chance("random_weights", RANDOM):
        return np.full(shape, fmt.high or fmt.low, np.int8), fmt
    rng = choices.values("weights")
    codes = rng.integers(fmt.low, fmt.high + 1, shape)
    extremes = rng.choice([fmt.low, fmt.high], (shape[0], 1, 1, 1))
    return np.where(rng.random(extremes.shape) < 0.2, extremes, codes).astype(np.int8), fmt


def conv_fits(draft: Draft, conv: Conv, source: Tensor) -> bool:
    """Whether a row tile fits the weight memory, however its taps are packed, and no sum can overflow."""
    arithmetic, blocks = draft.arithmetic, 1 if conv.depthwise else blocks_of(source.parts, draft.machine.lanes)
    words = conv.kernel[0] * conv.kernel[1] * blocks * conv.weight_format.bits
    bound = int(accumulator_bounds(conv, source.format).max())
    return words <= draft.machine.weight_words and (arithmetic.wrap or bound < 1 << (arithmetic.acc_bits - 1))


def requantized(draft: Draft, conv: Conv, source: Tensor, target: Tensor, wants_residual: bool) -> Conv:
    """`conv` with a requantizer that suits the sums of the samples, and a residual if wanted."""
    choices, arithmetic = draft.choices, draft.arithmetic
    codes = None
    if wants_residual:
        other, part = _residual(draft, conv, source, target)
        conv = replace(conv, residual=other.name, residual_part=part)
        codes = _by_channel(draft.samples[other.name][:, other.part_slice(part)].astype(np.int64))
    most = choices.integer("digits", 1, arithmetic.terms), choices.integer("residual_digits", 1, arithmetic.terms)
    if choices.chance("random_requantizer", RANDOM):
        sums = accumulate(conv, source, draft.samples[source.name]).astype(np.int64)
        half = 1 << (arithmetic.acc_bits - 1)
        wrapped = (sums + half) % (2 * half) - half
        found = random_requantizer(choices.values("requantizer"), _by_channel(wrapped), codes, target.format,
                                   arithmetic, most)
    else:
        found = plain_requantizer(conv.channels, codes is not None and arithmetic.residual_window > 0)
    multiplier, residual_multiplier, shift, offset = found
    if codes is None:
        residual_multiplier = conv.residual_multiplier
    return replace(conv, multiplier=multiplier, residual_multiplier=residual_multiplier, shift=shift, offset=offset)


def _residual(draft: Draft, conv: Conv, source: Tensor, target: Tensor) -> tuple[Tensor, int]:
    """A part that can be added to the output of `conv`: an earlier one, or else one of a new input."""
    size = target.height, target.width
    found = [(tensor, part) for tensor in draft.tensors
             if tensor not in (source, target) and tensor.name not in draft.remote
             and (tensor.height, tensor.width) == size and tensor.format.bits <= draft.machine.max_bits_a
             for part, channels in enumerate(tensor.parts) if channels == conv.channels]
    if found and not draft.choices.chance("fresh_residual", 0.3):
        return draft.choices.choice("residual_tensor", found)
    before = draft.parts(8, 0.2)[1:]
    fmt = draft.format("residual_bits")
    return draft.add(draft.tensor(*size, (*before, conv.channels), fmt)), len(before)


def _by_channel(maps: NDArray[np.int64]) -> NDArray[np.int64]:
    """(N, channels, H, W) as (channels, samples)."""
    return maps.swapaxes(0, 1).reshape(maps.shape[1], -1)
