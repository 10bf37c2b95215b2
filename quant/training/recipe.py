"""How to train: a set of options that is checked when it is made."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, isfinite, pi

from sim.errors import InputError

__all__ = ["FLOAT", "QAT", "Recipe"]


@dataclass(frozen=True)
class Recipe:
    """SGD with Nesterov momentum 0.9, a linear warm-up and a cosine to 0.

    Parameters
    ----------
    epochs, batch : int, at least 1
        The batch is that of all processes together.
    rate : float, above 0
        Largest learning rate.
    decay : float, at least 0
        Weight decay, on convolution and linear weights alone.
    warmup : float, 0..1
        Share of the steps in which the rate rises.
    shift : int, at least 0
        Images are shifted by up to so many pixels each way, a new shift for each batch [pixels].
    seed : int, at least 0
        Of the order of images, of the shifts and of dropout.
    interval_rate : float, at least 0
        Factor on the rate of the quantizers' own parameters: 1 where their gradients are scaled as in LSQ; QIL's
        authors are reported to have taken 0.01, of an interval's centre and half-width, which a step of its
        end points moves half as far.
    quantizers_only : bool
        Train the quantizers' parameters and nothing else (QIL, table 3); statistics of BatchNorms still follow.
    distillation : float, 0..1
        Share of the loss that is the divergence from the teacher's output, the rest is the cross-entropy.
    temperature : float, above 0
        Of the softened outputs that are compared (Hinton et al., 2015, arXiv 1503.02531).

    Raises
    ------
    InputError
        If a value is out of range.

    Examples
    --------
    >>> Recipe(epochs=3, batch=32).steps(images=100)
    9
    """

    epochs: int
    batch: int = 64
    rate: float = 0.1
    decay: float = 5e-4
    warmup: float = 0.05
    shift: int = 1
    seed: int = 0
    interval_rate: float = 1.0
    quantizers_only: bool = False
    distillation: float = 0.0
    temperature: float = 4.0

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("batch", 1), ("shift", 0), ("seed", 0)):
            if getattr(self, name) < least:
                raise InputError(f"{name} must be at least {least}, not {getattr(self, name)}")
        for name in ("rate", "temperature"):
            if not (isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise InputError(f"{name} must be above 0, not {getattr(self, name)}")
        for name in ("decay", "interval_rate"):
            if not (isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise InputError(f"{name} must be at least 0, not {getattr(self, name)}")
        for name in ("warmup", "distillation"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} must be in 0..1, not {getattr(self, name)}")

    def steps(self, images: int) -> int:
        """Return optimizer steps altogether; the last, incomplete batch of an epoch is left out."""
        return self.epochs * max(images // self.batch, 1)

    def rate_at(self, step: int, total: int) -> float:
        """Return the share of `rate` in optimizer step `step` of 0..total - 1."""
        if step < self.warmup * total:
            return (step + 1) / (self.warmup * total + 1)
        return 0.5 * (1.0 + cos(pi * step / total))


FLOAT = Recipe(epochs=40)
"""Recipe for a float network: trains random weights to about 98 % on the digits."""
QAT = Recipe(epochs=25, rate=0.03, decay=1e-4)
"""Recipe for a float network with fresh quantizers; run `reestimate_norms` afterwards."""
