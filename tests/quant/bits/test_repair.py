"""Bits that are taken back."""

import numpy as np

from quant.bits.allocation import Problem
from quant.bits.repair import narrower


def problem(**changes: object) -> Problem:
    losses = np.array([[8.0, 3.0, 0.0], [4.0, 1.0, 0.0]])
    cost = np.array([[[w * a * size for a in (2, 4, 8)] for w in (2, 4, 8)] for size in (1, 2)])
    fields = {"layers": ("a", "b"), "weight_bits": (2, 4, 8), "activation_bits": (2, 4, 8), "weight_loss": losses,
              "activation_loss": np.zeros((2, 3)), "costs": {"energy_pj": cost}, "limits": {"energy_pj": 50.0}}
    return Problem(**fields | changes)  # type: ignore[arg-type]


def test_the_change_that_loses_least_for_what_it_saves() -> None:
    """A tensor whose bits lose nothing comes first, of the one that saves most; then the cheaper weights."""
    pinned = problem(allowed_activations={0: (4,), 1: (4,)})
    assert narrower(pinned, np.array([(2, 1), (2, 1)]), ["energy_pj"]).tolist() == [[2, 1], [1, 1]]
    assert narrower(problem(), np.array([(2, 1), (1, 1)]), ["energy_pj"]).tolist() == [[2, 0], [1, 1]]


def test_readers_of_one_tensor_narrow_together_and_pins_hold() -> None:
    """The shared tensor changes for both layers; pinned weights stay."""
    tied = problem(ties=((0, 1),), allowed_weights={0: (8,), 1: (8,)})
    assert narrower(tied, np.array([(2, 1), (2, 1)]), ["energy_pj"]).tolist() == [[2, 0], [2, 0]]


def test_nothing_is_left_to_take() -> None:
    """At the narrowest widths there is no change."""
    assert narrower(problem(), np.zeros((2, 2), np.intp), ["energy_pj"]) is None
