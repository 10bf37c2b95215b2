"""Toggles of data, by hand."""

from math import isclose

import numpy as np
import pytest

from sim.arch.machine import load_machine
from sim.cost.estimate import estimate
from sim.cost.toggles import layer_toggles
from sim.energy.technology import load_technology
from sim.errors import InputError
from sim.ir.formats import Format
from sim.ir.ops import Conv
from sim.ir.program import Program
from sim.ir.tensor import Tensor
from sim.plan.plan import plan

TABLE = load_technology("generic45")


def program(height: int = 4) -> Program:
    """One Conv of weights -2, -1, 0, 1: half of their low bits and half of their sign bits are ones."""
    tensors = (Tensor("x", height, 4, (4,), Format(2, "unsigned")), Tensor("y", height, 4, (1,), Format(2, "unsigned")))
    return Program(tensors, (Conv("conv", "x", "y", np.array([-2, -1, 0, 1], np.int8).reshape(1, 4, 1, 1),
                                  Format(2, "signed"), np.array([[1]], np.int8), np.zeros(1, np.int64),
                                  np.zeros(1, np.int64), 0, 3),), arithmetic=load_machine("tiny").arithmetic)


def test_toggles_of_independent_bits() -> None:
    """Activation planes of 1/2 and 1/10 ones change in 1/2 and 0.18 of all steps; half of these ones are products."""
    found = layer_toggles(program(), {"x": [0.5, 0.1]})["conv"]
    assert isclose(found["activations"], (0.5 + 2 * 0.1 * 0.9) / 2, rel_tol=1e-12)
    assert isclose(found["products"], (2 * 0.25 * 0.75 + 2 * 0.05 * 0.95) / 2, rel_tol=1e-12)


@pytest.mark.parametrize("height", [4, 4000])
def test_an_estimate_uses_the_data_of_each_layer(height: int) -> None:
    """Products of a layer, also of one that is cut into bands, cost 10.5 fJ for each toggle more or less."""
    tiny, net = load_machine("tiny"), program(height)
    typical, still = (estimate(plan(net, tiny), TABLE, toggles) for toggles in (
        None, layer_toggles(net, {"x": [0.0, 0.0]})))
    saved = typical.energy.nominal_pj - still.energy.nominal_pj
    assert isclose(saved, typical.events["pair_lanes"] * 0.0105 * 0.155, rel_tol=1e-6)
    assert isclose(still.energy.nominal_pj, still.over_data.low_pj, rel_tol=1e-12)
    assert still.over_data.low_pj < still.over_data.nominal_pj < still.over_data.high_pj
    assert isclose(typical.energy.nominal_pj, typical.over_data.nominal_pj, rel_tol=1e-12)
    assert isclose(sum(part.nominal_pj for part in still.energy.by_component.values()), still.energy.nominal_pj,
                   rel_tol=1e-12)


@pytest.mark.parametrize(("ones", "message"), [
    ({}, "a trace must have tensor 'x', which layer 'conv' reads"),
    ({"x": [0.5]}, "a trace of tensor 'x' must have a share of ones in 0..1 for each of its 2 bits, not [0.5]"),
    ({"x": [1, 2]}, "a trace of tensor 'x' must have a share of ones in 0..1 for each of its 2 bits, not [1, 2]"),
])
def test_traces_of_other_data_are_refused(ones: dict[str, list[float]], message: str) -> None:
    """A trace has every tensor that a Conv reads, and a share for each of its bits."""
    with pytest.raises(InputError) as caught:
        layer_toggles(program(), ones)
    assert str(caught.value) == message
