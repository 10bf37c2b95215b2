"""`allocate`: solve an allocation problem by one of four methods, always within every budget."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import inf
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from quant.bits.allocation import Allocation, Choice, ExactCost, Part, Problem
from quant.bits.bounds import PricedProblem, at_least, at_most, certified_bound, legal
from quant.bits.convex import solve_convex
from quant.bits.relaxation import Relaxed, solve_relaxation, solve_whole
from sim.errors import InputError

__all__ = ["Method", "allocate", "least_costs"]

Method = Literal["lp", "milp", "convex", "greedy"]

ROUNDS = 5
"""Most times that pairs are ruled out; after the first it is usually one or none."""
ROOM = Fraction(1, 2**40)
"""Share of a limit that roundings in a table cannot exceed."""
STEPS = 5000
"""Partial choices that the proof of `milp` looks at: well under a second."""


def allocate(problem: Problem, method: Method = "lp") -> Allocation:
    """Choose bits of least loss.

    Parameters
    ----------
    problem : Problem
    method : {"lp", "milp", "convex", "greedy"}
        `lp`: linear relaxation, rounded, repaired and improved; milliseconds. `milp`: exact, by branch and bound; a
        search in exact arithmetic proves the optimum, or, if that would take too long, leaves a `gap`.
        `convex`: the relaxation to real bits that QBitOpt poses, rounded, repaired and improved in the same way.
        `greedy`: from the bits that cost least, the change that saves most loss for its share of the budgets, again and
        again. All but `milp` leave a certified `gap`.

    Raises
    ------
    InputError
        If there are no layers, or a budget cannot be met; the message gives its smallest achievable value.
    EngineError
        If an outside solver fails.

    Examples
    --------
    >>> losses = np.array([[4.0, 1.0], [8.0, 2.0]])
    >>> cost = np.array([[[2], [4]], [[2], [4]]])
    >>> found = allocate(Problem(("a", "b"), (2, 4), (8,), losses, np.zeros((2, 1)), {"bytes": cost}, {"bytes": 7}))
    >>> found.bits, found.used, found.objective, round(found.gap, 9)
    ({'a': (2, 8), 'b': (4, 8)}, {'bytes': 6.0}, 6.0, 1.5)
    """
    if method not in get_args(Method):
        raise InputError(f"method must be one of {', '.join(get_args(Method))}, not {method}")
    if not problem.layers:
        raise InputError("there are no layers to choose bits for")
    _check_achievable(problem)
    relaxed = solve_relaxation(problem, legal(problem))
    if relaxed is None:
        raise _jointly_impossible(problem)
    if method == "greedy":
        choice = _greedily(problem)
    elif method == "convex":
        choice = _within_budgets(problem, _rounded(problem, solve_convex(_clipped(problem, relaxed))))
    else:
        choice = _within_budgets(problem, _rounded(problem, relaxed.shares))
    if method == "milp" or choice is None:
        return _exactly(problem, relaxed, choice)
    return _result(problem, choice, certified_bound(problem, relaxed.prices))


def _clipped(problem: Problem, relaxed: Relaxed) -> Problem:
    """Return the problem with no loss above that of a known solution: choices that lose more only spoil the scale."""
    known = _within_budgets(problem, _rounded(problem, relaxed.shares))
    most = inf if known is None else problem.loss(known)
    return replace(problem, weight_loss=np.minimum(problem.weight_loss, most),
                   activation_loss=np.minimum(problem.activation_loss, most))


def _exactly(problem: Problem, relaxed: Relaxed, known: Choice | None) -> Allocation:
    """Rule out pairs that lose more than a known choice, branch and bound over the rest, and prove the result.

    Without the pairs that are ruled out, losses have the scale at which choices differ: solvers' tolerances are of
    that scale too.
    """
    best = known if known is not None else solve_whole(problem, legal(problem))
    if best is None:
        raise _jointly_impossible(problem)
    priced = PricedProblem(problem, relaxed.prices, legal(problem))
    for _ in range(ROUNDS):
        allowed, next_relaxed = priced.below(problem.exact_loss(best)), None
        if allowed.sum() < priced.allowed.sum():
            next_relaxed = solve_relaxation(problem, allowed)
        if next_relaxed is None:
            break
        best = _better(problem, best, _within_budgets(problem, _rounded(problem, next_relaxed.shares)))
        priced = PricedProblem(problem, next_relaxed.prices, allowed)
    best = _better(problem, best, solve_whole(problem, priced.below(problem.exact_loss(best))))
    best, bound = priced.search(best, STEPS)
    return _result(problem, best, at_most(bound) if bound < problem.exact_loss(best) else problem.loss(best))


def _better(problem: Problem, best: Choice, other: Choice | None) -> Choice:
    return best if other is None or problem.exact_loss(other) >= problem.exact_loss(best) else other


def _result(problem: Problem, choice: Choice, lower_bound: float) -> Allocation:
    return Allocation(problem.bits(choice), problem.spent(choice), problem.loss(choice), lower_bound)


def _check_achievable(problem: Problem) -> None:
    """Refuse a budget that the bits of least cost exceed; of several parts the largest says what is achievable."""
    least = least_costs(problem)
    for name, value in least.items():
        if value > Fraction(problem.limits[name]):
            part = problem.part(name)
            if part.value is not None:
                raise InputError(f"budget {part.budget}: {_number(part.limit)} cannot be met; "
                                 f"{_number(_can_be_met(problem, part, name))} can")
            smallest = max(least[other] / problem.part(other).per for other in least
                           if problem.part(other).budget == part.budget)
            raise InputError(f"budget {part.budget}: {_number(part.limit)} cannot be met; the smallest achievable is "
                             f"{_number(at_least(smallest))}")


def least_costs(problem: Problem) -> dict[str, Fraction]:
    """Return the smallest value that each cost can have by itself."""
    return {name: Fraction(_least(problem, cost), cost.unit) for name, cost in problem.exact.items()}


def _least(problem: Problem, cost: ExactCost) -> int:
    return sum(cost.table[layer][w][a] for layer, (w, a) in enumerate(_least_choice(problem, cost).tolist()))


def _least_choice(problem: Problem, cost: ExactCost) -> Choice:
    """Return the choice that costs least."""
    choice = np.zeros((len(problem.layers), 2), np.intp)
    for group, layers in enumerate(problem.groups):
        found = []
        for a in problem.activation_options(group):
            weights = [min(problem.weight_options(layer), key=lambda w: cost.table[layer][w][a]) for layer in layers]
            found.append((sum(cost.table[layer][w][a] for layer, w in zip(layers, weights, strict=True)), weights, a))
        _, weights, a = min(found)
        for layer, w in zip(layers, weights, strict=True):
            choice[layer] = w, a
    return choice


def _can_be_met(problem: Problem, part: Part, name: str) -> float:
    """Return a limit in the budget's unit that a choice keeps, whatever is rounded."""
    if part.value is None:
        raise AssertionError(f"the budget {part.budget} is a sum")
    value = part.value(_least_choice(problem, problem.exact[name]))
    return at_most(value * (1 - ROOM)) if part.floor else at_least(value * (1 + ROOM))


def _jointly_impossible(problem: Problem) -> InputError:
    parts = dict.fromkeys((part.budget, part.limit) for part in map(problem.part, problem.limits))
    limits = " and ".join(f"{name}: {_number(limit)}" for name, limit in parts)
    return InputError(f"budgets {limits} cannot be met together, though each can be met alone")


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def _rounded(problem: Problem, shares: NDArray[np.float64]) -> Choice:
    """Return the pair with the largest share; of a tensor that several layers read, by the sum of their shares."""
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
        """Yield every change of one layer's weight bits or of one tensor's activation bits, as (layer, w, a)."""
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
        """Return by how much budgets are exceeded, each as a share of its limit, summed."""
        return sum(max(used[name] - cost.limit, 0) / max(abs(cost.limit), 1)
                   for name, cost in self.problem.exact.items())

    def make(self, move: Sequence[tuple[int, int, int]]) -> None:
        self.used = self.used_after(move)
        for layer, w, a in move:
            self.choice[layer] = [w, a]


def _greedily(problem: Problem) -> Choice | None:
    """Start from the fewest bits and buy the best bargain that fits until none does; None if they exceed a budget."""
    start = [[problem.weight_options(layer)[0], 0] for layer in range(len(problem.layers))]
    for group, layers in enumerate(problem.groups):
        for layer in layers:
            start[layer][1] = problem.activation_options(group)[0]
    first = np.array(start, np.intp)
    search = _Search(problem, start, {name: int(problem.used(name, first) * cost.unit)
                                      for name, cost in problem.exact.items()})
    if search.excess(search.used) > 0:
        return _within_budgets(problem, first)
    while True:
        bargains = []
        for move in search.moves():
            gain, after = -search.loss_change(move), search.used_after(move)
            if gain > 0 and search.excess(after) == 0:
                price = sum(max(after[name] - search.used[name], 0) / max(abs(cost.limit), 1)
                            for name, cost in problem.exact.items())
                bargains.append((gain / price if price else inf, gain, move))
        if not bargains:
            return np.array(search.choice, np.intp)
        search.make(max(bargains, key=lambda bargain: bargain[:2])[2])


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
