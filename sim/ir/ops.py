"""What a Program is made of: tensors, and the ops that write them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from functools import cached_property
from itertools import accumulate
from math import prod
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from sim.errors import InputError
from sim.io.bounds import MAX_CODES, MAX_EXTENT, check_name, check_range, shown
from sim.ir.formats import Format
from sim.ir.signed_digits import Digits, digit_counts

__all__ = [
    "Conv",
    "Layer",
    "Load",
    "Op",
    "Pads",
    "Pool",
    "Store",
    "Tensor",
    "Transfer",
    "accumulator_bounds",
    "chip_tensors",
    "out_size",
    "reads",
    "writes",
]

Pads = tuple[int, int, int, int]
"""(top, left, bottom, right)."""


def out_size(size: int, before: int, after: int, kernel: int, stride: int, dilation: int = 1) -> int:
    """Output extent of a sliding window along one axis (floor mode).

    >>> out_size(8, 1, 1, 3, 2)
    4
    """
    return (size + before + after - dilation * (kernel - 1) - 1) // stride + 1


@dataclass(frozen=True)
class Tensor:
    """A map of codes, shape (channels, height, width).

    Parameters
    ----------
    name : str
        As `sim.io.bounds.name_fault` allows.
    height, width : int, 1..MAX_EXTENT
    parts : tuple of int
        Channel counts of the pieces that different ops write (concatenation), 1..MAX_EXTENT together; one piece is
        the usual case.
    format : Format
        Unsigned or signed; every part shares it.

    Raises
    ------
    InputError
        If one of these is not so, or there are more than MAX_CODES codes (`sim.io.bounds`).
    """

    name: str
    height: int
    width: int
    parts: tuple[int, ...]
    format: Format

    def __post_init__(self) -> None:
        check_name(self.name, "a tensor's name")
        where = f"tensor '{self.name}'"
        for what, value in (("height", self.height), ("width", self.width), *(("part", p) for p in self.parts)):
            check_range(value, 1, MAX_EXTENT, f"{where}: {what}")
        if not self.parts:
            raise InputError(f"{where}: needs at least one part")
        check_range(self.channels, 1, MAX_EXTENT, f"{where}: channels of all parts together")
        if self.format.kind not in ("unsigned", "signed"):
            raise InputError(f"{where}: activations are unsigned or signed, not {self.format.kind}")
        codes = prod(map(int, self.shape))
        if codes > MAX_CODES:
            raise InputError(f"{where}: must have at most {MAX_CODES} codes, not {codes} in {shown(self.shape)}")

    @cached_property
    def channels(self) -> int:
        """Channels of all parts together."""
        return sum(self.parts)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return self.channels, self.height, self.width

    @cached_property
    def _starts(self) -> tuple[int, ...]:
        """First channel of every part."""
        return 0, *accumulate(self.parts)

    def part_slice(self, part: int) -> slice:
        """Channels of one part."""
        return slice(self._starts[part], self._starts[part] + self.parts[part])


@dataclass(frozen=True, eq=False)
class Conv:
    """A convolution with its requantizer; also Linear, average pooling, add and copy (`unit` weights).

    It keeps contiguous copies of its arrays that nobody can write to, so that what a Program has checked stays true.

    Parameters
    ----------
    name : str
        Layer name; unique in a Program.
    input, output : str
        Tensor names. The input is read whole; the op writes `output_part` of the output.
    weights : int8 array, shape (O, C / groups, kh, kw)
        Codes of `weight_format`; C / groups of them per output channel and tap. Bipolar codes are the stored bits 0
        and 1.
    weight_format : Format
        Zero point 0.
    multiplier : Digits, shape (O, T)
        M of the requantizer.
    shift : int64 array, shape (O,)
        n of the requantizer [bits].
    offset : int64 array, shape (O,)
        Everything constant: bias, zero points, the residual's zero point.
    low, high : int
        Clamp, codes of the output format (an activation fused in).
    groups : int
        1, or O = C: output channel o then reads input channel o alone.
    stride, dilation : int
        For both axes.
    pads : (top, left, bottom, right)
        Padded positions hold the zero point of the input.
    residual : str or None
        Tensor added in the requantizer, part `residual_part` of it, as many channels as the output part.
    residual_multiplier : Digits, shape (O, Tr)
        R of the requantizer; no columns without a residual.
    prefer_depthwise : bool
        A layer of one channel is dense and depthwise at once; this one takes the machine's way for depthwise layers.
    """

    name: str
    input: str
    output: str
    weights: NDArray[np.int8]
    weight_format: Format
    multiplier: Digits
    shift: NDArray[np.int64]
    offset: NDArray[np.int64]
    low: int
    high: int
    groups: int = 1
    stride: int = 1
    dilation: int = 1
    pads: Pads = (0, 0, 0, 0)
    output_part: int = 0
    residual: str | None = None
    residual_part: int = 0
    residual_multiplier: Digits = field(default_factory=lambda: np.zeros((0, 0), np.int8))
    prefer_depthwise: bool = False

    def __post_init__(self) -> None:
        for name, value in list(vars(self).items()):
            if isinstance(value, np.ndarray):
                own = value.copy()
                own.flags.writeable = False
                object.__setattr__(self, name, own)

    def __reduce__(self) -> tuple[type[Conv], tuple[Any, ...]]:
        """Pickled or copied, it is made anew, so that its arrays stay unwritable."""
        return Conv, tuple(getattr(self, item.name) for item in fields(self))

    @property
    def channels(self) -> int:
        """Output channels O."""
        return int(self.weights.shape[0])

    @property
    def depthwise(self) -> bool:
        """Whether it takes the machine's way for layers whose output channels read one input channel each."""
        return self.groups > 1 or self.prefer_depthwise or self.weight_format.kind == "unit"

    @property
    def kernel(self) -> tuple[int, int]:
        """(kh, kw)."""
        return int(self.weights.shape[2]), int(self.weights.shape[3])

    @property
    def weight_values(self) -> NDArray[np.int64]:
        """What the weight codes mean: bipolar bits become -1 and +1."""
        codes = self.weights.astype(np.int64)
        return 2 * codes - 1 if self.weight_format.kind == "bipolar" else codes

    @property
    def terms(self) -> int:
        """T: the most digits any channel's M has, at least 1 [cycles per output]."""
        return max(1, int(digit_counts(self.multiplier).max(initial=0)))

    @property
    def residual_terms(self) -> int:
        """Tr: the most digits any channel's R has; 0 without a residual [cycles per output]."""
        return int(digit_counts(self.residual_multiplier).max(initial=0)) if self.residual else 0


@dataclass(frozen=True)
class Pool:
    """Max pooling on codes; padded positions never win. Input and output share parts and format.

    Parameters
    ----------
    name, input, output : str
    kernel : (kh, kw)
    stride : int
    pads : (top, left, bottom, right)
        Each smaller than the kernel along its axis.
    """

    name: str
    input: str
    output: str
    kernel: tuple[int, int]
    stride: int = 1
    pads: Pads = (0, 0, 0, 0)


@dataclass(frozen=True)
class Load:
    """Rows of a tensor in the host's memory become a tensor on chip, code for code.

    A tensor may have a place in the host's memory, on chip, or both. `Load("l", "x", "x")` gives tensor x, which lies
    in the host's memory, its place on chip.

    Parameters
    ----------
    name : str
    input : str
        In the host's memory: an input of the Program, or written by Stores.
    output : str
        On chip; parts, width and format of the input.
    first_row : int
        Row 0 of the output is this row of the input.
    """

    name: str
    input: str
    output: str
    first_row: int = 0


@dataclass(frozen=True)
class Store:
    """A tensor on chip goes to rows of a tensor in the host's memory, code for code.

    Parameters
    ----------
    name : str
    input : str
        On chip, written by Conv or Pool.
    output : str
        In the host's memory; width and format of the input. `Store("s", "x", "x")` gives x its place there.
    first_row : int
        Row 0 of the input goes to this row of the output.
    output_part : int or None
        The part of the output that is written, by an input of this one part; None: all, by an input of equal parts.
    """

    name: str
    input: str
    output: str
    first_row: int = 0
    output_part: int | None = None


Layer = Conv | Pool
"""What computes."""
Transfer = Load | Store
"""What moves a tensor between the host's memory and the chip."""
Op = Layer | Transfer


def reads(op: Op) -> Iterator[str]:
    """Names of the tensors that an op reads; a tensor that changes its place alone is neither read nor written."""
    match op:
        case Conv():
            yield op.input
            if op.residual is not None:
                yield op.residual
        case Pool():
            yield op.input
        case Load() | Store():
            if op.input != op.output:
                yield op.input
        case _:
            assert_never(op)


def writes(op: Op) -> str | None:
    """Name of the tensor that an op writes, None for a tensor that changes its place alone."""
    match op:
        case Conv() | Pool():
            return op.output
        case Load() | Store():
            return op.output if op.input != op.output else None
        case _:
            assert_never(op)


def chip_tensors(op: Op) -> tuple[str, ...]:
    """Names of the tensors whose place on chip an op uses."""
    match op:
        case Conv() | Pool():
            return *reads(op), op.output
        case Load():
            return (op.output,)
        case Store():
            return (op.input,)
        case _:
            assert_never(op)


def accumulator_bounds(conv: Conv, input_format: Format) -> NDArray[np.int64]:
    """Largest |sum| that any order of accumulation can reach, per output channel.

    Sum of |w| * A with A the largest absolute code of the input, padding included; bipolar layers accumulate stored
    bits beside a reference sum of ones, so there every |w| counts 1.
    """
    if conv.weight_format.kind == "bipolar":
        sums = np.full(conv.channels, prod(conv.weights.shape[1:]), np.int64)
    else:
        sums = np.abs(conv.weights, dtype=np.int16).sum(axis=(1, 2, 3), dtype=np.int64)
    return np.asarray(sums * input_format.magnitude, np.int64)
