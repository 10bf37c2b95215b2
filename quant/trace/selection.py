"""A layer that picks channels, rows and columns and may put zeros around them: it moves values and computes none."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from sim.errors import InputError
from sim.ir.ops import Pads

__all__ = ["ZEROS", "Selection"]

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

    def extra_repr(self) -> str:
        return f"channels={self.channels}, rows={self.rows}, columns={self.columns}, pads={self.pads}"

    def forward(self, x: Tensor) -> Tensor:
        if self.channels is not None:
            index = torch.tensor(self.channels, device=x.device)
            filled = (index != ZEROS).reshape(-1, *[1] * (x.ndim - 2))
            x = torch.where(filled, x.index_select(1, index.clamp(min=0)), torch.zeros((), dtype=x.dtype))
        for axis, places in ((2, self.rows), (3, self.columns)):
            if places is not None:
                x = x[(slice(None),) * axis + (slice(places.start, places.stop, places.step),)]
        top, left, bottom, right = self.pads
        return functional.pad(x, (left, right, top, bottom)) if any(self.pads) else x
