"""Random Programs of every kind of record."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sim.digits import no_digits
from sim.formats import Format, Kind, Rounding
from sim.layout import tensor_words
from sim.machine import Machine
from sim.program import Program
from sim.records import Conv, Pads, Pool, Record, Tensor, accumulator_bounds, out_size
from sim.requantize import wrap
from sim.schedule import blocks_of
from sim.simulate import accumulate
from sim.testing.codes import corner_codes
from sim.testing.requantizers import Ranges, random_requantizer

__all__ = ["KINDS", "TRAITS", "random_program"]

KINDS = ("dense", "linear", "depthwise", "average", "add", "max")
"""Records that `random_program` can make."""
TRAITS = ("residual", "concat", "bipolar", "unsigned", "wide", "wrap")
"""What it can add: residuals, tensors of several parts, bipolar and unsigned weights, wide final outputs, wrapping."""

SAMPLES = 4
"""Images by which a requantizer is chosen."""
PROPOSALS = 100
"""Layers proposed before one that may not fit the machine's memories is taken."""

Window = tuple[tuple[int, int], int, int, Pads]
"""(kernel, stride, dilation, pads)."""


def random_program(rng: np.random.Generator, machine: Machine, layers: int = 3, kinds: Collection[str] = KINDS,
                   traits: Collection[str] = TRAITS, extent: int = 6, channels: int = 10) -> Program:
    """A Program whose widths `machine` has and whose tensors and row tiles usually fit its memories.

    Parameters
    ----------
    rng : numpy.random.Generator
    machine : Machine
    layers : int
        Most layers in a row; a layer that writes several parts has several records.
    kinds, traits : collections of str
        Subsets of KINDS and TRAITS; `concat` needs dense or linear records.
    extent, channels : int
        Largest height and width of an input, and most channels of a part.

    Examples
    --------
    >>> from sim.machine import load_machine
    >>> program = random_program(np.random.default_rng(0), load_machine("tiny"), kinds=["dense"], traits=[])
    >>> {type(record).__name__ for record in program.records}
    {'Conv'}
    """
    draft = _Draft(rng, machine, kinds, traits, extent, channels)
    count = int(rng.integers(1, layers + 1))
    source = draft.new_input()
    for layer in range(count):
        source = draft.add_layer(source, last=layer == count - 1)
    ranges = draft.ranges
    return Program(tuple(draft.tensors), tuple(draft.records), draft.rounding, ranges.acc_bits, ranges.window,
                   ranges.terms, draft.wrap)


class _Draft:
    """A Program in the making, with sample codes of every tensor."""

    def __init__(self, rng: np.random.Generator, machine: Machine, kinds: Collection[str], traits: Collection[str],
                 extent: int, channels: int) -> None:
        self.rng, self.machine, self.kinds, self.traits = rng, machine, kinds, traits
        self.extent, self.channels = extent, channels
        self.tensors: list[Tensor] = []
        self.records: list[Record] = []
        self.samples: dict[str, NDArray[np.int32]] = {}
        self.wrap = self.has("wrap", 0.15)
        same = self.wrap or rng.random() < 0.7
        self.ranges = Ranges(machine.acc_bits if same else int(rng.integers(14, machine.acc_bits + 1)),
                             int(rng.integers(min(4, machine.window), machine.window + 1)), self.upto(machine.terms))
        self.rounding: Rounding = machine.roundings[rng.integers(len(machine.roundings))]

    def has(self, trait: str, probability: float) -> bool:
        """Whether to use a trait now."""
        return trait in self.traits and bool(self.rng.random() < probability)

    def upto(self, most: int) -> int:
        """A number in 1..most."""
        return int(self.rng.integers(1, most + 1))

    def new_format(self) -> Format:
        """A format that engines can read."""
        fmt = Format(self.upto(self.machine.max_bits_a), "signed" if self.rng.random() < 0.5 else "unsigned")
        zero = int(self.rng.integers(fmt.low, fmt.high + 1)) if self.rng.random() < 0.6 else 0
        return Format(fmt.bits, fmt.kind, zero)

    def new_input(self) -> Tensor:
        """Add an input of the Program."""
        dense = "dense" in self.kinds or "linear" in self.kinds
        several = 2 if dense and self.has("concat", 0.2) else 1
        for _ in range(PROPOSALS):
            parts = tuple(self.upto(self.channels) for _ in range(several))
            tensor = self.new_tensor(self.upto(self.extent), self.upto(self.extent), parts, self.new_format())
            if self.holds(tensor):
                break
        return self.add_tensor(tensor)

    def new_tensor(self, height: int, width: int, parts: tuple[int, ...], fmt: Format) -> Tensor:
        """A tensor that is not yet part of the Program."""
        return Tensor(f"t{len(self.tensors)}", height, width, parts, fmt)

    def add_tensor(self, tensor: Tensor) -> Tensor:
        """Make `tensor` part of the Program, with sample codes."""
        self.tensors.append(tensor)
        self.samples[tensor.name] = corner_codes(self.rng, tensor, SAMPLES)
        return tensor

    def holds(self, tensor: Tensor) -> bool:
        """Whether four such tensors fit a column's memory."""
        machine = self.machine
        return tensor_words(tensor, machine) <= machine.region_words * (machine.act_regions // 4)

    def add_layer(self, source: Tensor, last: bool) -> Tensor:
        """Append the records that write the next tensor; the tensor."""
        legal = [k for k in self.kinds if len(source.parts) == 1 or k in ("dense", "linear", "max")]
        for _ in range(PROPOSALS):
            kind = legal[self.rng.integers(len(legal))]
            window = _random_window(self.rng, kind, source)
            target = self.new_target(kind, window, source, last)
            convs = [] if kind == "max" else [self.new_conv(kind, window, source, target, part)
                                              for part in range(len(target.parts))]
            if self.holds(target) and all(self.fits(conv, source) for conv in convs):
                break
        self.add_tensor(target)
        for conv in convs:
            wanted = kind == "add" or self.has("residual", 0.35)
            self.records.append(self.requantized(conv, source, target, wanted))
        if kind == "max":
            kernel, stride, _, pads = window
            self.records.append(Pool(f"r{len(self.records)}", source.name, target.name, kernel, stride, pads))
        return target

    def new_target(self, kind: str, window: Window, source: Tensor, last: bool) -> Tensor:
        """The output of a record of this kind."""
        (kernel, stride, dilation, (top, left, bottom, right)), parts = window, source.parts
        if kind in ("dense", "linear"):
            parts = tuple(self.upto(self.channels) for _ in range(2 if self.has("concat", 0.25) else 1))
        fmt = source.format if kind == "max" else self.new_format()
        if kind != "max" and last and self.has("wide", 0.3):
            fmt = Format(int(self.rng.integers(9, self.ranges.acc_bits)), fmt.kind)
        return self.new_tensor(out_size(source.height, top, bottom, kernel[0], stride, dilation),
                               out_size(source.width, left, right, kernel[1], stride, dilation), parts, fmt)

    def new_conv(self, kind: str, window: Window, source: Tensor, target: Tensor, part: int) -> Conv:
        """A Conv that writes one part of `target`; its requantizer is still empty."""
        outputs, low, high = target.parts[part], target.format.low, target.format.high
        kernel, stride, dilation, pads = window
        weights, fmt = self.new_weights(kind, (outputs, source.channels, *kernel))
        if self.rng.random() < 0.3:
            low = max(low, target.format.zero_point)
        elif self.rng.random() < 0.3:
            low, high = (int(code) for code in sorted(self.rng.integers(low, high + 1, 2)))
        empty = np.zeros(outputs, np.int64)
        return Conv(f"r{len(self.records) + part}", source.name, target.name, weights, fmt, no_digits(outputs), empty,
                    empty, low, high, kind not in ("dense", "linear"), stride, dilation, pads, part)

    def new_weights(self, kind: str, shape: tuple[int, int, int, int]) -> tuple[NDArray[np.int8], Format]:
        """Weight codes and their format; one channel in five holds the same extreme code everywhere."""
        if kind not in ("dense", "linear"):
            shape = (shape[0], 1, *shape[2:])
        if kind in ("average", "add"):
            return np.ones(shape, np.int8), Format(1, "unit")
        most = self.machine.max_bits_w
        weight_kind: Kind = "signed"
        if kind != "depthwise" and self.machine.bipolar and self.has("bipolar", 0.2):
            most, weight_kind = 1, "bipolar"
        elif self.has("unsigned", 0.15):
            most, weight_kind = min(7, most), "unsigned"
        fmt = Format(self.upto(most), weight_kind)
        codes = self.rng.integers(fmt.low, fmt.high + 1, shape)
        extremes = self.rng.choice([fmt.low, fmt.high], (shape[0], 1, 1, 1))
        return np.where(self.rng.random(extremes.shape) < 0.2, extremes, codes).astype(np.int8), fmt

    def fits(self, conv: Conv, source: Tensor) -> bool:
        """Whether a row tile fits the weight memory, however its taps are packed, and no sum can overflow."""
        blocks = 1 if conv.depthwise else blocks_of(source.parts, self.machine.lanes)
        words = conv.kernel[0] * conv.kernel[1] * blocks * conv.weight_format.bits
        bound = int(accumulator_bounds(conv, source.format).max())
        return words <= self.machine.weight_words and (self.wrap or bound < 1 << (self.ranges.acc_bits - 1))

    def requantized(self, conv: Conv, source: Tensor, target: Tensor, wants_residual: bool) -> Conv:
        """`conv` with a requantizer that suits the sums of the samples, and a residual if wanted."""
        sums = accumulate(conv, source, self.samples[source.name]).astype(np.int64)
        wrapped = np.array([wrap(int(value), self.ranges.acc_bits) for value in sums.flat]).reshape(sums.shape)
        codes = None
        if wants_residual:
            other, part = self.residual(conv, source, target)
            conv = replace(conv, residual=other.name, residual_part=part)
            codes = _by_channel(self.samples[other.name][:, other.part_slice(part)].astype(np.int64))
        multiplier, residual_multiplier, shift, offset = random_requantizer(
            self.rng, _by_channel(wrapped), codes, target.format, self.ranges)
        if codes is None:
            residual_multiplier = conv.residual_multiplier
        return replace(conv, multiplier=multiplier, residual_multiplier=residual_multiplier, shift=shift, offset=offset)

    def residual(self, conv: Conv, source: Tensor, target: Tensor) -> tuple[Tensor, int]:
        """A part that can be added to the output of `conv`: an earlier one, or else one of a new input."""
        size = target.height, target.width
        found = [(tensor, part) for tensor in self.tensors if tensor not in (source, target)
                 and (tensor.height, tensor.width) == size and tensor.format.bits <= self.machine.max_bits_a
                 for part, channels in enumerate(tensor.parts) if channels == conv.channels]
        if found:
            return found[self.rng.integers(len(found))]
        parts: tuple[int, ...] = (conv.channels,)
        if self.has("concat", 0.2):
            parts = (self.upto(self.channels), conv.channels)
        return self.add_tensor(self.new_tensor(*size, parts, self.new_format())), len(parts) - 1


def _random_window(rng: np.random.Generator, kind: str, source: Tensor) -> Window:
    """Kernel, stride, dilation and pads of a record whose output has at least one pixel."""
    size = source.height, source.width
    if kind == "linear" or (kind == "average" and rng.random() < 0.4):
        return size, 1, 1, (0, 0, 0, 0)
    if kind == "add":
        return (1, 1), 1, 1, (0, 0, 0, 0)
    while True:
        kernel, stride = (int(rng.integers(1, 4)), int(rng.integers(1, 4))), int(rng.integers(1, 4))
        dilation = int(rng.integers(1, 3)) if kind in ("dense", "depthwise") else 1
        most = min(kernel) - 1 if kind == "max" else 2
        top, left, bottom, right = (int(pad) for pad in rng.integers(0, most + 1, 4) * (rng.random() < 0.7))
        if (out_size(size[0], top, bottom, kernel[0], stride, dilation) >= 1
                and out_size(size[1], left, right, kernel[1], stride, dilation) >= 1):
            return kernel, stride, dilation, (top, left, bottom, right)


def _by_channel(maps: NDArray[np.int64]) -> NDArray[np.int64]:
    """(N, channels, H, W) as (channels, samples)."""
    return maps.swapaxes(0, 1).reshape(maps.shape[1], -1)
