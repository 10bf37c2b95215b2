"""Faults after the requantizer: codes that reach other channels, pixels or planes than their own."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bitwright.divergence.conv_run import Array, in_format
from bitwright.divergence.hypothesis import Hypothesis
from sim.arch.machine import Machine
from sim.ir.formats import Format

__all__ = ["output_faults"]


def output_faults(expected: Array, fmt: Format, machine: Machine) -> Iterator[Hypothesis]:
    """Yield codes that are right but not where they belong.

    Parameters
    ----------
    expected : int64 array, shape (N, O, rows, columns)
        What the op should write.
    fmt : Format
        Of the output.
    machine : Machine
    """
    yield from _channel_order(expected, machine)
    yield from _pixel_order(expected, machine)
    yield from _planes(expected, fmt)


def _channel_order(expected: Array, machine: Machine) -> Iterator[Hypothesis]:
    """Yield permutations of the rows of a row tile; a row without a channel gives what nothing is known of."""
    channels, rows, per_unit = np.arange(expected.shape[1]), machine.rows, machine.rows // machine.requantizers
    tile, row = channels - channels % rows, channels % rows
    orders = {"rows r and r ^ 1 exchanged": row ^ 1, "rows of a tile in reverse order": rows - 1 - row,
              "rows of a requantizer in reverse order": row // per_unit * per_unit + per_unit - 1 - row % per_unit,
              "requantizers in reverse order": (machine.requantizers - 1 - row // per_unit) * per_unit + row % per_unit,
              "rows one further": (row + 1) % rows, "rows one earlier": (row - 1) % rows}
    for text, order in orders.items():
        source = tile + order
        there = source < expected.shape[1]
        codes = expected[:, np.where(there, source, 0)]
        if there.all():
            yield Hypothesis("channel order", text, codes)
        else:
            yield Hypothesis("channel order", text, np.where(there[None, :, None, None], codes, expected))
    for by in (rows, -rows):
        yield Hypothesis("channel order", f"row tile {'before' if by > 0 else 'after'}", np.roll(expected, by, 1))


def _pixel_order(expected: Array, machine: Machine) -> Iterator[Hypothesis]:
    for axis, by, text in ((3, 1, "pixel before"), (3, -1, "pixel after"), (2, 1, "row before"), (2, -1, "row after"),
                           (2, machine.columns, "row group before"), (2, -machine.columns, "row group after")):
        yield Hypothesis("pixel order", f"that of the {text}", np.roll(expected, by, axis))
    flat = expected.reshape(*expected.shape[:2], -1)
    yield Hypothesis("pixel order", "pixels in reverse order", flat[..., ::-1].reshape(expected.shape))


def _planes(expected: Array, fmt: Format) -> Iterator[Hypothesis]:
    """Yield codes of which a plane is lost, set, inverted or another one."""
    for bit in range(fmt.bits):
        for text, codes in (("lost", expected & ~(1 << bit)), ("all ones", expected | (1 << bit)),
                            ("inverted", expected ^ (1 << bit))):
            yield Hypothesis("output planes", f"plane {bit} {text}", in_format(codes, fmt))
    for by in (-1, 1):
        moved = expected << 1 if by > 0 else (expected & ((1 << fmt.bits) - 1)) >> 1
        where = "above" if by > 0 else "below"
        yield Hypothesis("output planes", f"written {where} their place", in_format(moved, fmt))
    yield Hypothesis("output planes", "all zeros", np.zeros_like(expected))
