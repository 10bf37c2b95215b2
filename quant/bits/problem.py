"""The allocation problem of a Program on a machine: which layers share bits, which have no choice, what all costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from quant.bits.allocation import Problem
from quant.bits.budgets import constraints, stored_input
from quant.bits.moves import has_fixed_weights
from quant.bits.pins import Pins, allowed_by
from sim.cost.table import CostTable
from sim.errors import InputError
from sim.ir.ops import Conv
from sim.ir.program import Program

__all__ = ["problem_of"]

UNFIT = "layers that the machine cannot hold"
"""A budget of 0 beside the others: pairs of bits that the machine lacks, or whose row tiles overflow a weight slot."""


def problem_of(program: Program, table: CostTable, weight_loss: Mapping[str, Sequence[float]],
               activation_loss: Mapping[str, Sequence[float]], limits: Mapping[str, float],
              pins: Pins | None = None) -> Problem:
    """Return the problem of choosing bits for `program`; its own bits do not matter, except those of its inputs.

    Parameters
    ----------
    program : Program
    table : CostTable
        Of this Program.
    weight_loss : mapping of layer to losses
        Expected loss at each of `table.weight_bits`, for every layer that has a choice.
    activation_loss : mapping of tensor to losses
        Expected loss at each of `table.activation_choices`, for every stored tensor that a layer reads, but for inputs.
    limits : mapping of str to number
        Budgets by name, of `quant.bits.budgets.BUDGETS`.
    pins : mapping of layer or pattern to pair, optional
        Widths that layers may have (`quant.bits.pins.Pins`).

    Raises
    ------
    InputError
        If the table is of other layers, a budget is unknown, losses are missing, or a pin is of no layer or of widths
        that it cannot have.
    """
    layers = tuple(conv.name for conv in program.convs)
    if table.layers != layers:
        raise InputError(f"the cost table is of the layers {', '.join(table.layers)}, "
                         f"the program's are {', '.join(layers)}")
    _refuse_strangers(weight_loss, layers, "weights of layer")
    _refuse_strangers(activation_loss, [tensor.name for tensor in program.tensors], "tensor")
    inputs = {tensor.name: tensor.format.bits for tensor in program.inputs}
    weight_rows = np.zeros((len(layers), len(table.weight_bits)))
    activation_rows = np.zeros((len(layers), len(table.activation_bits)))
    readers = dict[str, list[int]]()
    weights, activations = allowed_by(pins or {}, layers, table)
    choices = [table.activation_bits.index(bits) for bits in table.activation_choices]
    for row, conv in enumerate(program.convs):
        tensor = stored_input(program, conv)
        readers.setdefault(tensor, []).append(row)
        if has_fixed_weights(conv):
            weights[row] = (_price_of_fixed(conv, table),)
        else:
            weight_rows[row] = _losses(weight_loss, conv.name, "weights of layer", len(table.weight_bits))
        if tensor in inputs:
            activations[row] = (inputs[tensor],)
            continue
        if table.input_widths:
            activations[row] = _choices(activations.get(row, table.activation_bits), table, conv.name)
        if readers[tensor] == [row]:
            activation_rows[row, choices] = _losses(activation_loss, tensor, "tensor", len(choices))
    found = constraints(program, table, limits)
    costs, whole = ({name: getattr(constraint, what) for name, constraint in found.items()}
                    for what in ("costs", "limit"))
    if not table.fits.all():
        costs[UNFIT], whole[UNFIT] = (~table.fits).astype(np.int64), 0.0
    ties = tuple(tuple(rows) for rows in readers.values() if len(rows) > 1)
    return Problem(layers, table.weight_bits, table.activation_bits, weight_rows, activation_rows, costs, whole, ties,
                   weights, activations, {name: constraint.part for name, constraint in found.items()})


def _price_of_fixed(conv: Conv, table: CostTable) -> int:
    """Return the width at which weights that have no choice are priced: the least that holds them."""
    wide = [bits for bits in table.weight_bits if bits >= conv.weight_format.bits]
    if not wide:
        raise InputError(f"layer '{conv.name}' has weights of {conv.weight_format.bits} bits, which are no choice; the "
                         "choices must have a width that holds them")
    return wide[0]


def _choices(widths: tuple[int, ...], table: CostTable, layer: str) -> tuple[int, ...]:
    """Return those of some widths that a tensor other than an input may have."""
    left = tuple(bits for bits in widths if bits in table.activation_choices)
    if not left:
        raise InputError(f"pins leave no width of the activations of layer '{layer}'")
    return left


def _refuse_strangers(given: Mapping[str, Sequence[float]], known: Sequence[str], what: str) -> None:
    strangers = given.keys() - {*known}
    if strangers:
        raise InputError(f"losses of the {what} '{min(strangers)}': the program has no such name")


def _losses(given: Mapping[str, Sequence[float]], name: str, what: str, count: int) -> Sequence[float]:
    if name not in given:
        raise InputError(f"losses of the {what} '{name}' are missing")
    if len(given[name]) != count:
        raise InputError(f"losses of the {what} '{name}' must be {count}, one for each width, not {len(given[name])}")
    return given[name]
