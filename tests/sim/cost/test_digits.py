"""Digits of a Program at hand."""

import numpy as np

from sim.arch.machine import load_machine
from sim.cost.digits import digits_with_margin
from sim.cost.table import cost_table
from sim.energy.technology import load_technology
from sim.testing import random_program


def test_digits_are_those_of_the_program_and_a_margin() -> None:
    """Up to the machine's most, with multipliers and residual multipliers alike, and a table takes them."""
    machine = load_machine("edge")
    program = random_program(np.random.default_rng(3), machine, layers=5, traits=("residual",))
    own = {conv.name: conv.digits for conv in program.convs}
    assert digits_with_margin(program, machine, 0) == own
    found = digits_with_margin(program, machine)
    assert found == {name: min(digits + 1, machine.terms) for name, digits in own.items()}
    technology = load_technology("generic45")
    bounds = [cost_table(program, machine, technology, digits=digits).energy_pj.sum()
              for digits in (own, found, machine.terms)]
    assert bounds == sorted(bounds)
