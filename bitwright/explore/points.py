"""The points of a space: every combination of parameters and of ways to choose bits, by number."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from math import isqrt, prod

from bitwright.explore.expression import Value
from bitwright.explore.space import Space
from sim.errors import InputError

__all__ = ["Point", "Points", "shuffled"]

MAX_POINTS = 10**18
ROUNDS = 4


@dataclass(frozen=True)
class Point:
    """One combination.

    Attributes
    ----------
    machine : int
        Number of the combination of parameters.
    parameters : dict of str to number
        As given, without those that follow from others.
    choices : tuple of int
        Which of its ways to choose bits each network takes.
    """

    machine: int
    parameters: dict[str, Value]
    choices: tuple[int, ...]


class Points:
    """All points of a space in the order of their numbers: the last parameter changes before the first, bits fastest.

    Raises
    ------
    InputError
        If there are more than 10^18.

    Examples
    --------
    >>> space = Space.model_validate({"networks": [{"network": "resnet18", "bits": (4, 8)}],
    ...                               "machine": {"rows": (8, 16), "columns": (7,)}})
    >>> len(Points(space)), Points(space)[1]
    (4, Point(machine=0, parameters={'rows': 8, 'columns': 7}, choices=(1,)))
    """

    def __init__(self, space: Space) -> None:
        self.axes = space.machine.axes
        self.choices = tuple(len(network.choices) for network in space.networks)
        if (count := prod(self.sizes)) > MAX_POINTS:
            raise InputError(f"a space has at most {MAX_POINTS:.0e} points, not {count:.0e}")

    @cached_property
    def per_machine(self) -> int:
        """Ways to choose bits."""
        return prod(self.choices)

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """How many values every coordinate of a point has: parameters, then networks."""
        return (*map(len, self.axes.values()), *self.choices)

    def __len__(self) -> int:
        return prod(self.sizes)

    def __getitem__(self, number: int) -> Point:
        return self.at(self.coordinates(number))

    def coordinates(self, number: int) -> tuple[int, ...]:
        """Return the place of a point along every coordinate."""
        found = list[int]()
        for size in reversed(self.sizes):
            number, place = divmod(number, size)
            found.append(place)
        return tuple(reversed(found))

    def number(self, coordinates: tuple[int, ...]) -> int:
        """Return the number of the point at a place."""
        found = 0
        for size, place in zip(self.sizes, coordinates, strict=True):
            found = found * size + place
        return found

    def at(self, coordinates: tuple[int, ...]) -> Point:
        """Return the point at a place."""
        values = zip(self.axes.items(), coordinates, strict=False)
        return Point(self.number(coordinates) // self.per_machine,
                     {name: options[place] for (name, options), place in values}, coordinates[len(self.axes):])


def shuffled(count: int, seed: int) -> Iterator[int]:
    """Yield the numbers below `count`, each once, in an order that looks random; no memory is needed for it.

    A Feistel network permutes the smallest square that holds them; what falls outside is permuted again.

    Examples
    --------
    >>> [*shuffled(7, seed=1)]
    [2, 4, 5, 1, 3, 0, 6]
    """
    side = isqrt(max(count - 1, 0)) + 1
    for start in range(count):
        number = _permuted(start, side, seed)
        while number >= count:
            number = _permuted(number, side, seed)
        yield number


def _permuted(number: int, side: int, seed: int) -> int:
    left, right = divmod(number, side)
    for turn in range(ROUNDS):
        mixed = sha256(f"{seed} {turn} {right}".encode()).digest()
        left, right = right, (left + int.from_bytes(mixed[:8], "little")) % side
    return left * side + right
