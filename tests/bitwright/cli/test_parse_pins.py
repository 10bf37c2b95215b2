"""Pins on the command line."""

import re

import pytest

from bitwright.cli.parse_pins import parse_pins, parse_widths
from sim.errors import InputError


def test_layers_may_have_any_characters() -> None:
    """The last `=` ends the layer; widths come out rising, each once."""
    assert parse_pins(["a=b/c=8/8", "x*=4,2-3,3/*"]) == {"a=b/c": ((8,), (8,)), "x*": ((2, 3, 4), None)}


@pytest.mark.parametrize("text", ["fc", "fc=8", "=8/8", "fc=9/8", "fc=8/0", "fc=8/", "fc=2-/8", "fc=8/8/8", "fc=,2/8",
                                  "fc=3-2/8"])
def test_refuses_other_forms(text: str) -> None:
    """The message shows what a pin looks like, and what came."""
    message = f"a pin is LAYER=WEIGHTS/ACTIVATIONS with widths such as 8, 2,3, 4-6 or *, not '{text}'"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        parse_pins([text])


def test_refuses_a_layer_that_is_given_twice() -> None:
    """Two pins of one name would contradict each other or say the same."""
    with pytest.raises(InputError, match=r"^pin 'fc' is given twice$"):
        parse_pins(["fc=8/8", "fc=8/*"])


@pytest.mark.parametrize("text", ["", "*", "0-8", "9", "3-2", "2,", "2-4-6"])
def test_refuses_other_widths(text: str) -> None:
    """Widths are named, each in 1..8, and there is at least one."""
    message = f"widths are such as 1-8 or 2,4,8, each in 1..8, not '{text}'"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        parse_widths(text)
