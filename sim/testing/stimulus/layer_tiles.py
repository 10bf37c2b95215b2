"""Cut layers that are too large to run whole: some rows and channels of an op, as a separate Program.

What a tile computes is a part of what the op computes, code for code, so one simulation of the whole network tells
what every tile must give.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sim.ir.ops import Conv, Layer, Pads, Tensor
from sim.ir.program import Program

__all__ = ["Tile", "crop"]


@dataclass(frozen=True)
class Tile:
    """Part of an op.

    Attributes
    ----------
    program : Program
        One op, named after the whole one.
    inputs : dict of str to int32 array, shape (1, channels, height, width)
    output : int32 array, shape (channels, height, width)
        What it must give.
    """

    program: Program
    inputs: dict[str, NDArray[np.int32]]
    output: NDArray[np.int32]


def crop(program: Program, op: Layer, codes: Mapping[str, NDArray[np.int32]], rows: range,
         channels: range) -> Tile:
    """Cut the tile of an op that makes some rows and channels of its output.

    Parameters
    ----------
    program : Program
    op : Conv or Pool
        Of the Program.
    codes : mapping of str to int32 array, shape (1, channels, height, width)
        All tensors.
    rows, channels : range
        Of the op's own map, channels counted in its output part; a pool has one part.

    Raises
    ------
    InputError
        If the rows read nothing but padding: a tensor has at least one row.
    """
    source, target = program.tensor(op.input), program.tensor(op.output)
    first, pads = _rows_read(op, rows, source.height)
    of_input, of_output = slice(0, source.channels), slice(channels.start, channels.stop)
    read = source.run_slice(op.input_parts).start
    tensors = {}
    part: Layer
    if isinstance(op, Conv):
        shift = target.part_slice(op.output_part).start
        of_output = slice(shift + channels.start, shift + channels.stop)
        if op.depthwise:
            of_input = slice(read + channels.start, read + channels.stop)
        part = _channels(op, channels, pads)
        if op.residual is not None:
            residual = program.tensor(op.residual)
            begin = residual.part_slice(op.residual_part).start
            first_row, count = op.residual_rows(rows.start, len(rows))
            taken, kept = range(first_row, first_row + count), channels
            if op.residual_broadcast == "channel":
                kept = range(1)
            tensors[residual.name] = _tensor(residual, taken, (len(kept),)), slice(
                begin + kept.start, begin + kept.stop), taken
    else:
        of_input = slice(read + channels.start, read + channels.stop)
        part = op.on_operands(op.name, op.reads, op.output, pads)
    whole = of_input == slice(0, source.channels)
    part = part if whole else replace(part, input_parts=None)
    tensors[source.name] = _tensor(source, first, source.parts if whole else (len(channels),)), of_input, first
    inputs = {name: codes[name][:, part_of, y.start:y.stop] for name, (_, part_of, y) in tensors.items()}
    size = op.map_size(source)
    output = replace(target, height=len(rows), width=size[1], parts=(len(channels),))
    tile = replace(program, tensors=(*(tensor for tensor, _, _ in tensors.values()), output), ops=(part,))
    written = codes[target.name][0, of_output]
    own = op.own_pixels(written, source) if isinstance(op, Conv) else written
    return Tile(tile, inputs, own[:, rows.start:rows.stop])


def _rows_read(op: Layer, rows: range, height: int) -> tuple[range, Pads]:
    """Return the rows of the input that some rows of the output need, and what is padded around them."""
    extent = op.dilation[0] * (op.kernel[0] - 1) + 1
    top, left, _, right = op.pads
    first = rows.start * op.stride[0] - top
    stop = (rows.stop - 1) * op.stride[0] - top + extent
    inside = range(max(first, 0), min(stop, height))
    return inside, (inside.start - first, left, stop - inside.stop, right)


def _channels(conv: Conv, channels: range, pads: Pads) -> Conv:
    kept, conv = slice(channels.start, channels.stop), conv.ungrouped()
    return replace(
        conv, weights=conv.weights[kept], multiplier=conv.multiplier[kept], shift=conv.shift[kept],
        offset=conv.offset[kept], residual_multiplier=conv.residual_multiplier[kept], pads=pads, output_part=0,
        lattice=None, residual_part=0, groups=len(channels) if conv.groups > 1 else 1,
        prefer_depthwise=conv.depthwise and len(channels) == 1)


def _tensor(tensor: Tensor, rows: range, parts: tuple[int, ...]) -> Tensor:
    return replace(tensor, height=len(rows), parts=parts)
