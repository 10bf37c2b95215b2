"""Choose bits for every layer: least loss, no budget exceeded.

A layer has one choice of weight bits and one of activation bits (of the tensor that it reads). The loss is a sum of
one table per side, a budget is a sum of one table per layer over both choices together, so costs may come from a
simulator and follow no formula. Layers that read the same tensor share its bits.

Costs are compared in exact rational arithmetic: an allocation that is returned keeps every budget, whatever a
solver's tolerance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from math import floor, isfinite, lcm

import numpy as np
from numpy.typing import NDArray

from sim.errors import InputError
from sim.io.html_table import html_table
from sim.ir.formats import MAX_PLANES

__all__ = ["Allocation", "Choice", "ExactCost", "Part", "Problem"]

Choice = NDArray[np.intp]
"""Shape (layers, 2): indices into `weight_bits` and `activation_bits`."""


@dataclass(frozen=True)
class Part:
    """How a cost belongs to a budget that people speak of: the budget is the largest of its parts.

    A budget that is no sum, such as power, has a `value`: then the cost is one that keeps the budget where it is within
    its limit.

    Attributes
    ----------
    budget : str
        Its name.
    per : int or Fraction
        Units of the cost that are one of the budget's.
    limit : float
        In the budget's unit.
    value : callable, optional
        Gives the budget that a choice just keeps, if that is not its cost over `per`.
    floor : bool
        The limit is the least that a value may be, not the most.
    """

    budget: str
    per: int | Fraction
    limit: float
    value: Callable[[Choice], Fraction] | None = None
    floor: bool = False

    def broken_by(self, value: float) -> bool:
        """Return whether a value, in the budget's unit, is beyond the limit."""
        return value < self.limit if self.floor else value > self.limit


@dataclass(frozen=True)
class ExactCost:
    """A cost table in whole multiples of 1 / `unit`, indexed [layer][weight][activation], and its limit, rounded down.

    A binary float is a whole number of some power of two, so nothing is lost.
    """

    table: list[list[list[int]]]
    limit: int
    unit: int


@dataclass(frozen=True, eq=False)
class Problem:
    """What to choose from, what it loses and what it costs.

    Parameters
    ----------
    layers : tuple of str
    weight_bits, activation_bits : tuple of int, 1..8
        The choices [bits], rising; at least one.
    weight_loss : float array, shape (layers, len(weight_bits)), at least 0
    activation_loss : float array, shape (layers, len(activation_bits)), at least 0
        Of a tensor that several layers read: in the row of one of them, zeros in the others.
    costs : mapping of str to array, shape (layers, len(weight_bits), len(activation_bits))
    limits : mapping of str to number
        The budget of each cost.
    ties : tuple of tuples of int
        Layers that read the same tensor.
    allowed_weights, allowed_activations : mapping of int to tuple of int
        Widths that a layer may have [bits], where it may not have all; of a tensor that several layers read, those that
        all its readers may have.
    parts : mapping of str to Part
        For costs that are not budgets of their own.

    Raises
    ------
    InputError
        If shapes, names or indices do not fit together, a width is not 1..8, a loss is negative, or a number is not
        finite.
    """

    layers: tuple[str, ...]
    weight_bits: tuple[int, ...]
    activation_bits: tuple[int, ...]
    weight_loss: NDArray[np.float64]
    activation_loss: NDArray[np.float64]
    costs: Mapping[str, NDArray[np.number]]
    limits: Mapping[str, float]
    ties: tuple[tuple[int, ...], ...] = ()
    allowed_weights: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    allowed_activations: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    parts: Mapping[str, Part] = field(default_factory=dict)

    def __post_init__(self) -> None:
        count, weights, activations = len(self.layers), len(self.weight_bits), len(self.activation_bits)
        for side in ("weight", "activation"):
            _check_bits(f"{side}_bits", getattr(self, f"{side}_bits"))
            self._check_losses(f"{side}_loss", getattr(self, f"{side}_loss"), len(getattr(self, f"{side}_bits")))
        if set(self.costs) != set(self.limits):
            raise InputError(f"costs and limits must have the same names, not {sorted(self.costs)} "
                             f"and {sorted(self.limits)}")
        for name, table in self.costs.items():
            _check_shape(f"costs of {name}", table, (count, weights, activations))
            if not np.all(np.isfinite(table)):
                raise InputError(f"costs of {name} must be finite")
            if not isfinite(self.limits[name]):
                raise InputError(f"limit of {name} must be finite, not {self.limits[name]}")
        self._check_allowed()

    def _check_losses(self, what: str, table: NDArray[np.float64], options: int) -> None:
        _check_shape(what, table, (len(self.layers), options))
        for name, row in zip(self.layers, table, strict=True):
            wrong = row[~(np.isfinite(row) & (row >= 0))]
            if len(wrong):
                raise InputError(f"layer '{name}': {what} must be finite and at least 0, not {wrong[0]:g}")

    def _check_allowed(self) -> None:
        for what, allowed, options in (("weight", self.allowed_weights, self.weight_bits),
                                       ("activation", self.allowed_activations, self.activation_bits)):
            for layer, widths in allowed.items():
                if not widths or not {*widths} <= {*options}:
                    raise InputError(f"layer '{self.layers[layer]}': {what} bits must be some of "
                                     f"{', '.join(map(str, options))}, not {', '.join(map(str, widths)) or 'none'}")
        for group, layers in enumerate(self.groups):
            if not self.activation_options(group):
                names = " and ".join(f"'{self.layers[layer]}'" for layer in layers)
                raise InputError(f"layers {names} read one tensor, but may have no activation bits in common")
        members = [layer for tie in self.ties for layer in tie]
        if len(set(members)) != len(members):
            raise InputError("a layer reads one tensor, so it can be in one tie only")

    @cached_property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """Every layer once: those that share activation bits together."""
        tied = {layer for tie in self.ties for layer in tie}
        return *self.ties, *((layer,) for layer in range(len(self.layers)) if layer not in tied)

    @cached_property
    def group_of(self) -> tuple[int, ...]:
        """Index into `groups` of each layer."""
        found = {layer: index for index, group in enumerate(self.groups) for layer in group}
        return tuple(found[layer] for layer in range(len(self.layers)))

    def weight_options(self, layer: int) -> list[int]:
        """Return the indices of the weight bits that `layer` may have."""
        allowed = self.allowed_weights.get(layer, self.weight_bits)
        return [i for i, bits in enumerate(self.weight_bits) if bits in allowed]

    def activation_options(self, group: int) -> list[int]:
        """Return the indices of the activation bits that the layers of a group may have."""
        allowed = [self.allowed_activations[layer] for layer in self.groups[group] if layer in self.allowed_activations]
        return [i for i, bits in enumerate(self.activation_bits) if all(bits in widths for widths in allowed)]

    @cached_property
    def exact(self) -> dict[str, ExactCost]:
        """The budgets in whole numbers."""
        return {name: _exact(table, self.limits[name]) for name, table in self.costs.items()}

    def choice(self, bits: Mapping[str, tuple[int, int]]) -> Choice:
        """Return the bits of every layer as a choice."""
        return np.array([(self.weight_bits.index(w), self.activation_bits.index(a))
                         for w, a in (bits[layer] for layer in self.layers)], np.intp)

    def bits(self, choice: Choice) -> dict[str, tuple[int, int]]:
        """Return a choice as the bits of every layer."""
        return {name: (self.weight_bits[w], self.activation_bits[a])
                for name, (w, a) in zip(self.layers, choice.tolist(), strict=True)}

    def used(self, name: str, choice: Choice) -> Fraction:
        """Return what a choice costs, exactly."""
        cost = self.exact[name]
        return Fraction(sum(cost.table[layer][w][a] for layer, (w, a) in enumerate(choice.tolist())), cost.unit)

    def part(self, name: str) -> Part:
        """Return what a cost belongs to."""
        return self.parts.get(name, Part(name, 1, self.limits[name]))

    def spent(self, choice: Choice) -> dict[str, float]:
        """Return what a choice costs, by budget and in its unit, rounded once."""
        found: dict[str, Fraction] = {}
        for name in self.costs:
            part = self.part(name)
            used = self.used(name, choice) / part.per if part.value is None else part.value(choice)
            found[part.budget] = max(used, found.get(part.budget, used))
        return {budget: float(value) for budget, value in found.items()}

    def keeps_budgets(self, choice: Choice) -> bool:
        """Return whether a choice keeps every budget, exactly."""
        return all(self.used(name, choice) <= Fraction(limit) for name, limit in self.limits.items())

    def loss(self, choice: Choice) -> float:
        """Return the objective of a choice, rounded once."""
        return float(self.exact_loss(choice))

    def losses(self, choice: Choice) -> tuple[float, float]:
        """Return the objective of a choice in its two parts: of the weights and of the activations."""
        layers = np.arange(len(self.layers))
        return (float(self.weight_loss[layers, choice[:, 0]].sum()),
                float(self.activation_loss[layers, choice[:, 1]].sum()))

    def exact_loss(self, choice: Choice) -> Fraction:
        """Return the objective of a choice, exactly."""
        return sum((Fraction(float(self.weight_loss[layer, w])) + Fraction(float(self.activation_loss[layer, a]))
                    for layer, (w, a) in enumerate(choice.tolist())), Fraction(0))


@dataclass(frozen=True)
class Allocation:
    """Bits for every layer, and how good they are.

    Attributes
    ----------
    bits : dict of str to (int, int)
        Weight and activation bits of each layer.
    used : dict of str to float
        What the bits cost, by budget; never above the limit.
    objective : float
        Loss of the bits.
    lower_bound : float
        No bits that keep the budgets lose less than this: proven in exact arithmetic, whatever a solver says.
    """

    bits: dict[str, tuple[int, int]]
    used: dict[str, float]
    objective: float
    lower_bound: float

    def _repr_html_(self) -> str:
        losses = ["expected", self.objective], ["no bits lose less than", self.lower_bound]
        return "".join((
            html_table("bits", ["layer", "W bits", "A bits"], ([name, *pair] for name, pair in self.bits.items())),
            html_table("budgets", ["", "used"], self.used.items()), html_table("loss", ["", "value"], losses)))

    @property
    def gap(self) -> float:
        """Largest possible reduction of the loss."""
        return self.objective - self.lower_bound


def _exact(table: NDArray[np.number], limit: float) -> ExactCost:
    rows = [[[entry.as_integer_ratio() for entry in row] for row in layer] for layer in table.tolist()]
    unit = lcm(*{below for layer in rows for row in layer for _, below in row})
    return ExactCost([[[above * (unit // below) for above, below in row] for row in layer] for layer in rows],
                     floor(Fraction(limit) * unit), unit)


def _check_bits(what: str, bits: tuple[int, ...]) -> None:
    if not bits or list(bits) != sorted(set(bits)) or bits[0] < 1 or bits[-1] > MAX_PLANES:
        raise InputError(f"{what} must be one or more rising widths in 1..{MAX_PLANES}, not {bits}")


def _check_shape(what: str, table: NDArray[np.number], shape: tuple[int, ...]) -> None:
    if table.shape != shape:
        raise InputError(f"{what} must have shape {shape}, not {table.shape}")
