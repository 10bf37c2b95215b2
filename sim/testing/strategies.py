"""The generator as hypothesis strategies: failing cases shrink to few, small, plain layers.

Only tests import this module: hypothesis is not needed to run Bitwright.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from hypothesis import assume
from hypothesis import strategies as st

from sim.errors import InputError
from sim.machine import Machine
from sim.plan import plan
from sim.testing.cases import Case
from sim.testing.choices import Choices
from sim.testing.codes import corner_inputs, plain_inputs
from sim.testing.machines import random_machine
from sim.testing.programs import KINDS, TRAITS, random_program

__all__ = ["cases", "machines"]


class DrawnChoices(Choices):
    """Every decision is an integer that hypothesis draws, and lowers when it shrinks."""

    proposals = 3

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw

    def integer(self, name: str, low: int, high: int) -> int:
        """A number that shrinks towards `low`."""
        return self.draw(st.integers(low, high), label=name) if low < high else low


@st.composite
def machines(draw: st.DrawFn) -> Machine:
    """Small legal machines."""
    return random_machine(DrawnChoices(draw))


@st.composite
def cases(draw: st.DrawFn, on: Sequence[Machine], layers: int = 3, kinds: Collection[str] = KINDS,
          traits: Collection[str] = TRAITS) -> Case:
    """A Program that fits one of the machines `on`, simplest first, with codes for its inputs."""
    choices = DrawnChoices(draw)
    machine = choices.choice("machine", on)
    program = random_program(choices, machine, layers, kinds, traits)
    try:
        plan(program, machine)
    except InputError:
        assume(False)
    corners = choices.chance("corner codes", 0.97)
    inputs = corner_inputs(choices.values("codes"), program, 1) if corners else plain_inputs(program)
    return Case(program, machine, inputs)
