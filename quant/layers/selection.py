"""A layer that picks channels, rows and columns and may put zeros around them: it moves values and computes none."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from quant.layers.steps import steps_of
from sim.errors import InputError
from sim.ir.ops import Pads, Steps

__all__ = ["ZEROS", "Selection", "selected"]

ZEROS = -1
"""Stands for a channel of zeros."""


class Selection(nn.Module):
    """Picks channels, rows and columns of a map (n, C, H, W), or values of a row (n, C).

    Parameters
    ----------
    channels : sequence of int, optional
        For each channel that comes out the one that it is, or `ZEROS`; None: all as they are.
    rows, columns : range, optional
        Which come out, rising, with a step of at least 1; None: all.
    pads : (top, left, bottom, right)
        Zeros around what was picked [pixels].

    Raises
    ------
    InputError
        If nothing is picked, a number is negative, or ranges do not rise.
    """

    def __init__(self, channels: Sequence[int] | None = None, rows: range | None = None, columns: range | None = None,
                 pads: Pads = (0, 0, 0, 0)) -> None:
        super().__init__()
        self.channels = None if channels is None else tuple(map(int, channels))
        self.rows, self.columns, self.pads = rows, columns, pads
        if self.channels is not None and (not self.channels or min(self.channels) < ZEROS):
            raise InputError(f"channels must be some numbers of at least {ZEROS}, not {self.channels}")
        for what, places in (("rows", rows), ("columns", columns)):
            if places is not None and (not places or places.step < 1 or places.start < 0):
                raise InputError(f"{what} must be a rising range from 0 on that is not empty, not {places}")
        if len(pads) != 4 or min(pads) < 0:
            raise InputError(f"pads must be four numbers of at least 0, not {pads}")

    def window(self, size: Sequence[int]) -> tuple[tuple[int, int], tuple[int, int], Steps]:
        """Return the kernel of the convolution that picks from maps of this size, where its 1 is, and its stride.

        Raises
        ------
        InputError
            If rows or columns are picked as well as padded.
        """
        top, left, bottom, right = self.pads
        picked = [_picked(places, extent) for places, extent in zip((self.rows, self.columns), size, strict=True)]
        around = (top, bottom), (left, right)
        for places, extent, pads in zip(picked, size, around, strict=True):
            if any(pads) and places != range(extent):
                raise InputError(f"zeros can be put around {extent} rows or columns, not around some of them")
        steps = steps_of([places.step if len(places) > 1 else 1 for places in picked],
                         [len(places) + sum(pads) for places, pads in zip(picked, around, strict=True)], 1)
        kernels = [1 if places == range(extent) and step == 1 else
                   max(places.start + 1, extent - len(places) * step + 1)
                   for places, extent, step in zip(picked, size, steps, strict=True)]
        return (kernels[0], kernels[1]), (picked[0].start, picked[1].start), steps

    def extra_repr(self) -> str:
        return f"channels={self.channels}, rows={self.rows}, columns={self.columns}, pads={self.pads}"

    def forward(self, x: Tensor) -> Tensor:
        for axis, places in ((2, self.rows), (3, self.columns)):
            if places is not None:
                x = x[(slice(None),) * axis + (slice(places.start, places.stop, places.step),)]
        if self.channels is not None:
            index = torch.tensor(self.channels, device=x.device)
            filled = (index != ZEROS).reshape(-1, *[1] * (x.ndim - 2))
            x = torch.where(filled, x.index_select(1, index.clamp(min=0)), x.new_zeros(()))
        top, left, bottom, right = self.pads
        return functional.pad(x, (left, right, top, bottom)) if any(self.pads) else x


def selected(of_channels: Tensor, channels: Sequence[int] | None, *, zeros: float) -> Tensor:
    """Return what belongs to the channels that a selection picks; `zeros` belongs to one of zeros.

    >>> selected(torch.tensor([5.0, 6.0]), (1, ZEROS, 0), zeros=1.0)
    tensor([6., 1., 5.])
    """
    if channels is None:
        return of_channels
    return torch.stack([of_channels.new_tensor(zeros) if channel == ZEROS else of_channels[channel]
                        for channel in channels])


def _picked(places: range | None, extent: int) -> range:
    """Return the places that are picked of so many."""
    return range(extent) if places is None else range(extent)[places.start:places.stop:places.step]
