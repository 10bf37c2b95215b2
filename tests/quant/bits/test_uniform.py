"""Uniform bits under budgets."""

import re
from math import inf

import numpy as np
import pytest
import torch
from torch import fx, nn

from quant.bits.uniform import uniform_choices
from quant.layers.quantized import QuantConv2d, QuantLinear
from quant.lowering.lower import lower
from quant.quantizers.base import ActivationQuantizer
from sim.arch.machine import Machine
from sim.cost.estimate import estimate
from sim.cost.table import CostTable
from sim.energy.technology import load_technology
from sim.errors import InputError
from sim.ir.program import Program
from sim.plan.plan import plan

PAIRS = [(w, a) for w in range(2, 9) for a in range(2, 9)]


def test_no_budget_leaves_every_pair(lowered_digits: Program, table: CostTable) -> None:
    """In rising order, weights first."""
    assert [(found.weight_bits, found.activation_bits)
            for found in uniform_choices(lowered_digits, table, {"energy_pj": 1e15})] == PAIRS


def test_costs_are_sums_of_the_table(lowered_digits: Program, table: CostTable) -> None:
    """Added up here, with the input at its own 5 bits."""
    rows = np.arange(len(table.layers))
    for found in uniform_choices(lowered_digits, table, {"latency_cycles": 1e9, "weight_bytes": 1e9}):
        w = np.full(len(rows), table.weight_bits.index(found.weight_bits))
        a = np.full(len(rows), table.activation_bits.index(found.activation_bits))
        a[0] = table.activation_bits.index(5)
        cycles = int(table.cycles[rows, w, a].sum()) + table.fixed_cycles
        assert found.used == {"latency_cycles": cycles, "weight_bytes": _bytes(table, w, a)}


def _bytes(table: CostTable, w: np.ndarray, a: np.ndarray) -> int:
    unit = [row for row, name in enumerate(table.layers) if name == "pool"]
    w[unit] = 0
    return int(table.bytes[np.arange(len(w)), w, a].sum())


@pytest.mark.parametrize("pair", [(2, 2), (4, 4), (3, 6)])
def test_a_limit_of_its_own_cost_lets_a_pair_in(
        pair: tuple[int, int], lowered_digits: Program, table: CostTable) -> None:
    """Equal is within the budget, the next smaller float is not."""
    costs = {(found.weight_bits, found.activation_bits): found.used["energy_pj"]
             for found in uniform_choices(lowered_digits, table, {"energy_pj": 1e15})}
    for limit, inside in ((np.nextafter(costs[pair], inf).item(), True), (np.nextafter(costs[pair], 0).item(), False)):
        found = uniform_choices(lowered_digits, table, {"energy_pj": limit})
        assert (pair in [(choice.weight_bits, choice.activation_bits) for choice in found]) == inside
        assert all(choice.used["energy_pj"] <= limit for choice in found)


def test_the_simulated_network_costs_no_more(
        wide: fx.GraphModule, lowered_digits: Program, table: CostTable, machine: Machine) -> None:
    """Lowered at each fourth pair that fits, cycles and energy stay within what is said of it."""
    limits = {"latency_cycles": 1e9, "energy_pj": 1e15}
    for found in uniform_choices(lowered_digits, table, limits)[::4]:
        _set_all(wide, found.weight_bits, found.activation_bits)
        final = lower(wide, torch.zeros(1, 1, 8, 8), machine.arithmetic)
        cost = estimate(plan(final, machine), load_technology(machine.technology))
        assert cost.latency_cycles <= found.used["latency_cycles"]
        assert cost.energy.nominal_pj <= found.used["energy_pj"]


def _set_all(model: nn.Module, weight_bits: int, activation_bits: int) -> None:
    for name, module in model.named_modules():
        if isinstance(module, QuantConv2d | QuantLinear):
            module.weight_quantizer.set_bits(weight_bits, module.weight)
        if isinstance(module, ActivationQuantizer) and name != "x_quantizer":
            module.set_bits(activation_bits, torch.rand(256) * 4)


def test_refuses_unknown_budgets(lowered_digits: Program, table: CostTable) -> None:
    """As an allocation does."""
    with pytest.raises(InputError, match=re.escape("a budget must be one of latency_cycles, ")):
        uniform_choices(lowered_digits, table, {"area": 3})
