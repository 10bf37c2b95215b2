"""Values as maps of channels, rows and columns, whatever views their layouts have gone through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor, fx

from quant.emit.builder import Builder, Stored
from quant.graph.graph import Node
from quant.graph.layout import ZERO, Layout, Picked, Pointwise
from sim.errors import InputError
from sim.ir.ops import Pads

__all__ = ["Frame", "channels_along", "frame_of", "is_framed", "is_part", "moved", "picked_in", "select",
           "stored_order", "whole"]

MOST_PARTS = 16
"""Of a stored map that are put beside each other."""


@dataclass(frozen=True)
class Frame:
    """A value that a window slides over.

    Attributes
    ----------
    node : fx.Node
        Makes a map (n, C, H, W).
    channels : tuple of int
        The stored channel of each channel of the value: all of them, in some order.
    swapped : bool
        Whether the value's rows are stored as columns and its columns as rows.
    size : (height, width)
        Of the stored map.
    pads : (top, left, bottom, right)
        Zeros around it that are still to come.
    rank : int
        Axes of an image of the value: 2 for a sequence, whose places are rows.
    """

    node: fx.Node
    channels: tuple[int, ...]
    swapped: bool
    size: tuple[int, int]
    pads: Pads
    rank: int

    @property
    def is_shuffled(self) -> bool:
        """Whether channels are stored in another order."""
        return self.channels != tuple(range(len(self.channels)))

    def along(self, one: int, other: int) -> tuple[int, int]:
        """Return two numbers of a window, which belong to rows and columns of the value, as those of the stored map."""
        return (other, one) if self.swapped else (one, other)

    def pair(self, numbers: Sequence[int], missing: int) -> tuple[int, int]:
        """Return the numbers of a window's axes as those of the stored map; sequences have none for the columns."""
        one, other = (*numbers, missing)[:2]
        return self.along(one, other)

    def made(self, node: fx.Node, channels: Sequence[int], size: tuple[int, int]) -> Stored:
        """Return the value of this frame's kind that `node` makes, with its stored channels and size."""
        area = size[0] * size[1]
        places = np.asarray(channels)[:, None, None] * area + np.arange(area).reshape(size)
        layout = Layout((len(channels), *size), places)
        layout = layout.transposed((0, 2, 1)) if self.swapped else layout
        return Stored(node, layout if self.rank == 3 else layout.reshaped(layout.shape[:self.rank]))


def frame_of(builder: Builder, node: Node, value: Stored, pads: Sequence[tuple[int, int]] = ()) -> Frame:
    """Return a sequence or map, with zeros around it, as a frame; a part of a stored map is picked first.

    Raises
    ------
    InputError
        If its channels, rows and columns are not those of a stored map.
    """
    around, rank = (*pads, *[(0, 0)] * 3)[:2], len(value.layout.shape)
    if rank > 3:
        raise InputError(f"{node.operator.title} {node.place} slides along {rank - 1} axes; the machine has rows and "
                         "columns")
    value = Stored(value.node, _as_map(value.layout), value.flat)
    value = _beside(builder, value) or value
    picked, swapped = picked_in(value.layout.padded(((0, 0), *around)), node)
    every = tuple(range(value.layout.stored[0]))
    if tuple(sorted(picked.channels)) == every:
        part, channels = replace(picked, channels=every), picked.channels
    else:
        part, channels = picked, tuple(range(len(picked.channels)))
    made = select(builder, value, replace(part, pads=(0, 0, 0, 0)))
    return Frame(made, channels, swapped, (len(picked.rows), len(picked.columns)), picked.pads, rank)


def is_framed(layout: Layout) -> bool:
    """Return whether a sequence or map has the channels, rows and columns of what is stored, all of them."""
    if len(layout.shape) > 3:
        return False
    found = _as_map(layout)
    return any((found.transposed((0, 2, 1)) if swapped else found).picked() is not None for swapped in (False, True))


def is_part(layout: Layout) -> bool:
    """Return whether a value has every number of a part of what is stored, or of all of it, once and no others."""
    return layout.is_whole or _without_zeros(layout) is not None


def whole(builder: Builder, node: Node, value: Stored) -> Stored:
    """Return a value that has every number of what is stored once, a part as a tensor of its own.

    Raises
    ------
    InputError
        If it is no such part.
    """
    if value.layout.is_whole:
        return value
    if (rest := _without_zeros(value.layout)) is not None:
        picked, layout = rest
        return Stored(select(builder, value, picked), layout)
    if len(value.layout.shape) > 3:
        raise moved(node)
    picked, swapped = picked_in(_as_map(value.layout), node)
    top, left, bottom, right = picked.pads
    size = top + len(picked.rows) + bottom, left + len(picked.columns) + right
    frame = Frame(value.node, (), swapped, size, (0, 0, 0, 0), 3)
    layout = frame.made(value.node, range(len(picked.channels)), size).layout
    return Stored(select(builder, value, picked), layout.reshaped(value.layout.shape))


def channels_along(builder: Builder, node: Node, value: Stored, axis: int) -> tuple[Stored, Pointwise]:
    """Return a value whose image has channels along `axis` and pixels along the others, and which they are.

    Raises
    ------
    InputError
        If it has not.
    """
    value = whole(builder, node, value)
    found = value.layout.pointwise(axis)
    if found is None:
        raise InputError(f"{node.operator.title} {node.place} takes axis {axis + 1} of a value of shape "
                         f"{builder.shapes[node.inputs[0]]} for channels, which is not stored as channels; flatten "
                         "images to rows first, or have the channels there")
    return value, found


def stored_order(numbers: Tensor, channels: Sequence[int], axis: int = 0) -> Tensor:
    """Return numbers of a value's channels in the order in which these are stored."""
    back = sorted(range(len(channels)), key=channels.__getitem__)
    return numbers if back == list(range(len(back))) else numbers.index_select(
        axis, numbers.new_tensor(back, dtype=int))  # type: ignore[arg-type]


def select(builder: Builder, value: Stored, picked: Picked) -> fx.Node:
    """Return the node that makes a part of what is stored, as a map."""
    node, (count, height, width) = builder.as_map(value), value.layout.stored
    channels = None if picked.channels == tuple(range(count)) else picked.channels
    rows = None if picked.rows == range(height) else picked.rows
    columns = None if picked.columns == range(width) else picked.columns
    if (channels, rows, columns) == (None, None, None) and not any(picked.pads):
        return node
    if any(picked.pads) and (rows, columns) != (None, None):
        node = builder.select(node, channels, rows, columns)
        return builder.select(node, None, None, None, picked.pads)
    return builder.select(node, channels, rows, columns, picked.pads)


def picked_in(layout: Layout, node: Node) -> tuple[Picked, bool]:
    """Return the part of a stored map that a value (C, H, W) is, and whether its rows are columns there.

    Raises
    ------
    InputError
        If it is no part.
    """
    for swapped in (False, True):
        picked = (layout.transposed((0, 2, 1)) if swapped else layout).picked()
        if picked is not None:
            return picked, swapped
    raise moved(node)


def moved(node: Node) -> InputError:
    """Return the refusal of a node that reads numbers elsewhere than they are stored."""
    return InputError(f"{node.operator.title} {node.place} reads a value whose axes were reshaped, exchanged, or "
                      "joined other than along channels; the machine does not move numbers between channels, rows and "
                      "columns")


def _beside(builder: Builder, value: Stored) -> Stored | None:
    """Return a map (C, H, W) whose channels are different parts of what is stored, such as every second row and the
    rows between them, as these parts beside each other; None if it is one part, or something else.
    """
    layout = value.layout
    if layout.picked() is not None or layout.transposed((0, 2, 1)).picked() is not None:
        return None
    parts: dict[tuple[range, range, Pads], list[int]] = {}
    stored = []
    for channel, places in enumerate(layout.places):
        picked = Layout(layout.stored, places[None]).picked()
        if picked is None:
            return None
        stored.append(picked.channels[0])
        parts.setdefault((picked.rows, picked.columns, picked.pads), []).append(channel)
    if len(parts) > MOST_PARTS:
        return None
    nodes = [select(builder, value, Picked(tuple(stored[channel] for channel in channels), rows, columns, pads))
             for (rows, columns, pads), channels in parts.items()]
    order = [channel for channels in parts.values() for channel in channels]
    map_ = Layout.in_order(layout.shape)
    return Stored(builder.cat(nodes), map_.taken(0, sorted(range(len(order)), key=order.__getitem__)))


def _as_map(layout: Layout) -> Layout:
    return layout.reshaped((*layout.shape, 1, 1)[:3])


def _without_zeros(layout: Layout) -> tuple[Picked, Layout] | None:
    """Return the smallest part of a stored map that has the numbers of a value, if it has no others, and the value's
    layout in it.
    """
    used, places = np.unique(layout.places, return_inverse=True)
    if used[0] == ZERO or len(used) != layout.places.size:
        return None
    area, width = layout.stored[1] * layout.stored[2], layout.stored[2]
    channels, rows, columns = (np.unique(part) for part in (used // area, used % area // width, used % width))
    if len(channels) * len(rows) * len(columns) != len(used):
        return None
    ranges = [range(int(part[0]), int(part[-1]) + 1, int(part[1] - part[0]) if len(part) > 1 else 1)
              for part in (rows, columns)]
    if any(len(found) != len(part) for found, part in zip(ranges, (rows, columns), strict=True)):
        return None
    picked = Picked(tuple(map(int, channels)), ranges[0], ranges[1], (0, 0, 0, 0))
    return picked, Layout((len(channels), len(rows), len(columns)), places.reshape(layout.shape))
