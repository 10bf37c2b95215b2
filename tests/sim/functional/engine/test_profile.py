"""Profiles name what runs, and leave no trace."""

from __future__ import annotations

import numpy as np
import pytest

from sim.arch.machine import load_machine
from sim.errors import InputError
from sim.functional.engine.simulator import Simulator
from sim.testing import random_program


def test_a_profile_has_every_operation_in_order_and_changes_no_code() -> None:
    """The input comes first, then every layer with its kernel, then the output; a run afterwards is one before."""
    rng = np.random.default_rng(4)
    program = random_program(rng, load_machine("tiny"), channels=20)
    inputs = {t.name: rng.integers(t.format.low, t.format.high + 1, (2, *t.shape)) for t in program.inputs}
    simulator = Simulator(program, capture=[tensor.name for tensor in program.tensors])
    before, rows = simulator.run(inputs), simulator.profile(inputs, rounds=3)
    for name, codes in simulator.run(inputs).items():
        np.testing.assert_array_equal(codes, before[name])
    layers = [(row.op, row.kernel) for row in rows if row.op in simulator.kernels and not row.kernel.startswith("copy")]
    assert layers == [(conv.name, simulator.kernels[conv.name]) for conv in program.convs]
    assert rows[0].op == program.inputs[0].name
    assert all(row.seconds > 0 for row in rows)


@pytest.mark.parametrize("rounds", [0, -1, 1.5])
def test_a_profile_needs_rounds(rounds: object) -> None:
    """At least one, and a whole number of them."""
    program = random_program(np.random.default_rng(4), load_machine("tiny"))
    inputs = {t.name: np.zeros((1, *t.shape), int) for t in program.inputs}
    with pytest.raises(InputError, match=rf"^rounds must be at least 1, not {rounds}$"):
        Simulator(program).profile(inputs, rounds)  # type: ignore[arg-type]


def test_a_profile_needs_an_image() -> None:
    """Nothing to run is refused."""
    program = random_program(np.random.default_rng(4), load_machine("tiny"))
    with pytest.raises(InputError, match=r"^a profile needs one image, not 0$"):
        Simulator(program).profile({t.name: np.zeros((0, *t.shape), int) for t in program.inputs})
