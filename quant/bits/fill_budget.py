"""Allocate so that the simulated cost, not the table's bound on it, comes close to a budget.

Tables bound what a layer costs, whatever its neighbours' bits and its multipliers' digits turn out to be. So what they
allow leaves part of a budget unused. Here the limits that the solver is given are raised, or lowered, by the ratio of
the budget to the simulated cost of what it found, until that cost hits the budget.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from quant.bits.allocate import Method, allocate, least_costs
from quant.bits.allocation import Allocation, Part, Problem
from quant.bits.bounds import at_least
from quant.bits.simulation import SIMULATED
from sim.errors import InputError

__all__ = ["fill_budget"]

Bits = Mapping[str, tuple[int, int]]

SOLVES = 6
"""Most allocations that are tried; three or four come within half a percent."""
CLOSE = 0.002
"""Share of a limit that is left alone."""


def fill_budget(problem: Problem, method: Method, simulate: Callable[[Bits], Mapping[str, float]],
                margin: float) -> Allocation:
    """Choose bits of least loss whose simulated cost keeps the budgets.

    Parameters
    ----------
    problem : Problem
        Its costs of latency and energy guide; the simulated ones decide. All other budgets hold exactly.
    method : {"lp", "milp", "convex", "greedy"}
    simulate : callable
        Gives the simulated cost of bits, for each budget of SIMULATED.
    margin : float, in 0..1
        Share of a budget that a simulated cost must leave, unless the tables already prove that the budget holds.

    Returns
    -------
    Allocation
        `used` is simulated; `lower_bound` is 0, since tables prove nothing about bits that they do not bound.

    Raises
    ------
    InputError
        If a budget cannot be met; the message gives its smallest achievable value.
    EngineError
        If an outside solver fails.
    """
    names = [name for name in SIMULATED if name in problem.limits]
    least = {name: at_least(cost) for name, cost in least_costs(problem).items()}
    limits = {name: max(limit, least[name]) if name in names else limit for name, limit in problem.limits.items()}
    best: Allocation | None = None
    seen: dict[str, float] = {}
    for _ in range(SOLVES):
        found = allocate(replace(problem, limits=limits), method)
        costs = simulate(found.bits)
        seen = seen or {name: costs[name] for name in names}
        rooms = {name: _room(problem.part(name), costs[name], margin) for name in names}
        room = min(rooms.values(), default=1.0)
        if room >= 1.0 or problem.keeps_budgets(problem.choice(found.bits)):
            if best is not None and found.bits == best.bits:
                break
            if best is None or found.objective < best.objective:
                best = replace(found, used=found.used | {name: costs[name] for name in names}, lower_bound=0.0)
        if 1.0 <= room <= 1.0 + CLOSE:
            break
        change = {name: found_room * (1.0 if room >= 1.0 else 1.0 - CLOSE) for name, found_room in rooms.items()}
        limits |= {name: max(limits[name] * change[name], least[name]) for name in names}
    if best is None:
        name = min(names, key=lambda name: _room(problem.part(name), seen[name], margin))
        part = problem.part(name)
        raise InputError(f"budget {name}: {part.limit:g} cannot be met; the {'largest' if part.floor else 'smallest'} "
                         f"achievable in the simulation is about {seen[name]:g}")
    return best


def _room(part: Part, cost: float, margin: float) -> float:
    """Return how many times a simulated cost may grow, or how often it may shrink, until it reaches its limit."""
    return (1.0 - margin) * (cost / part.limit if part.floor else part.limit / cost)
