"""Fixed bits under the same budgets: what mixed bits have to be compared with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from quant.bits.budgets import stored_input
from quant.bits.moves import has_fixed_weights
from quant.bits.problem import problem_of
from sim.cost.table import CostTable
from sim.ir.program import Program

__all__ = ["UniformChoice", "uniform_choices"]


@dataclass(frozen=True)
class UniformChoice:
    """One width for all weights and one for all activations, inputs and `unit` weights excepted.

    Attributes
    ----------
    weight_bits, activation_bits : int
        [bits]
    used : dict of str to float
        What they cost, by budget and by the table; never above the limit.
    """

    weight_bits: int
    activation_bits: int
    used: dict[str, float]


def uniform_choices(program: Program, table: CostTable, limits: Mapping[str, float]) -> tuple[UniformChoice, ...]:
    """Return all uniform bits of `table` that keep every budget, exactly, in rising order.

    They are judged by the same table as an allocation, so that either may be trusted as far as the other.

    Parameters
    ----------
    program : Program
    table : CostTable
        Of this Program.
    limits : mapping of str to number
        Budgets by name, of `quant.bits.budgets.BUDGETS`.

    Raises
    ------
    InputError
        If the table is of other layers, or a budget is unknown.
    """
    weights, activations = [0.0] * len(table.weight_bits), [0.0] * len(table.activation_choices)
    inputs = {tensor.name for tensor in program.inputs}
    problem = problem_of(program, table,
                         {conv.name: weights for conv in program.convs if not has_fixed_weights(conv)},
                         {name: activations for conv in program.convs
                          if (name := stored_input(program, conv)) not in inputs}, limits)
    found = []
    for w, weight_bits in enumerate(table.weight_bits):
        for activation_bits in table.activation_choices:
            a = table.activation_bits.index(activation_bits)
            choice = np.tile(np.array([w, a], np.intp), (len(problem.layers), 1))
            for layer, group in enumerate(problem.group_of):
                if len(options := problem.weight_options(layer)) == 1:
                    choice[layer, 0] = options[0]
                if len(options := problem.activation_options(group)) == 1:
                    choice[layer, 1] = options[0]
            if problem.keeps_budgets(choice):
                found.append(UniformChoice(weight_bits, activation_bits, problem.spent(choice)))
    return tuple(found)
