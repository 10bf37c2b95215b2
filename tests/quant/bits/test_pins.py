"""Pins: which widths users leave to single layers."""

import re

import numpy as np
import pytest

from quant.bits.pins import Pins, allowed_by
from sim.cost.table import CostTable
from sim.errors import InputError

LAYERS = ("stem", "block.a", "block.b", "fc")
ZEROS = np.zeros((4, 3, 2))
TABLE = CostTable(LAYERS, (1, 2, 8), (4, 8), ZEROS, ZEROS, ZEROS, ZEROS, ZEROS, ZEROS > 0, 1.0, 0, 0.0, 0.0)


def test_a_layer_keeps_to_every_pin_that_fits_it() -> None:
    """Names and patterns narrow the widths together, each side by itself; what is not pinned stays free."""
    found = allowed_by({"block.*": ((1, 2), 8), "block.b": ((2, 8), None), "fc": (8, (4, 8))}, LAYERS, TABLE)
    assert found == ({1: (1, 2), 2: (2,), 3: (8,)}, {1: (8,), 2: (8,), 3: (4, 8)})


def test_a_name_with_brackets_is_a_name_too() -> None:
    """A layer's own name pins it, whatever it would mean as a pattern."""
    table = CostTable(("a[0]",), (2, 8), (4, 8), *[np.zeros((1, 2, 2))] * 6, 1.0, 0, 0.0, 0.0)
    assert allowed_by({"a[0]": (8, None)}, ("a[0]",), table) == ({0: (8,)}, {})


@pytest.mark.parametrize(("pins", "text"), [
    ({"nose": (8, 8)}, "pin 'nose': the program has no such layer; its layers are stem, block.a, block.b, fc"),
    ({"fc": (4, None)}, "pin 'fc': widths of weights must be some of 1, 2, 8, not 4"),
    ({"fc": (None, (4, 6))}, "pin 'fc': widths of activations must be some of 4, 8, not 4, 6"),
    ({"fc": ((), None)}, "pin 'fc': widths of weights must be some of 1, 2, 8, not none"),
    ({"*": (8, None), "fc": (2, None)}, "pins leave no width of the weights of layer 'fc'"),
    ({"fc": (None, 8), "f*": (None, 4)}, "pins leave no width of the activations of layer 'fc'"),
])
def test_refuses_pins_that_cannot_be_kept(pins: Pins, text: str) -> None:
    """The message names the pin, what is possible and what came."""
    with pytest.raises(InputError, match=f"^{re.escape(text)}$"):
        allowed_by(pins, LAYERS, TABLE)
