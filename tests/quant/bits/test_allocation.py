"""The allocation problem itself: what it accepts and how it counts."""

import re
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from quant.bits.allocation import Problem
from sim.errors import InputError


def problem(**changes: Any) -> Problem:
    fields: dict[str, Any] = {
        "layers": ("a", "b", "c"), "weight_bits": (2, 4), "activation_bits": (2, 4, 8),
        "weight_loss": np.arange(6.0).reshape(3, 2), "activation_loss": np.arange(9.0).reshape(3, 3),
        "costs": {"energy_pj": np.arange(18).reshape(3, 2, 3) * 0.1}, "limits": {"energy_pj": 3.0},
        "ties": ((0, 2),), "allowed_weights": {1: (4,)}, "allowed_activations": {2: (8,)},
    }
    return Problem(**fields | changes)


def test_options_follow_pins_and_ties() -> None:
    """A pinned layer has one option; a pin of one reader pins all readers of its tensor."""
    found = problem()
    assert found.groups == ((0, 2), (1,))
    assert found.group_of == (0, 1, 0)
    assert [found.weight_options(layer) for layer in range(3)] == [[0, 1], [1], [0, 1]]
    assert [found.activation_options(group) for group in range(2)] == [[2], [0, 1, 2]]


def test_costs_and_losses_are_exact_sums() -> None:
    """Costs add up as rationals of the binary floats given, losses without rounding in between."""
    found, choice = problem(), np.array([(1, 2), (1, 0), (0, 2)])
    assert found.used("energy_pj", choice) == sum(Fraction(float(found.costs["energy_pj"][i, w, a]))
                                                   for i, (w, a) in enumerate(choice.tolist()))
    assert found.loss(choice) == (1 + 3 + 4) + (2 + 3 + 8)
    assert np.array_equal(found.choice({"a": (4, 8), "b": (4, 2), "c": (2, 8)}), choice)


nan = np.full((3, 2), np.nan)


@pytest.mark.parametrize(("changes", "text"), [
    ({"weight_loss": np.zeros((3, 3))}, "weight_loss must have shape (3, 2), not (3, 3)"),
    ({"activation_loss": np.zeros((2, 3))}, "activation_loss must have shape (3, 3), not (2, 3)"),
    ({"weight_loss": nan}, "layer 'a': weight_loss must be finite and at least 0, not nan"),
    ({"activation_loss": np.array([[0.0] * 3, [0, 1, -0.5], [0] * 3])},
     "layer 'b': activation_loss must be finite and at least 0, not -0.5"),
    ({"weight_bits": ()}, "weight_bits must be one or more rising widths in 1..8, not ()"),
    ({"weight_bits": (4, 2)}, "weight_bits must be one or more rising widths in 1..8, not (4, 2)"),
    ({"weight_bits": (0, 2)}, "weight_bits must be one or more rising widths in 1..8, not (0, 2)"),
    ({"activation_bits": (2, 8, 8)}, "activation_bits must be one or more rising widths in 1..8, not (2, 8, 8)"),
    ({"activation_bits": (2, 8, 9)}, "activation_bits must be one or more rising widths in 1..8, not (2, 8, 9)"),
    ({"costs": {"energy_pj": np.full((3, 2, 3), np.inf)}}, "costs of energy_pj must be finite"),
    ({"limits": {"energy_pj": float("nan")}}, "limit of energy_pj must be finite, not nan"),
    ({"costs": {"energy_pj": np.zeros((3, 2))}}, "costs of energy_pj must have shape (3, 2, 3), not (3, 2)"),
    ({"limits": {"energy_pj": float("inf")}}, "limit of energy_pj must be finite, not inf"),
    ({"limits": {"cycles": 1}}, "costs and limits must have the same names, not ['energy_pj'] and ['cycles']"),
    ({"allowed_weights": {1: (3, 4)}}, "layer 'b': weight bits must be some of 2, 4, not 3, 4"),
    ({"allowed_activations": {1: ()}}, "layer 'b': activation bits must be some of 2, 4, 8, not none"),
    ({"allowed_activations": {0: (2, 4), 2: (8,)}},
     "layers 'a' and 'c' read one tensor, but may have no activation bits in common"),
    ({"ties": ((0, 2), (2, 1)), "allowed_activations": {}}, "a layer reads one tensor, so it can be in one tie only"),
])
def test_refuses_what_does_not_fit_together(changes: dict[str, Any], text: str) -> None:
    """The message names the table or layer, the limit and what came."""
    with pytest.raises(InputError, match=f"^{re.escape(text)}$"):
        problem(**changes)
