"""`allocate`: solve an allocation problem by one of three methods, always within every budget."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import inf, nextafter
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from quant.allocation import Allocation, Choice, Problem
from quant.convex import solve_convex
from quant.relaxation import certified_bound, solve_exactly, solve_relaxation
from sim.errors import InputError

__all__ = ["Method", "allocate"]

Method = Literal["lp", "milp", "convex"]


def allocate(problem: Problem, method: Method = "lp") -> Allocation:
    """Choose bits of least loss.

    Parameters
    ----------
    problem : Problem
    method : {"lp", "milp", "convex"}
        `lp`: linear relaxation, rounded, repaired and improved; milliseconds. `milp`: exact, by branch and bound.
        `convex`: the relaxation to real bits that QBitOpt poses, rounded, repaired and improved in the same way.

    Raises
    ------
    InputError
        If a budget cannot be met; the message gives its smallest achievable value.

    Examples
    --------
    >>> losses = np.array([[4.0, 1.0], [8.0, 2.0]])
    >>> cost = np.array([[[2, 2], [4, 4]], [[2, 2], [4, 4]]])
    >>> found = allocate(Problem(("a", "b"), (2, 4), (8, 8), losses, np.zeros((2, 2)), {"bytes": cost}, {"bytes": 7}))
    >>> found.bits, found.used, found.objective, round(found.gap, 9)
    ({'a': (2, 8), 'b': (4, 8)}, {'bytes': 6.0}, 6.0, 1.5)
    """
    if method not in get_args(Method):
        raise InputError(f"method must be lp, milp or convex, not {method}")
    for name in problem.costs:
        _check_achievable(problem, name)
    if method == "milp":
        return _exactly(problem)
    relaxed = solve_relaxation(problem)
    if relaxed is None:
        raise _jointly_impossible(problem)
    shares = relaxed.shares if method == "lp" else solve_convex(problem)
    choice = _within_budgets(problem, _rounded(problem, shares))
    if choice is None:
        return _exactly(problem)
    return _result(problem, choice, certified_bound(problem, relaxed.prices))


def _exactly(problem: Problem) -> Allocation:
    found = solve_exactly(problem)
    if found is None:
        raise _jointly_impossible(problem)
    return _result(problem, *found)


def _result(problem: Problem, choice: Choice, lower_bound: float) -> Allocation:
    bits = {name: (problem.weight_bits[w], problem.activation_bits[a])
            for name, (w, a) in zip(problem.layers, choice.tolist(), strict=True)}
    return Allocation(bits, {name: float(problem.used(name, choice)) for name in problem.costs},
                      problem.loss(choice), lower_bound)


def _check_achievable(problem: Problem, name: str) -> None:
    cost = problem.exact[name]
    smallest = sum(min(sum(min(cost.table[layer][w][a] for w in problem.weight_options(layer)) for layer in layers)
                       for a in problem.activation_options(group)) for group, layers in enumerate(problem.groups))
    if smallest > cost.limit:
        raise InputError(f"budget {name}: {_number(problem.limits[name])} cannot be met; the smallest achievable is "
                         f"{_number(_at_least(Fraction(smallest, cost.unit)))}")


def _jointly_impossible(problem: Problem) -> InputError:
    limits = " and ".join(f"{name}: {_number(limit)}" for name, limit in problem.limits.items())
    return InputError(f"budgets {limits} cannot be met together, though each can be met alone")


def _at_least(value: Fraction) -> float:
    nearest = float(value)
    return nearest if Fraction(nearest) >= value else nextafter(nearest, inf)


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def _rounded(problem: Problem, shares: NDArray[np.float64]) -> Choice:
    """The pair with the largest share; of a tensor that several layers read, by the sum of their shares."""
    choice = np.zeros((len(problem.layers), 2), np.intp)
    for layers in problem.groups:
        a = int(shares[list(layers)].sum(axis=(0, 1)).argmax())
        for layer in layers:
            choice[layer] = int(shares[layer, :, a].argmax()), a
    return choice


@dataclass
class _Search:
    """A choice that single moves change; `used` follows it in exact whole numbers."""

    problem: Problem
    choice: list[list[int]]
    used: dict[str, int]

    def moves(self) -> Iterator[list[tuple[int, int, int]]]:
        """Every change of one layer's weight bits or of one tensor's activation bits, as (layer, w, a)."""
        for layer, (w, a) in enumerate(self.choice):
            yield from ([(layer, other, a)] for other in self.problem.weight_options(layer) if other != w)
        for group, layers in enumerate(self.problem.groups):
            for other in self.problem.activation_options(group):
                if other != self.choice[layers[0]][1]:
                    yield [(layer, self.choice[layer][0], other) for layer in layers]

    def used_after(self, move: Sequence[tuple[int, int, int]]) -> dict[str, int]:
        after = dict(self.used)
        for name, cost in self.problem.exact.items():
            for layer, w, a in move:
                old_w, old_a = self.choice[layer]
                after[name] += cost.table[layer][w][a] - cost.table[layer][old_w][old_a]
        return after

    def loss_change(self, move: Sequence[tuple[int, int, int]]) -> float:
        weight_loss, activation_loss = self.problem.weight_loss, self.problem.activation_loss
        return float(sum(weight_loss[layer, w] - weight_loss[layer, self.choice[layer][0]]
                         + activation_loss[layer, a] - activation_loss[layer, self.choice[layer][1]]
                         for layer, w, a in move))

    def excess(self, used: dict[str, int]) -> float:
        """By how much budgets are exceeded, each as a share of its limit, summed."""
        return sum(max(used[name] - cost.limit, 0) / max(abs(cost.limit), 1)
                   for name, cost in self.problem.exact.items())

    def make(self, move: Sequence[tuple[int, int, int]]) -> None:
        self.used = self.used_after(move)
        for layer, w, a in move:
            self.choice[layer] = [w, a]


def _within_budgets(problem: Problem, start: Choice) -> Choice | None:
    """Repair a choice until it keeps every budget, then improve it while one move gains; None if repair is stuck."""
    used = {name: int(problem.used(name, start) * cost.unit) for name, cost in problem.exact.items()}
    search = _Search(problem, start.tolist(), used)
    while (excess := search.excess(search.used)) > 0:
        saving = [(move, excess - search.excess(search.used_after(move))) for move in search.moves()]
        saving = [(move, saved) for move, saved in saving if saved > 0]
        if not saving:
            return None
        search.make(min(saving, key=lambda pair: search.loss_change(pair[0]) / pair[1])[0])
    while True:
        gains = [(search.loss_change(move), move) for move in search.moves()]
        better = sorted((gain for gain in gains if gain[0] < 0), key=lambda pair: pair[0])
        found = next((move for _, move in better if search.excess(search.used_after(move)) == 0), None)
        if found is None:
            return np.array(search.choice, np.intp)
        search.make(found)
