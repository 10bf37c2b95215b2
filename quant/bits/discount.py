"""How much of the loss that few bits cause training takes away again: more from weights than from activations.

Sensitivities foresee the loss of a network that is rounded and then left alone. Training moves weights onto the grid
that they are rounded to, so that most of their error goes; the rounding of activations stays, since every image brings
new ones. On ResNet-8 with glyphs (LSQ, 8 epochs, 3 seeds) the foreseen losses rank 2-bit weights and 3-bit tensors
(0.104) behind 3-bit weights and 2-bit tensors (0.072); trained, the first is right 1.3 points more often. From the runs
at 2/2, 2/3 and 3/2 bits a unit of foreseen loss costs 0.91 / 0.062 points in the weights and 2.17 / 0.030 in the
tensors: a fifth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sim.errors import InputError

__all__ = ["WEIGHT_DISCOUNT", "ShortRun", "weight_discount"]

WEIGHT_DISCOUNT = 0.2
"""Share of the foreseen loss of weights that counts when training follows: measured once, see above."""


@dataclass(frozen=True)
class ShortRun:
    """A short training at fixed bits.

    Attributes
    ----------
    loss : float
        Of the trained network, in any unit that falls as the network gets better: cross-entropy, or error in percent.
    weights, activations : float
        The losses that sensitivities foresee for these bits: `Problem.losses` at a discount of 1.
    """

    loss: float
    weights: float
    activations: float


def weight_discount(runs: Sequence[ShortRun]) -> float:
    """Return the discount of weights that fits short runs: loss = a + b * (discount * weights + activations).

    Three runs that differ in the bits of weights and of activations are enough, such as 2/2, 2/3 and 3/2; more, of
    other seeds for example, are fitted by least squares.

    Returns
    -------
    float
        For `quant.bits.qbitopt.QBitOpt`.

    Raises
    ------
    InputError
        If the runs do not tell both sides apart, or the loss does not rise with what is foreseen: then they are too
        short or too few.

    Examples
    --------
    >>> runs = [ShortRun(8.33, 0.091, 0.043), ShortRun(6.16, 0.091, 0.013), ShortRun(7.42, 0.029, 0.043)]
    >>> round(weight_discount(runs), 3)
    0.203
    """
    rows = np.array([[1.0, run.weights, run.activations] for run in runs]).reshape(len(runs), 3)
    (_, weights, activations), _, rank, _ = np.linalg.lstsq(rows, np.array([run.loss for run in runs]), rcond=None)
    if rank < 3:
        raise InputError("short runs must differ in the bits of weights and of activations, and be 3 at least, not "
                         f"{len(runs)}")
    if weights < 0 or activations <= 0:
        raise InputError("the losses of short runs must rise with what is foreseen for weights and for activations, "
                         f"not by {weights:.3g} and {activations:.3g} per unit: train longer or with more seeds")
    return float(weights / activations)
