"""Recompute what a Conv makes of the codes of a run, step by step: sums, requantizer, clamp."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sim.functional.one_op import Requantizer
from sim.functional.reference import accumulate, requantized
from sim.ir.formats import Format
from sim.ir.ops import Conv, accumulator_bounds
from sim.ir.program import Program
from sim.ir.signed_digits import multipliers

__all__ = ["ConvValues", "conv_values", "top_plane"]

Integers = NDArray[np.int64]

EXACT = 1 << 31
"""Sums below this in magnitude are known exactly."""


def top_plane(codes: NDArray[np.integer], fmt: Format) -> NDArray[np.bool_]:
    """Tell where the highest bit of a code is 1, which is the sign of signed ones.

    >>> top_plane(np.array([0, 3, 4, 7]), Format(3, "unsigned")), top_plane(np.array([-4, 3]), Format(3, "signed"))
    (array([False, False,  True,  True]), array([ True, False]))
    """
    return np.asarray(codes < 0 if fmt.kind == "signed" else codes >> (fmt.bits - 1) != 0)


@dataclass(frozen=True, eq=False)
class ConvValues:
    """The numbers of a Conv in a run.

    Attributes
    ----------
    program : Program
    conv : Conv
    codes : int32 array, shape (N, C, H, W)
        It read.
    residual : int64 array, shape (N, O, height, width of the output)
        Codes that were added; zeros without one.
    requantized : int32 array, shape (N, O, height, width of the output)
        Codes that the requantizer gave, before a table.
    """

    program: Program
    conv: Conv
    codes: NDArray[np.int32]
    residual: Integers
    requantized: NDArray[np.int32]

    @cached_property
    def sums(self) -> Integers:
        """Sums before they wrap, shape (N, O, height, width); modulo 2**32 where they may be beyond 32 bits."""
        source = self.program.tensor(self.conv.input)
        return accumulate(self.conv, source, self.codes).astype(np.int64)

    @cached_property
    def wrapped(self) -> Integers:
        """The sums as the accumulators held them."""
        half = 1 << (self.program.arithmetic.acc_bits - 1)
        return np.asarray((self.sums + half) % (2 * half) - half, np.int64)

    @property
    def exact(self) -> bool:
        """True if `sums` are the sums themselves."""
        return int(accumulator_bounds(self.conv, self.program.tensor(self.conv.input).format).max()) < EXACT

    @cached_property
    def requantizer(self) -> Requantizer:
        """The requantizer of the op, before its table if it ends in one."""
        conv = self.conv
        clamped = conv.requantized_format(self.program.tensor(conv.output).format)
        return Requantizer(multipliers(conv.multiplier), conv.shift, conv.offset, conv.low, conv.high,
                           clamped.zero_point, self.program.arithmetic.rounding, self.residual_multipliers,
                           0 if conv.gate is None else 1 << conv.gate)

    @cached_property
    def totals(self) -> Integers:
        """v = offset + M * sum + R * r + (sum * r << g)."""
        return self.requantizer.totals(self.wrapped, self.residual)

    @cached_property
    def residual_multipliers(self) -> Integers:
        """R of every channel."""
        if self.conv.residual is None:
            return np.zeros(self.conv.channels, np.int64)
        return multipliers(self.conv.residual_multiplier)

    @cached_property
    def ties(self) -> NDArray[np.bool_]:
        """True where v lies in the middle of two codes."""
        return self.requantizer.ties(self.wrapped, self.residual)

    @cached_property
    def floors(self) -> Integers:
        """v / 2**n, rounded down."""
        return self.requantizer.floors(self.wrapped, self.residual)

    @cached_property
    def below(self) -> NDArray[np.bool_]:
        """True where the clamp certainly raised a code, however v was rounded."""
        return self.requantizer.below(self.wrapped, self.residual)

    @cached_property
    def above(self) -> NDArray[np.bool_]:
        """True where the clamp certainly lowered a code."""
        return self.requantizer.above(self.wrapped, self.residual)


def conv_values(program: Program, conv: Conv, codes: Mapping[str, NDArray[np.int32]]) -> ConvValues:
    """Return the numbers of a Conv, given the codes of all tensors."""
    read, size = codes[conv.input], conv.map_size(program.tensor(conv.input))
    if conv.residual is None:
        residual = np.zeros((len(read), conv.channels, *size), np.int64)
    else:
        part = program.tensor(conv.residual).part_slice(conv.residual_part)
        shape = len(read), conv.channels, *size
        residual = np.broadcast_to(codes[conv.residual][:, part], shape).astype(np.int64)
    return ConvValues(program, conv, read, residual, requantized(program, conv, codes))

