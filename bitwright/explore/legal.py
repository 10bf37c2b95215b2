"""Legal machines only: which combinations of parameters are machines, and by which rules the others are none."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from bitwright.explore.candidate import Candidate
from bitwright.explore.expression import Value
from bitwright.explore.points import Point
from bitwright.explore.space import Space
from sim.arch.machine import Machine
from sim.errors import InputError
from sim.io.yaml_model import sentence

__all__ = ["Dropped", "Groups", "LegalMachines"]

NUMBER = re.compile(r"-?\b\d+(\.\d+)?(e[-+]?\d+)?\b")


@dataclass
class Dropped:
    """Combinations of parameters that one rule refuses.

    Attributes
    ----------
    rule : str
        With `N` for every number.
    machines : int
    example : str
        What the rule says of the first of them.
    parameters : dict of str to number
        Those of the first.
    """

    rule: str
    machines: int
    example: str
    parameters: dict[str, Value]


def rule_of(said: str) -> str:
    """Return a sentence with `N` for every number: what all refusals by one rule have in common."""
    return NUMBER.sub("N", said)


class Groups:
    """Reasons by their rule: how often each was given, and what it said first.

    Examples
    --------
    >>> groups = Groups()
    >>> for reason in ("needs 3 words", "too wide", "needs 4 words"):
    ...     groups.add(reason)
    >>> groups.items()
    [('needs 3 words', 2), ('too wide', 1)]
    """

    def __init__(self) -> None:
        self._first, self._counts = dict[str, str](), Counter[str]()

    def add(self, reason: str) -> None:
        """Count a reason."""
        self._first.setdefault(rule_of(reason), reason)
        self._counts[rule_of(reason)] += 1

    def items(self) -> list[tuple[str, int]]:
        """Return the first reason of every rule and how many there are, the most frequent first."""
        return [(self._first[rule], count) for rule, count in self._counts.most_common()]


class LegalMachines:
    """The rules of a space: its constraints and those of machines.

    Attributes
    ----------
    dropped : dict of str to Dropped
        What was refused so far, by rule; each combination counts once.
    """

    def __init__(self, space: Space, base: Machine) -> None:
        self._space, self._base = space, base.model_dump()
        self._flat = {**{name: value for name, value in self._base.items() if name != "memory"},
                      **{f"memory.{name}": value for name, value in self._base["memory"].items()}}
        self._refused: set[int] = set()
        self._last: tuple[int, Machine | None] = -1, None
        self.dropped: dict[str, Dropped] = {}

    def candidate(self, number: int, point: Point) -> Candidate | None:
        """Return the candidate of a point, or None if it has no machine; that counts as dropped."""
        if point.machine in self._refused:
            return None
        try:
            if point.machine != self._last[0]:
                self._last = point.machine, self._legal(point)
        except _IllegalError as error:
            self._refused.add(point.machine)
            self._drop(str(error), point.parameters)
            return None
        machine = self._last[1]
        assert machine is not None
        return Candidate(number, point, machine, self._parameters(point))

    def _parameters(self, point: Point) -> dict[str, Value]:
        """Return the parameters that the space gives the machine of a point, those that follow from others included."""
        return dict(point.parameters) | self._derived(self._flat | point.parameters)

    def _legal(self, point: Point) -> Machine:
        """Return the machine of a point."""
        found = self._flat | point.parameters
        try:
            found |= self._derived(found)
            for constraint in self._space.constraints:
                if not constraint.value(found):
                    raise _IllegalError(f"constraint {constraint.text}")
        except InputError as error:
            raise _IllegalError(str(error)) from None
        try:
            return Machine.model_validate(self._nested(found) | {"name": f"{self._base['name']}-{point.machine}"})
        except ValidationError as error:
            raise _IllegalError(sentence(error.errors(include_url=False)[0])) from None

    def _derived(self, found: Mapping[str, Value]) -> dict[str, Value]:
        return {name: _whole(expression.value(found)) for name, expression in self._space.machine.derived.items()}

    def _nested(self, flat: Mapping[str, Any]) -> dict[str, Any]:
        own = {name: value for name, value in flat.items() if not name.startswith("memory.")}
        return own | {"memory": {name: flat[f"memory.{name}"] for name in self._base["memory"]}}

    def _drop(self, said: str, parameters: dict[str, Value]) -> None:
        rule = said if said.startswith("constraint ") else rule_of(said)
        group = self.dropped.setdefault(rule, Dropped(rule, 0, said, parameters))
        group.machines += 1


class _IllegalError(Exception):
    """A combination that is no machine, with the rule that refuses it."""


def _whole(number: Value) -> Value:
    """Return a whole number as an integer, as parameters are."""
    return int(number) if isinstance(number, float) and number.is_integer() else number
