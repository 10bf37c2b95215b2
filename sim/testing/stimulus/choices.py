"""Take a generator's decisions from random numbers, from hypothesis, or from hints towards something rare.

Every decision has a name and is an integer, simplest first, so that lowering integers makes whatever is generated
simpler: that is how a failing case shrinks.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np

__all__ = ["OF_PROGRAMS", "Choices", "RandomChoices", "SteeredChoices", "choices_of"]

T = TypeVar("T")

OF_PROGRAMS = frozenset({"layers", "large", "wrap", "rounding"})
"""Decisions about a whole Program."""
AHEAD = OF_PROGRAMS | {"fresh_input", "extent", "spill", "way", "concat", "parts", "channels", "activation_bits",
                       "activation_kind", "zero_point"}
"""Decisions that are made before the layer that they matter to: those about the tensor that it reads."""


class Choices(ABC):
    """Named decisions.

    Attributes
    ----------
    proposals : int
        How often a generator may try again when what it has chosen does not fit.
    layer : int
        The layer of a Program that decisions are about; -1 before the first.
    """

    proposals = 100
    layer = -1

    def begin_layer(self) -> None:
        """Begin the next layer of a Program."""
        self.layer += 1

    @abstractmethod
    def integer(self, name: str, low: int, high: int) -> int:
        """Return a number in low..high; `low` is the simplest."""

    def choice(self, name: str, options: Sequence[T]) -> T:
        """Return one of `options`; the first is the simplest."""
        return options[self.integer(name, 0, len(options) - 1)]

    def chance(self, name: str, probability: float) -> bool:
        """Return True with the given probability; False is simpler."""
        return self.integer(name, 0, 99) >= 100 - round(100 * probability)

    def values(self, name: str) -> np.random.Generator:
        """Return random numbers for whole arrays, from one decision."""
        return np.random.default_rng(self.integer(name, 0, (1 << 32) - 1))


class RandomChoices(Choices):
    """Every decision is uniform.

    >>> choices = RandomChoices(np.random.default_rng(0))
    >>> [choices.integer("bits", 1, 8) for _ in range(4)]
    [7, 6, 5, 3]
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def integer(self, name: str, low: int, high: int) -> int:
        """Return a uniform number in low..high."""
        return int(self.rng.integers(low, high + 1))


class SteeredChoices(Choices):
    """Decisions that follow hints where they can: one of the hinted values that are possible.

    Parameters
    ----------
    base : Choices
        Decides what no hint names, and how often a hint is followed.
    hints : sequence of mappings of name to values
        Wanted numbers, options, or True and False: a mapping for each layer. What is decided about a tensor follows
        the hints of the layer that reads it.
    obedience : float
        Probability that a hint is followed.

    Examples
    --------
    >>> choices = SteeredChoices(RandomChoices(np.random.default_rng(0)), [{"stride": [2]}, {"stride": [3]}], 1)
    >>> choices.begin_layer()
    >>> choices.integer("stride", 1, 4), choices.choice("stride", [2, 3]), choices.integer("stride", 1, 1)
    (2, 2, 1)
    >>> choices.begin_layer()
    >>> choices.integer("stride", 1, 4)
    3
    """

    def __init__(self, base: Choices, hints: Sequence[Mapping[str, Sequence[object]]], obedience: float = 0.9) -> None:
        self.base, self.hints, self.obedience = base, hints, obedience

    def integer(self, name: str, low: int, high: int) -> int:
        """Return a hinted number in low..high, or any."""
        wanted = [value for value in self._wanted(name) if isinstance(value, int) and low <= value <= high]
        return self.base.choice(name, wanted) if wanted else self.base.integer(name, low, high)

    def choice(self, name: str, options: Sequence[T]) -> T:
        """Return a hinted option, or any."""
        wanted = self._wanted(name)
        return self.base.choice(name, [option for option in options if option in wanted] or options)

    def chance(self, name: str, probability: float) -> bool:
        """Decide as the hint says, or by chance."""
        wanted = self._wanted(name)
        return bool(self.base.choice(name, wanted)) if wanted else self.base.chance(name, probability)

    def values(self, name: str) -> np.random.Generator:
        """Return random numbers as the base has them."""
        return self.base.values(name)

    def _wanted(self, name: str) -> Sequence[object]:
        layer = self.layer + (name in AHEAD)
        hints = self.hints[layer] if 0 <= layer < len(self.hints) else {}
        return hints[name] if name in hints and self.base.chance(name, self.obedience) else ()


def choices_of(source: np.random.Generator | Choices) -> Choices:
    """Return `source` itself, or decisions by its random numbers."""
    return source if isinstance(source, Choices) else RandomChoices(source)
