"""Tables over input slew and output load, as cells have them for delays, slews and energies."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtl.gates.liberty import Group
from sim.errors import InputError

__all__ = ["Grid", "mean", "read_grid", "upper"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Grid:
    """One table: values [slew, load] over its axes; an axis that it does not depend on has one point."""

    slews: Floats
    loads: Floats
    values: Floats

    def on(self, slews: Floats, loads: Floats) -> Floats:
        """Return its values at other points, between its own linearly, beyond them those of the last."""
        across = np.array([np.interp(loads, self.loads, row) for row in self.values])
        return np.array([np.interp(slews, self.slews, column) for column in across.T]).T


def read_grid(group: Group, templates: Mapping[str, Group], unit: float, slew_unit: float, load_unit: float) -> Grid:
    """Return the table of a group such as `cell_rise`, in units of the caller.

    Parameters
    ----------
    group : Group
    templates : mapping of str to Group
        Where axes stand that the group does not have itself.
    unit, slew_unit, load_unit : float
        Factors of the values and of both axes.

    Raises
    ------
    InputError
        If there are not as many values as the axes have points.
    """
    template = templates.get(group.arguments[0] if group.arguments else "", Group("template"))
    axes = [np.array(group.numbers(name) or template.numbers(name) or (0.0,)) for name in ("index_1", "index_2")]
    values = np.array(group.numbers("values")) * unit
    if values.size == 1:
        return Grid(np.zeros(1), np.zeros(1), values.reshape(1, 1))
    if values.size != len(axes[0]) * len(axes[1]):
        raise InputError(f"a table {group.kind} has {values.size} values for {len(axes[0])} x {len(axes[1])} points")
    values = values.reshape(len(axes[0]), len(axes[1]))
    if "capacitance" in template.text("variable_1"):
        axes, values = axes[::-1], values.T
    return Grid(axes[0] * slew_unit, axes[1] * load_unit, values)


def mean(grids: Sequence[Grid]) -> Grid | None:
    """Return the mean of tables on the points of the largest; None of none."""
    return _joined(grids, lambda values: values.mean(0))


def upper(grids: Sequence[Grid]) -> Grid | None:
    """Return at every point the largest of tables, on the points of the largest table; None of none."""
    return _joined(grids, lambda values: values.max(0))


def _joined(grids: Sequence[Grid], join: Callable[[Floats], Floats]) -> Grid | None:
    if not grids:
        return None
    first = max(grids, key=lambda grid: grid.values.size)
    values = np.array([grid.on(first.slews, first.loads) for grid in grids])
    return Grid(first.slews, first.loads, join(values))
