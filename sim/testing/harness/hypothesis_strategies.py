"""The generator as hypothesis strategies: failing cases shrink to few, small, plain layers.

Only tests import this module: hypothesis is not needed to run Bitwright.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import reject
from hypothesis import strategies as st

from sim.arch.machine import Machine
from sim.errors import InputError
from sim.testing.stimulus.cases import Case, draw_case
from sim.testing.stimulus.choices import Choices

__all__ = ["cases"]


class DrawnChoices(Choices):
    """Every decision is an integer that hypothesis draws, and lowers when it shrinks."""

    proposals = 3

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw

    def integer(self, name: str, low: int, high: int) -> int:
        """Return a number that shrinks towards `low`."""
        return self.draw(st.integers(low, high), label=name) if low < high else low


@st.composite
def cases(draw: st.DrawFn, /, on: Sequence[Machine], **options: Any) -> Case:
    """Draw a case on one of the machines `on`, simplest first; options are those of `sim.testing.random_program`."""
    choices = DrawnChoices(draw)
    try:
        return draw_case(choices, choices.choice("machine", on), **options)
    except InputError:
        reject()
