"""The simulation of a finalist: the function that jobs call."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from bitwright.explore.evaluate import figures_of, network_program
from sim.arch.machine import Machine
from sim.cost.estimate import estimate
from sim.energy.technology import Technology
from sim.plan.plan import plan

__all__ = ["simulate"]


def simulate(network: Mapping[str, Any], machine: Mapping[str, Any], technology: Mapping[str, Any], choice: int,
             bits: Mapping[str, Sequence[int]] | None, trained: Mapping[str, Any] | None) -> dict[str, Any]:
    """Make the Program of a network for a machine, and simulate it there, event by event.

    Parameters
    ----------
    network, machine, technology
        As for `bitwright.explore.evaluate.evaluate`.
    choice : int
        The way to choose bits.
    bits : dict, optional
        Of every layer, if they were allocated.
    trained : dict, optional
        Of what the Program is made (`bitwright.explore.measured.quantized_program`); without it, of shapes.

    Returns
    -------
    dict
        `figures`, bands by name; `costs`, by budget; `accuracy`, or None.
    """
    from quant.bits.simulation import simulated_costs  # torch, which evaluations do without

    target = Machine.model_validate_json(json.dumps(machine))
    priced = Technology.model_validate_json(json.dumps(technology))
    accuracy = None
    if trained is None:
        program = network_program(json.dumps(network), target, choice, bits)
    else:
        from bitwright.explore.measured import quantized_program
        program, accuracy = quantized_program(trained, network["choices"][choice], bits, target, priced)
    cost = estimate(plan(program, target), priced)
    costs = simulated_costs(cost) | {"weight_bytes": float(cost.weight_bytes)}
    return {"figures": figures_of(cost), "costs": costs, "accuracy": accuracy}
