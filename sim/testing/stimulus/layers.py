"""Draw layers: windows with at least one output pixel, weights with extremes, requantizers that suit the sums."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import gcd

import numpy as np
from numpy.typing import NDArray

from sim.functional.reference import accumulate
from sim.ir.formats import Format, Kind
from sim.ir.ops import Conv, Pads, Steps, Tensor, accumulator_bounds, out_size
from sim.ir.residual import Broadcast, largest_sums, residual_shape
from sim.ir.signed_digits import no_digits
from sim.ir.tensor import Run
from sim.mapping.activation_layout import blocks_of
from sim.testing.stimulus.choices import Choices
from sim.testing.stimulus.program_builder import ProgramBuilder
from sim.testing.stimulus.requantizers import plain_requantizer, random_requantizer
from sim.testing.stimulus.tables import draw_table

__all__ = ["Window", "conv_fits", "draw_conv", "draw_run", "draw_window", "random_weights",
           "requantized"]

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
    stride: Steps = (1, 1)
    dilation: Steps = (1, 1)
    pads: Pads = (0, 0, 0, 0)

    def output(self, source: Tensor) -> tuple[int, int]:
        """Return (height, width) of the output."""
        top, left, bottom, right = self.pads
        return (out_size(source.height, top, bottom, self.kernel[0], self.stride[0], self.dilation[0]),
                out_size(source.width, left, right, self.kernel[1], self.stride[1], self.dilation[1]))


def draw_window(builder: ProgramBuilder, kind: str, source: Tensor, kernel: int = MAX_KERNEL) -> Window:
    """Draw a window of at most `kernel` pixels each way for an op of this kind (`sim.testing.KINDS`) over `source`."""
    choices, size = builder.choices, (source.height, source.width)
    if kind == "linear" or (kind == "average" and choices.chance("whole_map", 0.4)):
        return Window(size)
    height, width = (choices.integer("kernel", 1, kernel) for _ in size)
    unequal = builder.has("unequal", 0.25)
    stride = _draw_steps(choices, "stride", MAX_STRIDE, unequal)
    dilation = _draw_steps(choices, "dilation", MAX_DILATION, unequal) if kind != "max" else (1, 1)
    padded = choices.chance("padding", 0.5)
    (top, bottom), (left, right) = (_draw_pads(choices, extent, taps, step, padded, inside=kind == "max")
                                    for extent, taps, step in zip(size, (height, width), dilation, strict=True))
    return Window((height, width), stride, dilation, (top, left, bottom, right))


def _draw_steps(choices: Choices, what: str, most: int, unequal: bool) -> Steps:
    """Draw the vertical step of a window, and the horizontal one if they may differ."""
    vertical = choices.integer(what, 1, most)
    return vertical, choices.integer(f"horizontal_{what}", 1, most) if unequal else vertical


def _draw_pads(choices: Choices, size: int, kernel: int, dilation: int, padded: bool, inside: bool) -> tuple[int, int]:
    """Draw the pads of one axis, before and after: what the window needs at least, more if `padded`."""
    needed = max(0, dilation * (kernel - 1) + 1 - size)
    most = kernel - 1 if inside else max(MAX_PAD, -(-needed // 2))
    before = choices.integer("pad", max(0, needed - most), most if padded else min(most, needed))
    least = max(0, needed - before)
    return before, choices.integer("pad", least, most if padded else least)


def draw_run(builder: ProgramBuilder, source: Tensor) -> Run | None:
    """Draw which parts of a tensor the next op reads, None for all."""
    count = len(source.parts)
    if count == 1 or not builder.has("slice", 0.4):
        return None
    first = builder.choices.integer("first_part", 0, count - 1)
    return first, builder.choices.integer("last_part", first, count - 1) + 1


def draw_conv(builder: ProgramBuilder, kind: str, window: Window, source: Tensor, run: Run | None, target: Tensor,
              part: int) -> Conv:
    """Draw a Conv that reads a run of parts, which `source` has alone, and writes one part of `target`.

    Its requantizer is still empty.
    """
    choices, outputs = builder.choices, target.parts[part]
    groups = {"dense": 1, "linear": 1}.get(kind, outputs)
    if kind == "grouped":
        groups = _draw_groups(choices, source.channels, outputs)
    weights, fmt = _draw_weights(builder, kind, (outputs, source.channels // groups, *window.kernel))
    table = draw_table(builder, target.format)
    clamped = target.format if table is None else table.index
    low, high = clamped.low, clamped.high
    if choices.chance("relu", 0.3):
        low = max(low, clamped.zero_point)
    elif choices.chance("clamp", 0.3):
        low = choices.integer("low", low, high)
        high = choices.integer("high", low, high)
    empty = np.zeros(outputs, np.int64)
    return Conv(builder.op_name(), source.name, target.name, weights, fmt, no_digits(outputs), empty,
                empty, low, high, groups, window.stride, window.dilation, window.pads, part,
                prefer_depthwise=kind == "depthwise" and outputs == 1, table=table, input_parts=run)


def _draw_groups(choices: Choices, inputs: int, outputs: int) -> int:
    """Draw how many groups a layer has that is not depthwise: 1 where no other number divides its channels."""
    both = gcd(inputs, outputs)
    return choices.choice("groups", [n for n in range(1, both + 1) if both % n == 0
                                     and (n == 1 or not n == inputs == outputs)])


def _draw_weights(builder: ProgramBuilder, kind: str,
                  shape: tuple[int, int, int, int]) -> tuple[NDArray[np.int8], Format]:
    """Draw weight codes and their format."""
    if kind in ("average", "add", "gate"):
        return np.ones(shape, np.int8), Format(1, "unit")
    choices, most = builder.choices, builder.machine.max_bits_w
    weight_kind: Kind = "signed"
    if kind not in ("depthwise", "grouped") and builder.machine.bipolar and builder.has("bipolar", 0.2):
        most, weight_kind = 1, "bipolar"
    elif builder.has("unsigned", 0.15):
        most, weight_kind = min(7, most), "unsigned"
    fmt = Format(choices.integer("weight_bits", 1, most), weight_kind)
    if not choices.chance("random_weights", RANDOM):
        return np.full(shape, fmt.high or fmt.low, np.int8), fmt
    return random_weights(choices.values("weights"), fmt, shape), fmt


def random_weights(rng: np.random.Generator, fmt: Format, shape: tuple[int, int, int, int]) -> NDArray[np.int8]:
    """Draw weight codes of a format; one channel in five holds the same extreme code everywhere."""
    codes = rng.integers(fmt.low, fmt.high + 1, shape)
    extremes = rng.choice([fmt.low, fmt.high], (shape[0], 1, 1, 1))
    return np.where(rng.random(extremes.shape) < 0.2, extremes, codes).astype(np.int8)


def conv_fits(builder: ProgramBuilder, conv: Conv, source: Tensor) -> bool:
    """Tell whether a row tile fits the weight memory, however its taps are packed, and no sum can overflow."""
    arithmetic, blocks = builder.arithmetic, 1 if conv.depthwise else blocks_of(source.parts, builder.machine.lanes)
    words = conv.kernel[0] * conv.kernel[1] * blocks * conv.weight_format.bits
    bound = int(accumulator_bounds(conv, source.format).max())
    return words <= builder.machine.weight_words and (arithmetic.wrap or bound < 1 << (arithmetic.acc_bits - 1))


def requantized(builder: ProgramBuilder, conv: Conv, source: Tensor, target: Tensor, wants_residual: bool,
                gated: bool = False) -> Conv:
    """Give `conv` a requantizer that suits the sums of the samples, and a residual or gate if wanted."""
    choices, arithmetic = builder.choices, builder.arithmetic
    codes = None
    if wants_residual:
        conv, residual = _with_residual(builder, conv, source, target)
        codes = _by_channel(np.broadcast_to(residual, (len(residual), conv.channels, *conv.map_size(source))))
    gate = _draw_gate(builder, source, conv) if gated else None
    most = choices.integer("digits", 1, arithmetic.terms), choices.integer("residual_digits", 1, arithmetic.terms)
    if gate is not None:
        most = _beside_gate(choices, most)
    if choices.chance("random_requantizer", RANDOM):
        sums = accumulate(conv, source, builder.samples[source.name]).astype(np.int64)
        half = 1 << (arithmetic.acc_bits - 1)
        wrapped = (sums + half) % (2 * half) - half
        found = random_requantizer(choices.values("requantizer"), _by_channel(wrapped), codes,
                                   conv.requantized_format(target.format), arithmetic, most, gate)
    else:
        found = plain_requantizer(conv.channels, codes is not None and arithmetic.residual_window > 0)
    multiplier, residual_multiplier, shift, offset = found
    if codes is None:
        residual_multiplier = conv.residual_multiplier
    made = replace(conv, multiplier=multiplier, residual_multiplier=residual_multiplier, shift=shift, offset=offset,
                   gate=gate)
    return made if gate is None or _gate_fits(builder, made, gate, source) else replace(
        made, multiplier=no_digits(conv.channels), residual_multiplier=no_digits(conv.channels))


def _beside_gate(choices: Choices, most: tuple[int, int]) -> tuple[int, int]:
    """Draw which of M and R a gate has beside it; the most digits of both."""
    beside = choices.choice("beside_gate", ("nothing", "M", "R", "M and R"))
    return most[0] * ("M" in beside), most[1] * ("R" in beside)


def _draw_gate(builder: ProgramBuilder, source: Tensor, conv: Conv) -> int | None:
    """Draw a gate whose product leaves room for any offset and rounding; None if there is none."""
    product = source.format.magnitude * _residual_magnitude(builder, conv)
    room = (1 << (builder.arithmetic.offset_bits - 1)) // product
    return builder.choices.integer("gate", 0, room.bit_length() - 1) if room else None


def _gate_fits(builder: ProgramBuilder, conv: Conv, gate: int, source: Tensor) -> bool:
    magnitudes = source.format.magnitude, _residual_magnitude(builder, conv)
    sums = largest_sums(conv.multiplier, conv.residual_multiplier, conv.shift, conv.offset, gate, magnitudes)
    return max(sums) < 1 << (builder.arithmetic.requant_bits - 1)


def _residual_magnitude(builder: ProgramBuilder, conv: Conv) -> int:
    return next(tensor for tensor in builder.tensors if tensor.name == conv.residual).format.magnitude


def _with_residual(builder: ProgramBuilder, conv: Conv, source: Tensor,
                   target: Tensor) -> tuple[Conv, NDArray[np.int64]]:
    """Give a Conv a residual that may be broadcast; the samples of its part."""
    options: tuple[Broadcast, ...] = ("map", "channel")
    broadcast = builder.choices.choice("broadcast_as", options) if builder.has("broadcast", 0.3) else "none"
    shape = residual_shape(broadcast, conv.channels, *conv.map_size(source))
    other, part = _residual(builder, shape, source, target)
    samples = builder.samples[other.name][:, other.part_slice(part)]
    return (replace(conv, residual=other.name, residual_part=part, residual_broadcast=broadcast),
            samples.astype(np.int64))


def _residual(builder: ProgramBuilder, shape: tuple[int, int, int], source: Tensor,
              target: Tensor) -> tuple[Tensor, int]:
    """Find a part of this shape that can be a residual: an earlier one, or else one of a new input."""
    wanted, height, width = shape
    found = [(tensor, part) for tensor in builder.tensors
             if tensor not in (source, target) and tensor.name not in builder.remote
             and (tensor.height, tensor.width) == (height, width) and tensor.format.bits <= builder.machine.max_bits_a
             for part, channels in enumerate(tensor.parts) if channels == wanted]
    if found and not builder.choices.chance("fresh_residual", 0.3):
        return builder.choices.choice("residual_tensor", found)
    before = builder.parts(8, 0.2)[1:]
    fmt = builder.format("residual_bits")
    return builder.add(builder.tensor(height, width, (*before, wanted), fmt)), len(before)


def _by_channel(maps: NDArray[np.int64]) -> NDArray[np.int64]:
    """Turn (N, channels, H, W) into (channels, samples)."""
    return maps.swapaxes(0, 1).reshape(maps.shape[1], -1)
