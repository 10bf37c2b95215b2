"""Budgets as tables of what each pair of bits adds: exact, whatever the budget's own unit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import floor, isfinite, prod
from sys import float_info
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from quant.bits.allocation import Part
from quant.bits.bounds import at_most
from quant.bits.moves import has_fixed_weights, keeps_codes
from quant.bits.ratios import SafeSum, energy, energy_delay, frames_per_second, power
from sim.cost.table import CostTable
from sim.errors import InputError
from sim.ir.ops import Conv, Tensor
from sim.ir.program import Program

__all__ = ["BUDGETS", "FLOORS", "Constraint", "constraints", "stored_input"]

Costs = NDArray[np.number]


@dataclass(frozen=True, eq=False)
class Constraint:
    """A linear constraint of an allocation problem.

    Attributes
    ----------
    costs : array, shape (layers, weight bits, activation bits)
        What each pair adds; what is fixed falls to the first layer.
    limit : float
        Of the sum.
    part : Part
        The budget that it belongs to.
    """

    costs: Costs
    limit: float
    part: Part


def stored_input(program: Program, conv: Conv) -> str:
    """Return the tensor whose bits `conv` reads: its input, or the one that the max pools before it read."""
    return _stored(program, conv.input)


def constraints(program: Program, table: CostTable, limits: Mapping[str, float]) -> dict[str, Constraint]:
    """Return the constraints of these budgets, each under a unique name.

    Raises
    ------
    InputError
        If a budget is unknown or its limit not finite.
    """
    found: dict[str, Constraint] = {}
    for name, limit in limits.items():
        if name not in BUDGETS:
            raise InputError(f"a budget must be one of {', '.join(BUDGETS)}, not '{name}'")
        if not isfinite(limit):
            raise InputError(f"limit of {name} must be finite, not {limit}")
        if name in SAFE_SUMS:
            found[name] = _safe(name, table, limit)
            continue
        for label, (costs, per) in MAKERS[name](program, table).items():
            whole = limit if per == 1 else _whole(Fraction(limit) * per)
            found[label or name] = Constraint(costs, whole, Part(name, per, limit))
    return found


def _safe(name: str, table: CostTable, limit: float) -> Constraint:
    if limit <= 0:
        raise InputError(f"limit of {name} must be above 0, not {limit}")
    made = SAFE_SUMS[name](table, limit)
    return Constraint(made.costs, made.limit, Part(name, 1, limit, made.value, floor=name in FLOORS))


Made = dict[str, tuple[Costs, int | Fraction]]
"""Costs, and how many of their units are one of the budget, by a label where a budget has several."""


def _latency(program: Program, table: CostTable) -> Made:
    return {"": (_with_fixed(table.cycles, table.fixed_cycles), 1)}


def _energy(program: Program, table: CostTable) -> Made:
    return {"": (_with_fixed(table.energy_pj, table.fixed_energy_pj), 1)}


def _latency_ms(program: Program, table: CostTable) -> Made:
    return {"": (_with_fixed(table.cycles, table.fixed_cycles), 1000 * Fraction(table.clock_mhz))}


def _weight_bytes(program: Program, table: CostTable) -> Made:
    return {"": (table.bytes, 1)}


def _bops(program: Program, table: CostTable) -> Made:
    """Return the multiplications times weight bits times activation bits."""
    costs = _empty(table)
    for layer, conv in enumerate(program.convs):
        macs = conv.weights.size * prod(conv.map_size(program.tensor(conv.input)))
        costs[layer] = macs * np.outer(_weight_widths(conv, table), np.array(table.activation_bits))
    return {"": (costs, 1)}


def _mean_weight_bits(program: Program, table: CostTable) -> Made:
    """Return the mean weight bits over all weights that have a choice."""
    costs, total = _empty(table), 0
    for layer, conv in enumerate(program.convs):
        if not has_fixed_weights(conv):
            costs[layer] = (conv.weights.size * np.array(table.weight_bits))[:, None]
            total += conv.weights.size
    return {"": (costs, max(total, 1))}


def _mean_activation_bits(program: Program, table: CostTable) -> Made:
    """Return the mean bits over the elements of all stored tensors whose bits are a choice, each tensor once."""
    costs, total = _empty(table), 0
    for name, layer in _choosers(program).items():
        elements = _elements(program.tensor(name))
        costs[layer] += elements * np.array(table.activation_bits)
        total += elements
    return {"": (costs, max(total, 1))}


def _peak_activation_bytes(program: Program, table: CostTable) -> Made:
    """Return, for each op, the bytes of the tensors that are live while it runs, their codes packed without gaps.

    A tensor is there from the op that writes it, inputs from the first one, to the last op that reads it. What
    the host alone reads counts as wide as the accumulator, and so bounds any network.
    """
    choosers, given = _choosers(program), {tensor.name for tensor in program.inputs}
    last = {name: index for index, op in enumerate(program.ops) for name in op.reads}
    first: dict[str, int] = {}
    for index, op in enumerate(program.ops):
        first.setdefault(op.output, index)
    found: Made = {}
    for index, op in enumerate(program.ops):
        costs = _empty(table)
        for tensor in program.tensors:
            begins = 0 if tensor.name in given else first[tensor.name]
            if begins <= index <= last.get(tensor.name, begins):
                chosen = _stored(program, tensor.name)
                if chosen in choosers:
                    costs[choosers[chosen]] += _elements(tensor) * np.array(table.activation_bits)
                else:
                    bits = tensor.format.bits if tensor.name in last else program.arithmetic.acc_bits
                    costs[0] += _elements(tensor) * bits
        found[f"peak_activation_bytes while '{op.name}' runs"] = (costs, 8)
    return found


MAKERS: dict[str, Callable[[Program, CostTable], Made]] = {
    "latency_cycles": _latency, "energy_pj": _energy, "weight_bytes": _weight_bytes,
    "peak_activation_bytes": _peak_activation_bytes, "bops": _bops, "mean_weight_bits": _mean_weight_bits,
    "mean_activation_bits": _mean_activation_bits, "latency_ms": _latency_ms}
SAFE_SUMS: dict[str, Callable[[CostTable, float], SafeSum]] = {
    "fps": frames_per_second, "energy_mj": energy, "power_mw": power, "edp_mj_ms": energy_delay}
FLOORS = ("fps",)
"""Budgets whose limits are the least that there must be."""
BUDGETS = (*MAKERS, *SAFE_SUMS)
"""Budgets by name: of one image, and of the network's weights.

`energy_pj` is the nominal energy; `energy_mj`, `power_mw` and `edp_mj_ms` are at the high end of the band.
"""


def _whole(limit: Fraction) -> float:
    """Return the largest float that is not above the largest whole number up to `limit`; no cost is beyond floats."""
    most = Fraction(float_info.max)
    return at_most(Fraction(floor(max(-most, min(limit, most)))))


def _empty(table: CostTable) -> NDArray[np.int64]:
    return np.zeros(table.cycles.shape, np.int64)


def _with_fixed(per_layer: Costs, fixed: float) -> Costs:
    costs = per_layer.copy()
    costs[0] += fixed
    return costs


def _weight_widths(conv: Conv, table: CostTable) -> NDArray[np.int64]:
    return np.array([conv.weight_format.bits if has_fixed_weights(conv) else bits for bits in table.weight_bits])


def _elements(tensor: Tensor) -> int:
    return prod(tensor.shape)


_same_codes: WeakKeyDictionary[Program, dict[str, str]] = WeakKeyDictionary()
"""Tensors that hold the codes of others, kept while the Program is alive."""


def _stored(program: Program, tensor: str) -> str:
    """Return the tensor whose width a tensor has: max pools and moves keep codes."""
    if program not in _same_codes:
        _same_codes[program] = {op.output: op.input for op in program.ops if keeps_codes(program, op)}
    same = _same_codes[program]
    while tensor in same:
        tensor = same[tensor]
    return tensor


def _choosers(program: Program) -> dict[str, int]:
    """Return the first layer that reads each tensor whose bits are a choice."""
    given, found = {tensor.name for tensor in program.inputs}, dict[str, int]()
    for layer, conv in enumerate(program.convs):
        tensor = stored_input(program, conv)
        if tensor not in given:
            found.setdefault(tensor, layer)
    return found
