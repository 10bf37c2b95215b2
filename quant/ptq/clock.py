"""An estimate of the time that reconstruction still takes."""

from __future__ import annotations

from math import prod
from time import monotonic

from torch import fx

from quant.ptq.units import Unit, layer_of
from quant.trace.shapes import shape_of

__all__ = ["Clock", "work_of"]

PRODUCTS = 32
"""Products of a convolution that take as long as everything else that is done to an element of its output."""


def work_of(graph: fx.GraphModule, unit: Unit) -> float:
    """Return how long an iteration of a unit takes, in units of what is done to one element besides convolutions."""
    work = 0.0
    for stage in unit.stages:
        layer, shape = layer_of(graph, stage), shape_of(stage.compute)
        products = layer.weight[0].numel() if layer is not None else 0
        work += prod(shape[1:] if shape is not None else (1,)) * (1 + products / PRODUCTS)
    return work


class Clock:
    """Counts work and time.

    Parameters
    ----------
    total : float
        Work of everything.
    """

    def __init__(self, total: float) -> None:
        self.total, self.done, self.spent, self.last = total, 0.0, 0.0, monotonic()

    def count(self, work: float) -> float:
        """Count work that has been done since the last call; gives the seconds that the rest should take."""
        now = monotonic()
        self.done, self.spent, self.last = self.done + work, self.spent + now - self.last, now
        return max(self.total - self.done, 0.0) * self.spent / self.done
