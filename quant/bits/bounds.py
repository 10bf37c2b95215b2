"""What no allocation can undercut, in exact arithmetic: Lagrangian bounds, and a search that proves with them.

For any prices of at least 0, loss + sum of price * (cost - limit) is at most the loss wherever the budgets are kept,
and its minimum falls apart into one small choice per group. Good prices make it the relaxation's optimum.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from fractions import Fraction
from functools import cached_property
from heapq import heappop, heappush
from math import inf, lcm, nextafter
from operator import le
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quant.bits.allocation import Choice, Problem

__all__ = ["Allowed", "PricedProblem", "at_least", "at_most", "certified_bound", "legal"]

Pair = tuple[int, int]
"""Indices of weight and activation bits of one layer."""

Allowed = NDArray[np.bool_]
"""Shape (layers, weights, activations): the pairs that a layer may have."""


def legal(problem: Problem) -> Allowed:
    """Return the pairs that layers may have."""
    allowed = np.zeros((len(problem.layers), len(problem.weight_bits), len(problem.activation_bits)), np.bool_)
    for group, layers in enumerate(problem.groups):
        for layer in layers:
            allowed[np.ix_([layer], problem.weight_options(layer), problem.activation_options(group))] = True
    return allowed


def at_most(value: Fraction) -> float:
    """Return the largest float that is not above `value`."""
    nearest = float(value)
    return nearest if Fraction(nearest) <= value else nextafter(nearest, -inf)


def at_least(value: Fraction) -> float:
    """Return the smallest float that is not below `value`."""
    nearest = float(value)
    return nearest if Fraction(nearest) >= value else nextafter(nearest, inf)


def certified_bound(problem: Problem, prices: Mapping[str, float]) -> float:
    """Return a loss that no choice within the budgets undercuts, for any prices of at least 0."""
    return at_most(PricedProblem(problem, prices, legal(problem)).bound)


class _Partial(NamedTuple):
    """Pairs of the first layers, in order of the least bound; among equals the longer first.

    `depth` is minus the number of `chosen` pairs, `used` what they cost by budget.
    """

    bound: int
    depth: int
    chosen: tuple[Pair, ...]
    used: tuple[int, ...]


class _Undominated:
    """What partial choices use of the budgets, of those that no earlier one makes superfluous."""

    def __init__(self) -> None:
        self._found: dict[tuple[int, int], list[tuple[int, ...]]] = {}

    def add(self, alike: tuple[int, int], used: tuple[int, ...]) -> bool:
        """Add one, or return False if an earlier one that goes on in the same ways uses no more of any budget."""
        known = self._found.setdefault(alike, [])
        if any(all(map(le, other, used)) for other in known):
            return False
        known.append(used)
        return True


class PricedProblem:
    """A problem whose costs have become losses by prices; all numbers are whole multiples of 1 / `unit`.

    Parameters
    ----------
    problem : Problem
    prices : mapping of str to float
        Loss per unit of each cost, at least 0.
    allowed : Allowed
        At least one pair of each layer, the same activations for all layers of a group.
    """

    def __init__(self, problem: Problem, prices: Mapping[str, float], allowed: Allowed) -> None:
        self.problem, self.allowed = problem, allowed
        price = {name: Fraction(prices[name]) for name in problem.costs}
        self.unit = lcm(*(Fraction(entry).denominator for table in (problem.weight_loss, problem.activation_loss)
                          for entry in table.ravel().tolist()),
                        *(price[name].denominator * cost.unit for name, cost in problem.exact.items()))
        factors = {name: int(price[name] * self.unit / cost.unit) for name, cost in problem.exact.items()}
        self.constant = -sum(factors[name] * cost.limit for name, cost in problem.exact.items())
        weight_loss, activation_loss = (self._whole(table) for table in (problem.weight_loss, problem.activation_loss))
        self.loss = [[[w + a for a in row_a] for w in row_w]
                     for row_w, row_a in zip(weight_loss, activation_loss, strict=True)]
        self.table = [[[entry + sum(factors[name] * cost.table[layer][w][a] for name, cost in problem.exact.items())
                        for a, entry in enumerate(row)] for w, row in enumerate(rows)]
                      for layer, rows in enumerate(self.loss)]

    def _whole(self, table: NDArray[np.float64]) -> list[list[int]]:
        return [[int(Fraction(entry) * self.unit) for entry in row] for row in table.tolist()]

    def _activations(self, layer: int) -> list[int]:
        return [int(a) for a in np.flatnonzero(self.allowed[layer].any(axis=0))]

    @cached_property
    def _least(self) -> list[dict[int, int]]:
        """Least entry of the table over the allowed weight bits, by layer and activation bits."""
        return [{a: min(self.table[layer][w][a] for w in np.flatnonzero(self.allowed[layer, :, a]).tolist())
                 for a in self._activations(layer)} for layer in range(len(self.problem.layers))]

    @cached_property
    def _group_least(self) -> list[dict[int, int]]:
        """Sum of the least entries of a group of layers, by activation bits."""
        return [{a: sum(self._least[layer][a] for layer in layers) for a in self._activations(layers[0])}
                for layers in self.problem.groups]

    @property
    def bound(self) -> Fraction:
        """A loss that no allowed choice within the budgets undercuts."""
        return Fraction(self.constant + sum(min(values.values()) for values in self._group_least), self.unit)

    def extra(self, layer: int, w: int, a: int) -> int:
        """Return by how much the bound rises if a layer has that pair, in 1 / `unit`."""
        of_group = self._group_least[self.problem.group_of[layer]]
        return of_group[a] - min(of_group.values()) + self.table[layer][w][a] - self._least[layer][a]

    def below(self, loss: Fraction) -> Allowed:
        """Return the allowed pairs that a choice that loses at most `loss` can have."""
        room = (loss - self.bound) * self.unit
        kept = np.zeros_like(self.allowed)
        for layer, w, a in np.argwhere(self.allowed).tolist():
            kept[layer, w, a] = self.extra(layer, w, a) <= room
        for layers in self.problem.groups:
            kept[list(layers)] &= kept[list(layers)].any(axis=1).all(axis=0)
        return kept

    def search(self, best: Choice, most: int) -> tuple[Choice, Fraction]:
        """Return the best allowed choice and a loss that none undercuts; equal if `most` steps suffice.

        Parameters
        ----------
        best : Choice
            Within the budgets.
        most : int
            Partial choices to look at, those of the least bound first.
        """
        least, steps = self._whole_loss(best), 0
        heap = [_Partial(int(self.bound * self.unit), 0, (), (0,) * len(self.problem.exact))]
        seen = _Undominated()
        while heap and heap[0].bound < least and steps < most:
            part, steps = heappop(heap), steps + 1
            if len(part.chosen) < len(self._order):
                if not seen.add(self._alike(part), self._binding(part)):
                    continue
                for longer in self._longer(part):
                    if longer.bound < least:
                        heappush(heap, longer)
                continue
            choice = np.array([pair for _, pair in sorted(zip(self._order, part.chosen, strict=True))], np.intp)
            if self._whole_loss(choice) < least:
                best, least = choice, self._whole_loss(choice)
        return best, Fraction(min(least, heap[0].bound) if heap else least, self.unit)

    @cached_property
    def _order(self) -> list[int]:
        """Layers group by group."""
        return [layer for layers in self.problem.groups for layer in layers]

    @cached_property
    def _rest(self) -> list[list[int]]:
        """Least cost of the layers still open, by number of chosen layers and by budget."""
        return self._open_costs(min)

    @cached_property
    def _most_rest(self) -> list[list[int]]:
        """Largest cost of the layers still open, in the same order."""
        return self._open_costs(max)

    def _open_costs(self, pick: Callable[[Iterable[int]], int]) -> list[list[int]]:
        rest = [[0] * len(self.problem.exact)]
        for layer in reversed(self._order):
            pairs = np.argwhere(self.allowed[layer]).tolist()
            rest.append([so_far + pick(cost.table[layer][w][a] for w, a in pairs)
                         for so_far, cost in zip(rest[-1], self.problem.exact.values(), strict=True)])
        return rest[::-1]

    def _alike(self, part: _Partial) -> tuple[int, int]:
        """Return what partial choices that go on in the same ways have in common."""
        chosen = len(part.chosen)
        inside = 0 < chosen < len(self._order) and (
            self.problem.group_of[self._order[chosen]] == self.problem.group_of[self._order[chosen - 1]])
        return chosen, part.chosen[-1][1] if inside else -1

    def _binding(self, part: _Partial) -> tuple[int, ...]:
        """Return what a partial choice uses, but never less than what leaves room for any rest."""
        return tuple(max(used, cost.limit - rest) for used, cost, rest in zip(
            part.used, self.problem.exact.values(), self._most_rest[len(part.chosen)], strict=True))

    def _longer(self, part: _Partial) -> Iterator[_Partial]:
        """Yield a partial choice with one layer more, where the rest still has room in every budget."""
        layer, costs = self._order[len(part.chosen)], list(self.problem.exact.values())
        first = self.problem.groups[self.problem.group_of[layer]][0]
        rest = self._rest[len(part.chosen) + 1]
        for w, a in np.argwhere(self.allowed[layer]).tolist():
            more = self.extra(layer, w, a)
            if layer != first:
                if a != part.chosen[-1][1]:
                    continue
                more = self.table[layer][w][a] - self._least[layer][a]
            used = tuple(so_far + cost.table[layer][w][a] for so_far, cost in zip(part.used, costs, strict=True))
            if all(total + other <= cost.limit for total, other, cost in zip(used, rest, costs, strict=True)):
                yield _Partial(part.bound + more, part.depth - 1, (*part.chosen, (w, a)), used)

    def _whole_loss(self, choice: Choice) -> int:
        return sum(self.loss[layer][w][a] for layer, (w, a) in enumerate(choice.tolist()))
