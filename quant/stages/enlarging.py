"""The convolutions that make a map larger, with pixels between those that are there."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from quant.layers.bilinear import Bilinear, taps_along
from quant.stages.operator import Operator
from sim.ir.formats import Format
from sim.ir.ops import Lattice
from sim.ir.ops import Tensor as Map

__all__ = ["enlarging"]


def enlarging(layer: Bilinear, source: Map) -> Iterator[tuple[Operator, Lattice]]:
    """Yield what fills the larger map of `source`, and where: sums of whole weights that add up to `layer.divisor`.

    None of them has pads, so that the pixels at the edges are exact, too.
    """
    for down, across in product(*map(taps_along, (source.height, source.width), layer.factors)):
        kernel = np.outer(down.weights, across.weights).astype(np.int8)
        codes = np.broadcast_to(kernel, (source.channels, 1, *kernel.shape)).copy()
        fmt = Format(int(kernel.max()).bit_length(), "unsigned")
        step = np.full(source.channels, 1.0 / layer.divisor)
        yield (Operator(codes, fmt, step, np.zeros(source.channels), source.channels, (down.stride, across.stride)),
               Lattice((down.offset, across.offset), (down.spacing, across.spacing)))
