"""Sample what the codes of a run make an op meet, as values of the axes of coverage groups.

Each sampler comes with what the op was declared to do, which by itself meets nothing: bits of a format whose
highest plane stays 0, a Program that may wrap and does not, a rounding without a tie.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from sim.ir.ops import Layer, Tensor
from sim.ir.signed_digits import digit_counts
from sim.testing.coverage.conv_values import top_plane
from sim.testing.coverage.layer_view import LayerView
from sim.testing.coverage.op_view import OpView
from sim.testing.coverage.tally import Values

__all__ = ["bipolar_bits", "bits", "broadcast", "channels", "clamps", "declared_bipolar_bits", "declared_bits",
           "declared_broadcast", "declared_channels", "declared_clamps", "declared_digits", "declared_gate_digits",
           "declared_gates", "declared_lane_bits", "declared_plain_bits", "declared_residual",
           "declared_residual_bits", "declared_signs", "declared_ties", "declared_wraps", "digits", "gate_digits",
           "gates", "lane_bits", "plain_bits", "residual", "residual_bits", "signs", "ties", "wraps"]

WIDEST = 8
"""Bits of codes that engines read."""
SIDES = ("negative even", "negative odd", "positive even", "positive odd")
"""Ties, by the sign of v and by the code below it."""


def declared_bits(view: LayerView) -> Iterator[Values]:
    """Yield kind, weight bits, activation bits."""
    if view.as_conv:
        yield view.kind, view.as_conv.weight_format.bits, view.source.format.bits


def bits(view: LayerView) -> Iterator[Values]:
    """Yield the same, where the highest planes of both have met."""
    if _planes_meet(view):
        yield from declared_bits(view)


def declared_lane_bits(view: OpView) -> Iterator[Values]:
    """Weight bits on the depthwise lanes, signs of weights and activations."""
    if view.conv and view.conv[1].on_depthwise_unit:
        yield view.conv[0].weight_format.bits, view.conv[0].weight_format.kind, view.source.format.kind


def lane_bits(view: OpView) -> Iterator[Values]:
    """Yield the same, where the highest planes of both have met."""
    if _planes_meet(view):
        yield from declared_lane_bits(view)


def declared_signs(view: LayerView) -> Iterator[Values]:
    """Yield kind, kinds of weights and activations."""
    if view.as_conv:
        yield view.kind, view.as_conv.weight_format.kind, view.source.format.kind


def signs(view: LayerView) -> Iterator[Values]:
    """Yield the same, where codes have met whose highest bits tell these kinds from others."""
    if _planes_meet(view):
        yield from declared_signs(view)


def declared_plain_bits(view: LayerView) -> Iterator[Values]:
    """Yield kind, activation bits."""
    yield view.kind, view.source.format.bits


def plain_bits(view: LayerView) -> Iterator[Values]:
    """Yield the same, where a code has the highest one."""
    if top_plane(view.read_codes, view.source.format).any():
        yield from declared_plain_bits(view)


def declared_bipolar_bits(view: LayerView) -> Iterator[Values]:
    """Activation bits under bipolar weights."""
    if view.as_conv and view.as_conv.weight_format.kind == "bipolar":
        yield (view.source.format.bits,)


def bipolar_bits(view: LayerView) -> Iterator[Values]:
    """Yield the same, where a code has the highest one and meets weights of both signs."""
    if view.as_conv and len(np.unique(view.as_conv.weights)) == 2 and _planes_meet(view):
        yield from declared_bipolar_bits(view)


def _planes_meet(view: LayerView) -> bool:
    """Tell whether in some channel there is a weight and an activation whose highest bits are 1."""
    if view.as_conv is None:
        return False
    conv = view.as_conv.ungrouped()
    read = top_plane(view.read_codes, view.source.format).any(axis=(0, 2, 3))
    over = (1, 2, 3) if conv.depthwise else (0, 2, 3)
    return bool((top_plane(conv.weights, conv.weight_format).any(axis=over) & read).any())


def declared_digits(view: LayerView) -> Iterator[Values]:
    """Longest multiplier, longest one of a residual."""
    if view.as_conv:
        yield view.as_conv.terms, view.as_conv.residual_terms


def digits(view: LayerView) -> Iterator[Values]:
    """Yield the same, where they multiply something other than 0."""
    if view.as_conv is None:
        return
    conv, numbers = view.as_conv, view.values
    longest = digit_counts(conv.multiplier) == conv.terms
    longest_residual = digit_counts(conv.residual_multiplier) == conv.residual_terms
    if _occurs(numbers.wrapped, longest) and (
            not conv.residual_terms or _occurs(numbers.residual, longest_residual)):
        yield conv.terms, conv.residual_terms


def _occurs(values: NDArray[np.int64], channels: NDArray[np.bool_]) -> bool:
    """Tell whether one of these channels is anywhere not 0."""
    return bool(values[:, channels].any())


def declared_ties(view: LayerView) -> Iterator[Values]:
    """Yield rounding, sign of v and parity of the code below."""
    if view.as_conv and (view.as_conv.shift > 0).any():
        yield from ((view.program.arithmetic.rounding, side) for side in SIDES)


def ties(view: LayerView) -> Iterator[Values]:
    """Yield the same, where v was in the middle of two codes that the clamp left alone."""
    if view.as_conv:
        numbers = view.values
        met = numbers.ties & ~numbers.below & ~numbers.above
        for side, negative, odd in zip(SIDES, (True, True, False, False), (0, 1, 0, 1), strict=True):
            if (met & ((numbers.totals < 0) == negative) & (numbers.floors % 2 == odd)).any():
                yield view.program.arithmetic.rounding, side


def declared_wraps(view: LayerView) -> Iterator[Values]:
    """Yield kind, end of the accumulator that a sum leaves."""
    if view.as_conv and view.program.arithmetic.wrap:
        yield from ((view.kind, end) for end in ("top", "bottom"))


def wraps(view: LayerView) -> Iterator[Values]:
    """Yield the same, where a sum has left it."""
    if view.as_conv and view.values.exact:
        numbers = view.values
        for end, left in (("top", numbers.sums > numbers.wrapped), ("bottom", numbers.sums < numbers.wrapped)):
            if left.any():
                yield view.kind, end


def declared_clamps(view: LayerView) -> Iterator[Values]:
    """Yield which end of the clamp, and what it is: the format's end, its zero point (ReLU), or another limit."""
    if view.as_conv:
        conv = view.as_conv
        fmt = conv.requantized_format(view.target.format)
        low = "the format's end" if conv.low == fmt.low else (
            "the zero point" if conv.low == fmt.zero_point else "a limit")
        yield "below", low
        yield "above", "the format's end" if conv.high == fmt.high else "a limit"


def clamps(view: LayerView) -> Iterator[Values]:
    """Yield the same, where a value was beyond it."""
    if view.as_conv:
        cut = {"below": view.values.below.any(), "above": view.values.above.any()}
        yield from (values for values in declared_clamps(view) if cut[str(values[0])])


def declared_channels(view: LayerView) -> Iterator[Values]:
    """Yield what is special about a requantizer."""
    if view.as_conv:
        conv = view.as_conv
        if (digit_counts(conv.multiplier) == 0).any():
            yield ("constant",)
        if (conv.shift == 0).any():
            yield ("no shift",)
        if view.target.format.bits > WIDEST:
            yield ("wide output",)
        if conv.requantized_format(view.target.format).zero_point:
            yield ("output with a zero point",)


def channels(view: LayerView) -> Iterator[Values]:
    """Yield the same, where the sum was not 0, and the code was not that of the clamp or one of 8 bits."""
    if view.as_conv:
        conv, numbers = view.as_conv, view.values
        free = ~numbers.below & ~numbers.above
        output = conv.own_pixels(view.codes[conv.output][:, view.target.part_slice(conv.output_part)], view.source)
        met = {"constant": _occurs(numbers.wrapped, digit_counts(conv.multiplier) == 0),
               "no shift": (free & (numbers.totals != 0))[:, conv.shift == 0].any(),
               "wide output": ((output >= 1 << WIDEST) | (output < -(1 << WIDEST - 1))).any(),
               "output with a zero point": free.any()}
        yield from (values for values in declared_channels(view) if met[str(values[0])])


def declared_residual(view: LayerView) -> Iterator[Values]:
    """Yield kind, signs of the residual, where it comes from."""
    if view.as_conv and view.as_conv.residual:
        conv = view.as_conv
        other = view.program.tensor(conv.residual or "")
        yield view.kind, other.format.kind, _origin(view, other, conv.residual_part)


def residual(view: LayerView) -> Iterator[Values]:
    """Yield the same, where a code with the highest bit was multiplied by something."""
    if _residual_counts(view):
        yield from declared_residual(view)


def declared_residual_bits(view: LayerView) -> Iterator[Values]:
    """Yield how wide the residual is."""
    if view.as_conv and view.as_conv.residual:
        residual_bits, out_bits = view.program.tensor(view.as_conv.residual).format.bits, view.target.format.bits
        wider = (residual_bits > out_bits) - (residual_bits < out_bits)
        yield (("narrower", "equal", "wider")[1 + wider],)


def residual_bits(view: LayerView) -> Iterator[Values]:
    """Yield the same, where a code with the highest bit was multiplied by something."""
    if _residual_counts(view):
        yield from declared_residual_bits(view)


def declared_broadcast(view: LayerView) -> Iterator[Values]:
    """Yield kind, what a residual is broadcast over."""
    if view.as_conv and view.as_conv.residual_broadcast != "none":
        yield view.kind, view.as_conv.residual_broadcast


def broadcast(view: LayerView) -> Iterator[Values]:
    """Yield the same, where a code with the highest bit was multiplied by something, and others differ from it."""
    if (_residual_counts(view) or next(gates(view), None)) and len(np.unique(view.values.residual)) > 1:
        yield from declared_broadcast(view)


def declared_gates(view: LayerView) -> Iterator[Values]:
    """Yield sign and bits of the residual that a gate multiplies by."""
    if view.as_conv and view.as_conv.gate is not None:
        fmt = view.program.tensor(view.as_conv.residual or "").format
        yield fmt.kind, fmt.bits


def gates(view: LayerView) -> Iterator[Values]:
    """Yield the same, where a code with the highest bit has met a sum that is not 0."""
    for kind, bits in declared_gates(view):
        fmt = view.program.tensor(view.as_conv.residual or "").format if view.as_conv else None
        if fmt and (top_plane(view.values.residual, fmt) & (view.values.wrapped != 0)).any():
            yield kind, bits


def declared_gate_digits(view: LayerView) -> Iterator[Values]:
    """Yield which multipliers a gate has beside it, and whether its product is shifted."""
    if view.as_conv and view.as_conv.gate is not None:
        conv = view.as_conv
        names = [name for name, terms in (("M", conv.terms), ("R", conv.residual_terms)) if terms]
        yield " and ".join(names) or "nothing", conv.gate != 0


def gate_digits(view: LayerView) -> Iterator[Values]:
    """Yield the same, where the product was not 0."""
    if view.as_conv and view.as_conv.gate is not None and (view.values.wrapped * view.values.residual).any():
        yield from declared_gate_digits(view)


def _residual_counts(view: LayerView) -> bool:
    if view.as_conv is None or view.as_conv.residual is None:
        return False
    fmt = view.program.tensor(view.as_conv.residual).format
    high = top_plane(view.values.residual, fmt).any(axis=(0, 2, 3))
    return bool((high & (view.values.residual_multipliers != 0)).any())


def _origin(view: LayerView, other: Tensor, part: int) -> str:
    if part:
        return "a later part"
    computed = any(isinstance(r, Layer) and r.output == other.name for r in view.program.ops)
    return "computed" if computed else "the host"
