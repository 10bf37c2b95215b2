"""Where the numbers of a value lie in a stored map (C, H, W): views move them without computing anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

__all__ = ["ZERO", "Layout", "Picked", "Pointwise", "stored_shape"]

ZERO = -1
"""Place of a number that is stored nowhere, because it is 0."""

Places = NDArray[np.int64]


@dataclass(frozen=True)
class Picked:
    """A part of a stored map, with zeros around it.

    Attributes
    ----------
    channels : tuple of int
        For each channel of the part the stored one that it is, or `ZERO`.
    rows, columns : range
        Of the stored map, rising.
    pads : (top, left, bottom, right)
        Zeros around what was picked [pixels].
    """

    channels: tuple[int, ...]
    rows: range
    columns: range
    pads: tuple[int, int, int, int]


@dataclass(frozen=True, eq=False)
class Pointwise:
    """A value of which one axis is the channels and the other axes together are the pixels.

    Attributes
    ----------
    channels : tuple of int
        The stored channel of each place of the axis.
    pixels : int64 array, the value's shape without the axis
        The stored pixel, row * width + column.
    """

    channels: tuple[int, ...]
    pixels: Places


def stored_shape(shape: Sequence[int]) -> tuple[int, int, int]:
    """Return the map in which a value is stored whose image has this shape: a row is channels, a sequence a column.

    >>> stored_shape((10,)), stored_shape((40, 101)), stored_shape((3, 8, 8))
    ((10, 1, 1), (40, 101, 1), (3, 8, 8))
    """
    first, second, third = (*shape, 1, 1, 1)[:3] if len(shape) <= 3 else (shape[0], shape[1], prod(shape[2:]))
    return first, second, third


@dataclass(frozen=True, eq=False)
class Layout:
    """Where each number of one image of a value is stored.

    Attributes
    ----------
    stored : (channels, height, width)
        The map that holds them.
    places : int64 array, the value's shape
        (channel * height + row) * width + column, or `ZERO`.
    """

    stored: tuple[int, int, int]
    places: Places

    @classmethod
    def in_order(cls, shape: Sequence[int], stored: tuple[int, int, int] | None = None) -> Layout:
        """Return the layout of a value whose numbers are stored in its own order, in a map of its own shape if none is
        given.
        """
        return cls(stored or stored_shape(shape), np.arange(prod(shape)).reshape(shape))

    @classmethod
    def by_channels(cls, found: Pointwise, axis: int, stored: tuple[int, int, int]) -> Layout:
        """Return the layout of a value like `found` whose `axis` counts the channels of a map of the same pixels."""
        channels = np.asarray(found.channels).reshape(-1, *[1] * found.pixels.ndim)
        return cls(stored, np.moveaxis(channels * (stored[1] * stored[2]) + found.pixels, 0, axis))

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one image of the value."""
        return self.places.shape

    @property
    def is_in_order(self) -> bool:
        """Whether the value has all stored numbers, in their order."""
        return self._fits(self.places.ravel())

    @property
    def is_whole(self) -> bool:
        """Whether the value has every stored number once and nothing else."""
        return self._fits(np.sort(self.places, None))

    def _fits(self, places: Places) -> bool:
        return places.size == prod(self.stored) and bool((places == np.arange(places.size)).all())

    def reshaped(self, shape: Sequence[int]) -> Layout:
        """Return the layout of the value in another shape."""
        return Layout(self.stored, self.places.reshape(shape))

    def transposed(self, order: Sequence[int]) -> Layout:
        """Return the layout with the axes of an image in another order."""
        return Layout(self.stored, self.places.transpose(order))

    def taken(self, axis: int, indices: Sequence[int]) -> Layout:
        """Return the layout of some places of an axis."""
        return Layout(self.stored, self.places.take(np.asarray(indices), axis))

    def padded(self, pads: Sequence[tuple[int, int]]) -> Layout:
        """Return the layout with zeros around the axes; negative pads cut."""
        cut = tuple(slice(max(0, -before), size - max(0, -after))
                    for size, (before, after) in zip(self.shape, pads, strict=True))
        around = [(max(0, before), max(0, after)) for before, after in pads]
        return Layout(self.stored, np.pad(self.places[cut], around, constant_values=ZERO))

    def beside(self, others: Sequence[Layout], axis: int) -> Layout:
        """Return the layout of this value and others joined along an axis, their maps joined along the channels."""
        parts, channels = [self.places], self.stored[0]
        for other in others:
            start = channels * prod(self.stored[1:])
            parts.append(np.where(other.places == ZERO, ZERO, other.places + start))
            channels += other.stored[0]
        return Layout((channels, *self.stored[1:]), np.concatenate(parts, axis))

    def seen_from(self, other: Layout) -> Layout:
        """Return which of this value's numbers belongs to each number that `other`, which is whole, stores."""
        places = np.empty(other.places.size, np.int64)
        places[other.places.ravel()] = self.places.ravel()
        return Layout(self.stored, places.reshape(other.stored))

    def pointwise(self, axis: int) -> Pointwise | None:
        """Return channels and pixels if `axis` counts channels and the other axes together every pixel once."""
        moved = np.moveaxis(self.places, axis, 0)
        area = self.stored[1] * self.stored[2]
        channels, pixels = moved.reshape(len(moved), -1)[:, 0] // area, moved[0] % area
        found = Pointwise(tuple(map(int, channels)), pixels)
        same = np.array_equal(Layout.by_channels(found, axis, self.stored).places, self.places)
        every = np.array_equal(np.sort(pixels, None), np.arange(area))
        return found if same and every and int(moved.min()) != ZERO else None

    def picked(self) -> Picked | None:
        """Return which channels, rows and columns a value (C, H, W) has, if it is such a part, padded."""
        area, width = self.stored[1] * self.stored[2], self.stored[2]
        ends = [self.places.max(tuple(other for other in range(3) if other != axis)) for axis in range(3)]
        channels = np.where(ends[0] == ZERO, ZERO, ends[0] // area)
        rows = np.where(ends[1] == ZERO, ZERO, ends[1] % area // width)
        columns = np.where(ends[2] == ZERO, ZERO, ends[2] % width)
        c, h, w = channels[:, None, None], rows[None, :, None], columns[None, None, :]
        expected = np.where((c == ZERO) | (h == ZERO) | (w == ZERO), ZERO, c * area + h * width + w)
        vertical, horizontal = _range(rows), _range(columns)
        if vertical is None or horizontal is None or not np.array_equal(expected, self.places):
            return None
        (top, height, bottom), (left, breadth, right) = vertical, horizontal
        return Picked(tuple(map(int, channels)), height, breadth, (top, left, bottom, right))


def _range(places: Places) -> tuple[int, range, int] | None:
    """Return how many zeros stand before a rising range of places, the range, and how many stand after it."""
    filled = np.flatnonzero(places != ZERO)
    if not len(filled):
        return None
    first, last = int(filled[0]), int(filled[-1])
    found = places[first:last + 1]
    step = int(found[1] - found[0]) if len(found) > 1 else 1
    rising = step > 0 and np.array_equal(found, found[0] + step * np.arange(len(found)))
    stop = int(found[-1]) + 1
    return (first, range(int(found[0]), stop, step), len(places) - last - 1) if rising else None
