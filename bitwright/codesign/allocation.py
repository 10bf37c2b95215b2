"""Bits for every layer of a Program, under budgets on a machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bitwright.codesign.resolve import check_program, resolve_machine, resolve_technology
from bitwright.codesign.sensitivities import Losses, check_losses, load_losses
from quant.bits.allocate import Method
from quant.bits.allocate import allocate as solve
from quant.bits.allocation import Allocation
from quant.bits.problem import problem_of
from sim.arch.machine import Machine
from sim.cost.table import cost_table
from sim.energy.technology import Technology
from sim.ir.program import Program

__all__ = ["allocate"]


def allocate(program: Program, machine: Machine | str | Path, sensitivities: Mapping[str, object] | str | Path,
             budgets: Mapping[str, float], *, technology: Technology | str | Path | None = None,
             method: Method = "milp") -> Allocation:
    """Choose the bits of every layer so that every budget holds and the expected loss is smallest.

    Parameters
    ----------
    program : Program
        Without Loads and Stores; of its widths only those of its inputs count.
    machine : Machine, str or Path
        A built-in machine by its name (tiny, edge, large), or a YAML file that describes one.
    sensitivities : mapping, str or Path
        `bits`, the widths to choose from, `weight`, the expected loss of each layer at each width, and `activation`,
        that of each stored tensor; or a JSON file that holds them, such as `bitwright demo` writes.
    budgets : mapping of str to float
        Limits of latency_cycles, energy_pj, weight_bytes, peak_activation_bytes, bops, mean_weight_bits or
        mean_activation_bits.
    technology : Technology, str or Path, optional
        Energy of every event: a built-in table by its name, or a YAML file; that of the machine if None.
    method : {"lp", "milp", "convex", "greedy"}
        `milp` is exact, the others are faster; all give a certified gap.

    Returns
    -------
    Allocation
        Bits of every layer, what they use of each budget, and how much a better choice could save at most.

    Raises
    ------
    InputError
        If something is unknown, out of range or missing, or a budget cannot be met; the message gives its smallest
        achievable value.
    EngineError
        If an outside solver fails.
    """
    check_program(program)
    target = resolve_machine(machine)
    losses = _losses(sensitivities)
    table = cost_table(program, target, resolve_technology(technology, target), losses.bits, losses.bits)
    return solve(problem_of(program, table, losses.weight, losses.activation, budgets), method)


def _losses(sensitivities: Mapping[str, object] | str | Path) -> Losses:
    if isinstance(sensitivities, str | Path):
        return load_losses(sensitivities)
    return check_losses(sensitivities)
