"""Sample what only the values of a Program's run decide, on any machine: near which ends its sums and windows come."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sim.functional.one_op import operands
from sim.ir.ops import Conv
from sim.ir.signed_digits import multipliers
from sim.testing.coverage.layer_view import LayerView
from sim.testing.coverage.tally import Values

__all__ = ["EDGES", "SUMS", "declared_kernel_edges", "declared_multipliers", "declared_sums", "kernel_edges",
           "multipliers_met", "sums"]

EDGES = ("first row", "last row", "first column", "last column")
"""Taps of a kernel."""
SUMS = ("negative", "zero", "positive", "top half of the accumulator")


def declared_kernel_edges(view: LayerView) -> Iterator[Values]:
    """Yield kind and edges of the kernel, where it has two along an axis."""
    conv = view.as_conv
    if conv is not None:
        height, width = conv.kernel
        yield from ((view.kind, edge) for edge in EDGES if (height if "row" in edge else width) > 1)


def kernel_edges(view: LayerView) -> Iterator[Values]:
    """Yield the same, where a weight other than 0 there has met a code other than 0."""
    conv = view.as_conv
    if conv is None:
        return
    products = _products(view, conv)
    found = {"first row": products[0], "last row": products[-1], "first column": products[:, 0],
             "last column": products[:, -1]}
    yield from (values for values in declared_kernel_edges(view) if found[str(values[1])].any())


def _products(view: LayerView, conv: Conv) -> np.ndarray:
    """Tell for each tap whether a product there is not 0, shape (kh, kw)."""
    codes = operands(view.read_codes, conv.kernel, stride=conv.stride, padding=conv.pads, dilation=conv.dilation,
                     zero_point=view.source.format.zero_point).any(axis=(0, 1, 2))
    weights = (conv.weight_values != 0).reshape(conv.groups, -1, *conv.weights.shape[1:]).any(axis=1)
    by_channel = weights.reshape(-1, *conv.kernel).transpose(1, 2, 0)
    return np.asarray((codes & by_channel).any(axis=2))


def declared_sums(view: LayerView) -> Iterator[Values]:
    """Yield kind, and which sums a Conv may have."""
    if view.as_conv is not None:
        yield from ((view.kind, sign) for sign in SUMS)


def sums(view: LayerView) -> Iterator[Values]:
    """Yield the same, where it has them."""
    if view.as_conv is not None:
        found, quarter = view.values.wrapped, 1 << (view.program.arithmetic.acc_bits - 2)
        met = dict(zip(SUMS, (found < 0, found == 0, found > 0, (found >= quarter) | (found < -quarter)), strict=True))
        yield from ((view.kind, sign) for sign in SUMS if met[sign].any())


def declared_multipliers(view: LayerView) -> Iterator[Values]:
    """Yield the sign of a multiplier, and whether it is a power of two."""
    if view.as_conv is not None:
        for m in multipliers(view.as_conv.multiplier).tolist():
            yield ("negative" if m < 0 else "positive" if m else "zero", abs(m) & (abs(m) - 1) == 0)


def multipliers_met(view: LayerView) -> Iterator[Values]:
    """Yield the same, where the channel's sum was not 0 and its code not clamped."""
    if view.as_conv is not None:
        numbers = view.values
        free = ((numbers.wrapped != 0) & ~numbers.below & ~numbers.above).any(axis=(0, 2, 3))
        yield from (values for values, met in zip(declared_multipliers(view), free, strict=True) if met)
