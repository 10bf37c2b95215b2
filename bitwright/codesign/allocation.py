"""Bits for every layer of a Program, under budgets on a machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bitwright.codesign.resolve import check_program, resolve_machine, resolve_technology
from bitwright.codesign.sensitivities import Losses, check_losses, load_losses
from quant.bits.allocate import Method
from quant.bits.allocate import allocate as solve
from quant.bits.allocation import Allocation
from quant.bits.pins import Pins
from quant.bits.problem import problem_of
from sim.arch.machine import Machine
from sim.cost.table import cost_table
from sim.energy.technology import Technology
from sim.ir.program import Program

__all__ = ["allocate"]


def allocate(program: Program, machine: Machine | str | Path, sensitivities: Mapping[str, object] | str | Path,
             budgets: Mapping[str, float], *, technology: Technology | str | Path | None = None,
             method: Method = "milp", pins: Pins | None = None,
             digits: int | Mapping[str, int] | None = None) -> Allocation:
    """Choose the bits of every layer so that every budget holds and the expected loss is smallest.

    Losses count as they are: no training follows that would remove the error of weights, so they get no discount as in
    `quant.bits.qbitopt.QBitOpt`.

    Parameters
    ----------
    program : Program
        Without Loads and Stores; of its widths only those of its inputs count.
    machine : Machine, str or Path
        A built-in machine by its name (tiny, edge, large), or a YAML file that describes one.
    sensitivities : mapping, str or Path
        `bits`, the widths to choose from, `weight`, the expected loss of each layer at each width, and `activation`,
        that of each stored tensor; or a JSON file that holds them, such as `bitwright sensitivities` writes.
    budgets : mapping of str to float
        Limits of latency_cycles, latency_ms, energy_pj (nominal), energy_mj, power_mw, edp_mj_ms (these three at the
        high end of the band), weight_bytes, peak_activation_bytes, bops, mean_weight_bits or mean_activation_bits; or
        fps, the least images per second.
    technology : Technology, str or Path, optional
        Energy of every event: a built-in table by its name, or a YAML file; that of the machine if None.
    method : {"lp", "milp", "convex", "greedy"}
        `milp` is exact, the others are faster; all give a certified gap.
    pins : mapping of layer or pattern to (weights, activations), optional
        Widths that layers may have: of each side one width, several, or None for all. `{"conv1": (8, None),
        "layer1.*": ((2, 3), 4)}` leaves 8 bits to the weights of `conv1`. A layer keeps to every key that fits it. The
        width of the input is the host's and is not touched.
    digits : int, or mapping of layer to int, optional
        Most signed digits of a multiplier, of every layer or by layer; None for as many as the machine has. Networks of
        strict powers of two have 1. The budgets hold for networks that keep to it.

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
    table = cost_table(program, target, resolve_technology(technology, target), losses.bits, losses.bits,
                       digits)
    return solve(problem_of(program, table, losses.weight, losses.activation, budgets, pins), method)


def _losses(sensitivities: Mapping[str, object] | str | Path) -> Losses:
    if isinstance(sensitivities, str | Path):
        return load_losses(sensitivities)
    return check_losses(sensitivities)
