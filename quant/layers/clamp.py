"""An activation with two ends."""

from __future__ import annotations

from math import isnan

from torch import Tensor, nn

from sim.errors import InputError

__all__ = ["Clamp"]


class Clamp(nn.Module):
    """Cuts values below one number and above another.

    Parameters
    ----------
    low, high : float, low <= high
        Either may be infinite.

    Raises
    ------
    InputError
        If low is above high or one is no number.
    """

    def __init__(self, low: float, high: float) -> None:
        super().__init__()
        if isnan(low) or isnan(high) or low > high:
            raise InputError(f"the lower end of a clamp must be at most the upper one, not {low} and {high}")
        self.low, self.high = float(low), float(high)

    def extra_repr(self) -> str:
        return f"low={self.low}, high={self.high}"

    def forward(self, x: Tensor) -> Tensor:
        return x.clamp(self.low, self.high)
