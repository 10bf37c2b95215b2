"""Spaces: what their files mean, and every wrong one in one sentence."""

from __future__ import annotations

import re

import pytest

from bitwright.explore.space import load_space
from bitwright.explore.values import Range
from sim.errors import InputError

NETWORK = "networks: [{network: resnet8}]\n"
WRONG = [
    ("", "expected a mapping of parameters, not nothing"),
    (NETWORK + "machines: {}", "machines: Extra inputs are not permitted"),
    (NETWORK + "machine: {rowz: 3}", "machine: 'rowz' is no parameter to vary: they are rows, columns, "),
    (NETWORK + "machine: {name: [a, b]}", ("machine.name: values must be numbers, true or false, a range with from, to "
     "and step or factor, or arithmetic, not 'a'")),
    (NETWORK + "machine: {rows: 2 ** 3}", "machine.rows: '2 ** 3' must be arithmetic of parameters and numbers, "),
    (NETWORK + "machine: {rows: bits * 2}", "machine: rows follows from 'bits', which is no parameter of machines"),
    (NETWORK + "machine: {rows: lanes, lanes: rows}", "machine: rows follows from lanes, which is arithmetic itself"),
    (NETWORK + "machine: {rows: []}", "machine.rows: a parameter has 1 to 10000 values, not 0"),
    (NETWORK + "machine: {rows: [8, 4, 8]}", "machine.rows: value 8 is there twice"),
    (NETWORK + "machine: {rows: {from: 4, to: 2, step: 1}}", "machine.rows: a range must rise, not go from 4 to 2"),
    (NETWORK + "machine: {rows: {from: 2, to: 4}}", "machine.rows: a range has a step or a factor, one of them"),
    (NETWORK + "machine: {rows: {from: 2, to: 4, step: 0}}",
     "machine.rows: the step of a range must be above 0, not 0"),
    (NETWORK + "machine: {rows: {from: 0, to: 4, factor: 2}}",
     "machine.rows: a range by a factor starts above 0 and has a factor above 1, not 0 and 2"),
    (NETWORK + "machine: {rows: {from: 1, to: 10001, step: 1}}", "machine.rows: a range has at most 10000 values"),
    (NETWORK + "constraints: [rows * columns]",
     "constraints.0: a constraint compares, as rows * columns <= 256 does, unlike 'rows * columns'"),
    (NETWORK + "constraints: [5]",
     "constraints.0: a constraint is a comparison such as rows * columns <= 256, not '5'"),
    (NETWORK + "constraints: [area <= 3]",
     "constraints.0: 'area <= 3' reads 'area', which is no parameter of machines"),
    (NETWORK + "limits: {power: 3}", "a figure is one of latency_cycles, latency_ms, fps, "),
    (NETWORK + "limits: {power_mw.mean: 3}", "a figure is one of latency_cycles, latency_ms, fps, "),
    (NETWORK + "limits: {power_mw: 0}", "limits.power_mw: Input should be greater than 0, not 0"),
    (NETWORK + "limits: {power_mw: lots}", "limits.power_mw: Input should be a valid number, not 'lots'"),
    (NETWORK + "objectives: []", "objectives: Tuple should have at least 1 item after validation, not 0, "),
    (NETWORK + "objectives: [fps]", "objectives are to be small: take latency_ms instead of fps"),
    (NETWORK + "objectives: [energy_mj, energy_mj.nominal]", "objective energy_mj.nominal is there twice"),
    (NETWORK + "objectives: [loss]", "loss takes sensitivities of every network, and 'resnet8' has none"),
    (NETWORK + "search: {method: grid}",
     "search.method: Input should be 'exhaustive', 'random', 'nsga2' or 'tpe', not 'grid'"),
    (NETWORK + "search: {method: random, candidates: 0}",
     "search.candidates: Input should be greater than or equal to 1, not 0"),
    ("networks: []", "networks: Tuple should have at least 1 item after validation, not 0, not a sequence"),
    ("networks: [{network: a}, {network: a}]", "networks: 'a' is there twice: give one of them another name"),
    ("networks: [{network: a, bits: [9/4]}]", ("networks.0.bits.0: bits are WEIGHTS/ACTIVATIONS in 1..8, such as 4/4, "
     "or one width for both, not '9/4'")),
    ("networks: [{network: a, bits: [4, 4/4]}]", "networks.0: bits must be given once each"),
    ("networks: [{network: a, budgets: [{fps: 3}]}]",
     "networks.0: bits are allocated by sensitivities: give the file of `bitwright sensitivities`"),
    ("networks: [{network: a, sensitivities: b, budgets: [{}]}]",
     "networks.0: budgets must name one at least, such as {latency_ms: 5}"),
]


@pytest.mark.parametrize(("text", "says"), WRONG)
def test_a_wrong_space_is_refused_in_one_sentence(tmp_path, text, says):
    """It names the file, the field and what came."""
    path = tmp_path / "space.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=f"^space {re.escape(str(path))}: {re.escape(says)}[^\n]*$"):
        load_space(path)


@pytest.mark.parametrize(("given", "numbers"), [
    ({"from": 3, "to": 3, "step": 1}, (3,)), ({"from": 1, "to": 6, "step": 2}, (1, 3, 5)),
    ({"from": 0.1, "to": 0.7, "step": 0.2}, (0.1, 0.30000000000000004, 0.5, 0.7000000000000001)),
    ({"from": 3, "to": 24, "factor": 2}, (3, 6, 12, 24)), ({"from": 1, "to": 3, "factor": 1.5}, (1.0, 1.5, 2.25))])
def test_a_range_has_both_ends(given, numbers):
    """Integers stay integers; rounding does not take the end away."""
    assert Range.model_validate(given).numbers() == numbers
