"""What calibration may be told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from sim.errors import InputError

__all__ = ["PERCENTILE", "Calibration", "Ranges", "WeightSteps"]

PERCENTILE = 99.99
"""Share of a tensor's values that are not clipped at either end, where it is chosen by that [%]."""

Ranges = Literal["mse", "range", "percentile", "kl", "output"]
WeightSteps = Literal["output", "weight"]


@dataclass(frozen=True)
class Calibration:
    """How steps and biases are fitted to images.

    Parameters
    ----------
    ranges : {"mse", "range", "percentile", "kl", "output"}
        What the step of a tensor is chosen by: the squared error of its values; that nothing is clipped; that a share
        of the values is clipped; the information that its histogram loses; the squared error that it makes in the
        layers that read it.
    percentile : float, above 50 and at most 100
        For `percentile`: the share of the values that is not clipped at either end [%].
    weight_steps : {"output", "weight"}
        What the steps of weights are chosen by: the squared error of the layer's output after its activation, or that
        of the weights. Steps that training learns always start from the latter.
    bias_correction : bool
        Take the mean error of each output channel out of its bias.

    Raises
    ------
    InputError
        If there is no such way or the share is out of range.
    """

    ranges: Ranges = "mse"
    percentile: float = PERCENTILE
    weight_steps: WeightSteps = "weight"
    bias_correction: bool = False

    def __post_init__(self) -> None:
        for name, kinds in (("ranges", get_args(Ranges)), ("weight_steps", get_args(WeightSteps))):
            if getattr(self, name) not in kinds:
                raise InputError(f"{name} must be one of {', '.join(kinds)}, not {getattr(self, name)}")
        if not isinstance(self.percentile, int | float) or not 50 < self.percentile <= 100:
            raise InputError(f"percentile must be above 50 and at most 100, not {self.percentile!r}")
