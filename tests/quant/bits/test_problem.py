"""The allocation problem of a Program on a machine."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from quant.bits.allocate import allocate
from quant.bits.budgets import BUDGETS, stored_input
from quant.bits.problem import problem_of
from quant.convert import quantize
from quant.lowering.lower import lower
from sim.arch.machine import load_machine
from sim.cost.table import CostTable, cost_table
from sim.energy.technology import load_technology
from sim.errors import InputError
from sim.ir.formats import Format
from sim.ir.program import Program

WEIGHTS = {"0": [9.0, 4.0, 1.0], "3": [8.0, 3.0, 2.0], "6": [7.0, 5.0, 0.5]}
TENSORS = {"0": [90.0, 40.0], "3": [80.0, 30.0], "4": [70.0, 20.0]}


@pytest.fixture(scope="module")
def program() -> Program:
    """conv 0 - max pool 2 - conv 3 - average 4 - linear 6."""
    model = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3),
                          nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    images = torch.randint(0, 4, (8, 2, 8, 8), generator=torch.Generator().manual_seed(0)) / 2
    quantized = quantize(model, images, scheme="qil", input_format=Format(2, "unsigned"), input_exponent=-1)
    return lower(quantized, images[:1])


@pytest.fixture(scope="module")
def table(program: Program) -> CostTable:
    return cost_table(program, load_machine("tiny"), load_technology("generic45"), (2, 4, 8), (2, 8))


def test_tensors_are_followed_through_max_pools(program: Program) -> None:
    """A max pool keeps codes, so what its reader reads is the tensor before it."""
    assert [(conv.name, conv.input, stored_input(program, conv)) for conv in program.convs] == [
        ("0", "input_1", "input_1"), ("3", "2", "0"), ("4", "3", "3"), ("6", "4", "4")]


def test_rows_pins_and_fixed_costs(program: Program, table: CostTable) -> None:
    """Losses stand in their layers' rows, inputs and unit weights are pinned, pools are charged to the first layer."""
    limits = {"latency_cycles": 10**6, "energy_pj": 1e9, "weight_bytes": 500}
    problem = problem_of(program, table, WEIGHTS, TENSORS, limits)
    assert problem.layers == ("0", "3", "4", "6")
    assert problem.weight_loss.tolist() == [WEIGHTS["0"], WEIGHTS["3"], [0, 0, 0], WEIGHTS["6"]]
    assert problem.activation_loss.tolist() == [[0, 0], TENSORS["0"], TENSORS["3"], TENSORS["4"]]
    assert (problem.allowed_weights, problem.allowed_activations, problem.ties) == ({2: (2,)}, {0: (2,)}, ())
    assert table.fixed_cycles > 0
    cycles = table.cycles.copy()
    cycles[0] += table.fixed_cycles
    assert np.array_equal(problem.costs["latency_cycles"], cycles)
    energy = table.energy_pj.copy()
    energy[0] += table.fixed_energy_pj
    assert np.array_equal(problem.costs["energy_pj"], energy)
    assert np.array_equal(problem.costs["weight_bytes"], table.bytes)


def test_readers_of_one_tensor_are_tied(lowered_digits: Program) -> None:
    """In a strided residual block two layers read the block's input: one choice of its bits, one row of its loss."""
    found = cost_table(lowered_digits, load_machine("tiny"), load_technology("generic45"), (2, 4), (4, 5))
    layers = [conv.name for conv in lowered_digits.convs]
    tensors = {conv.input: [2.0, 1.0] for conv in lowered_digits.convs}
    problem = problem_of(lowered_digits, found, {name: [2.0, 1.0] for name in layers}, tensors, {"latency_cycles": 1e9})
    (tie,) = problem.ties
    assert [layers[row] for row in tie] == ["block2.conv1", "block2.shortcut.0"]
    assert problem.activation_loss[list(tie)].tolist() == [[2, 1], [0, 0]]


@pytest.mark.parametrize(("changes", "text"), [
    ({"weight_loss": {"0": [1, 2, 3], "6": [1, 2, 3]}}, "losses of the weights of layer '3' are missing"),
    ({"activation_loss": {"0": [1, 2], "3": [1, 2]}}, "losses of the tensor '4' are missing"),
    ({"weight_loss": WEIGHTS | {"6": [1, 2]}},
     "losses of the weights of layer '6' must be 3, one for each width, not 2"),
    ({"limits": {"area": 3}}, f"a budget must be one of {', '.join(BUDGETS)}, not 'area'"),
])
def test_refuses_what_is_missing(program: Program, table: CostTable, changes: dict[str, object], text: str) -> None:
    """The message names the layer, tensor or budget."""
    fields = {"weight_loss": WEIGHTS, "activation_loss": TENSORS, "limits": {"latency_cycles": 10**6}} | changes
    with pytest.raises(InputError, match=f"^{re.escape(text)}$"):
        problem_of(program, table, **fields)


def test_refuses_the_table_of_another_program(program: Program, table: CostTable) -> None:
    """Layers must be the Program's, in its order."""
    text = "the cost table is of the layers 6, 4, 3, 0, the program's are 0, 3, 4, 6"
    with pytest.raises(InputError, match=f"^{text}$"):
        problem_of(program, replace(table, layers=table.layers[::-1]), WEIGHTS, TENSORS, {"latency_cycles": 1})


def test_inputs_keep_a_width_that_is_no_choice(program: Program) -> None:
    """The host's format is fixed: the first layer has its width, and no other tensor does, nor a loss for it."""
    found = cost_table(program, load_machine("tiny"), load_technology("generic45"), (2, 4, 8), (4, 8))
    assert (found.activation_bits, found.activation_choices) == ((2, 4, 8), (4, 8))
    problem = problem_of(program, found, WEIGHTS, TENSORS, {"latency_cycles": 10**6})
    assert problem.allowed_activations == {0: (2,), 1: (4, 8), 2: (4, 8), 3: (4, 8)}
    assert problem.activation_loss.tolist() == [[0, 0, 0], [0, *TENSORS["0"]], [0, *TENSORS["3"]], [0, *TENSORS["4"]]]
    assert {a for _, a in list(allocate(problem).bits.values())[1:]} == {8}


def test_pins_do_not_give_the_width_of_inputs_to_other_tensors(program: Program) -> None:
    """A pin that fits every layer leaves the input alone; where it leaves nothing, it is refused."""
    found = cost_table(program, load_machine("tiny"), load_technology("generic45"), (2, 4, 8), (4, 8))
    limits = {"latency_cycles": 10**6}
    problem = problem_of(program, found, WEIGHTS, TENSORS, limits, {"*": (None, (2, 4))})
    assert problem.allowed_activations == {0: (2,), 1: (4,), 2: (4,), 3: (4,)}
    with pytest.raises(InputError, match=r"^pins leave no width of the activations of layer '3'$"):
        problem_of(program, found, WEIGHTS, TENSORS, limits, {"*": (None, 2)})
