"""How to reconstruct."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Literal, get_args

from sim.errors import InputError

__all__ = ["Reconstruction"]

Rounding = Literal["learnt", "together"]
LARGEST_SEED = 2**63 - 1
"""Largest seed that a generator of torch takes."""


@dataclass(frozen=True)
class Reconstruction:
    """How to reconstruct.

    Parameters
    ----------
    rounding : {"learnt", "together"}
        How the rounding of weights is chosen: learnt by gradients, all weights of a unit at once; or in closed form,
        one layer after another, each weight making up for those before it, which takes a fraction of the time. What
        follows is for the former, but for `exponents`, `seed` and `downscale`.
    iterations, batch : int, at least 1
        Steps per unit and images in each.
    rate, bias_rate, step_rate : float, above 0
        Adam's learning rates: of the rounding; of biases, in units of the standard deviation of what the layer puts
        out; of real steps of tensors.
    drop : float, 0..1
        Share of the elements that stay unquantized at each step, a whole number of 256ths; 0: none.
    exponents : bool
        Choose the steps and signs of weights again, by what they do to the layer's output, and power-of-two steps of
        tensors by the unit's error. Weights that are rounded together always get new steps.
    biases : bool
        Learn the biases too.
    norm_exponent : bool
        Take the loss's exponent from the BatchNorm that ends a unit, as RAPQ does, instead of 2.
    seed : int, 0..2**63 - 1
    regulariser : float, at least 0
        Weight of the term that pushes roundings to one side.
    warmup : float, 0..1
        Share of the iterations before it does.
    downscale : int, at least 1
        Side of the squares of pixels that are averaged before anything else: with 2 a unit learns four times as fast,
        from images of half the resolution. Weights are used at any resolution alike.

    Raises
    ------
    InputError
        If a value is out of range.
    """

    rounding: Rounding = "learnt"
    iterations: int = 1000
    batch: int = 32
    rate: float = 0.1
    bias_rate: float = 1e-3
    step_rate: float = 1e-3
    drop: float = 0.5
    exponents: bool = True
    biases: bool = True
    norm_exponent: bool = False
    seed: int = 0
    regulariser: float = 0.01
    warmup: float = 0.2
    downscale: int = 1

    @classmethod
    def fast(cls, *, seed: int = 0) -> Reconstruction:
        """Make the options for large networks and little time: weights are rounded together, nothing is learnt."""
        return cls(rounding="together", seed=seed)

    def __post_init__(self) -> None:
        if self.rounding not in get_args(Rounding):
            raise InputError(f"rounding must be one of {', '.join(get_args(Rounding))}, not {self.rounding}")
        for name, least in (("iterations", 1), ("batch", 1), ("seed", 0), ("downscale", 1)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool):
                raise InputError(f"{name} must be an int, not {value!r}")
            if value < least:
                raise InputError(f"{name} must be at least {least}, not {value}")
        if self.seed > LARGEST_SEED:
            raise InputError(f"seed must be at most 2**63 - 1, not {self.seed}")
        for name in ("rate", "bias_rate", "step_rate"):
            if not 0 < self._number(name) < inf:
                raise InputError(f"{name} must be above 0, not {getattr(self, name)}")
        if not 0 <= self._number("regulariser") < inf:
            raise InputError(f"regulariser must be at least 0, not {self.regulariser}")
        for name in ("drop", "warmup"):
            if not 0 <= self._number(name) <= 1:
                raise InputError(f"{name} must be in 0..1, not {getattr(self, name)}")

    def _number(self, name: str) -> float:
        value = getattr(self, name)
        if not isinstance(value, int | float):
            raise InputError(f"{name} must be a number, not {value!r}")
        return float(value)
