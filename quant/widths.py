"""Bits of the weights and the stored tensor of each stage where all have the same, but for first and last layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import fx

from quant.quantizers.base import checked_bits
from quant.stages.stage import Stage
from quant.stages.ties import maker_of
from quant.trace.taps import is_output

__all__ = ["widths_of"]

SIGNED_BITS = 8
"""Width of stored tensors that only adds read: an error there is never clipped away again."""


def widths_of(found: Sequence[Stage], weight_bits: int, activation_bits: int, first_last_bits: int | None,
              signed_bits: int | None = None) -> dict[fx.Node, tuple[int, int]]:
    """Return the bits of the weights and of the stored tensor of each stage, by its end.

    With `signed_bits` all tensors of both signs have that width, with `first_last_bits` outer layers and what the last
    one reads have that.

    Raises
    ------
    InputError
        If a width is not 1..8.
    """
    checked_bits(weight_bits)
    checked_bits(activation_bits)
    for name, bits in (("first_last_bits", first_last_bits), ("signed_bits", signed_bits)):
        if bits is not None:
            checked_bits(bits, name)
    by_end = {stage.end: stage for stage in found}
    layers = [stage for stage in found if stage.kind in ("conv", "linear")]
    special = activation_bits if first_last_bits is None else first_last_bits
    last = {end for stage in found if is_output(stage.end) for end in (stage.end, *stage.parts)}
    outer = [stage for stage in layers if stage.end in last or _read(stage, by_end).kind == "input"]
    before_last = {_read(stage, by_end).end for stage in layers if stage.end in last}
    read = {_read(stage, by_end).end for stage in found if stage.kind not in ("input", "copy", "cat")}
    widths = {}
    for stage in found:
        if stage.signed:
            stored_bits = signed_bits or (activation_bits if stage.end in read else SIGNED_BITS)
        else:
            stored_bits = activation_bits
        widths[stage.end] = (weight_bits if first_last_bits is None or stage not in outer else first_last_bits,
                             special if stage.end in before_last else stored_bits)
    return widths


def _read(stage: Stage, by_end: dict[fx.Node, Stage]) -> Stage:
    """Return the stage whose quantizer made what `stage` reads."""
    return maker_of(by_end[cast(fx.Node, stage.source)], by_end)
