"""Budgets of a Program on a machine as an allocation problem, and the check that they hold.

Costs come from the simulator's table, which bounds any choice of bits from above; the chosen bits are simulated
again when the network is lowered.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from quant.allocation import Problem
from sim.cost_table import CostTable
from sim.errors import InputError
from sim.program import Program

__all__ = ["BUDGETS", "Losses", "load_losses", "parse_budgets", "problem_of"]

BUDGETS = {"latency_cycles": "cycles", "energy_pj": "energy_pj", "weight_bytes": "bytes"}
"""Budget names and the table of `CostTable` behind each."""


class Losses(BaseModel):
    """Expected increase of the training loss of every layer at every width.

    Attributes
    ----------
    bits : list of int
        Widths of the columns [bits], rising.
    weight, activation : dict of str to list of float
        For each layer a loss per width; a layer without a choice may be left out.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    bits: list[int]
    weight: dict[str, list[float]]
    activation: dict[str, list[float]]


def load_losses(path: Path) -> Losses:
    """Read a sensitivities file, as `bitwright demo` writes one.

    Raises
    ------
    InputError
        If it is missing, not JSON, or lacks a field.
    """
    try:
        return Losses(**json.loads(path.read_text()))
    except FileNotFoundError:
        raise InputError(f"no sensitivities file '{path}'") from None
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(f"sensitivities '{path}': {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except (json.JSONDecodeError, UnicodeDecodeError, TypeError) as error:
        raise InputError(f"sensitivities '{path}' is not a JSON object: {error}") from None


def parse_budgets(texts: Sequence[str]) -> dict[str, float]:
    """`NAME=LIMIT` texts as a mapping.

    >>> parse_budgets(["latency_cycles=20000"])
    {'latency_cycles': 20000.0}
    """
    limits: dict[str, float] = {}
    for text in texts:
        name, _, limit = text.partition("=")
        if name not in BUDGETS:
            raise InputError(f"a budget is NAME=LIMIT with NAME one of {', '.join(BUDGETS)}, not '{text}'")
        try:
            limits[name] = float(limit)
        except ValueError:
            raise InputError(f"budget {name}: the limit must be a number, not '{limit}'") from None
    return limits


def problem_of(program: Program, table: CostTable, losses: Losses, limits: Mapping[str, float]) -> Problem:
    """The allocation problem of a Program: layers that read one tensor share its bits, inputs keep theirs.

    Parameters
    ----------
    program : Program
        Any choice of bits of the network; shapes and sharing count.
    table : CostTable
        Of this Program.
    losses : Losses
    limits : mapping of str to float
        Names of `BUDGETS`.

    Raises
    ------
    InputError
        If a layer with a choice has no losses, or they are not given for the table's widths.
    """
    if tuple(losses.bits) != table.weight_bits or table.weight_bits != table.activation_bits:
        raise InputError(f"sensitivities must be given for {list(table.weight_bits)} bits, not {losses.bits}")
    convs = program.convs
    readers: dict[str, list[int]] = {}
    for layer, conv in enumerate(convs):
        readers.setdefault(conv.input, []).append(layer)
    inputs = {tensor.name: tensor.format.bits for tensor in program.inputs}
    units = {layer for layer, conv in enumerate(convs) if conv.weight_format.kind == "unit"}
    pinned = {layer: inputs[conv.input] for layer, conv in enumerate(convs) if conv.input in inputs}
    weight_loss = _rows(losses.weight, table, [c.name for i, c in enumerate(convs) if i not in units], "weight")
    firsts = {group[0] for group in readers.values()} - set(pinned)
    activation_loss = _rows(losses.activation, table, [convs[i].name for i in firsts], "activation")
    fixed = {"latency_cycles": table.fixed_cycles, "energy_pj": table.fixed_energy_pj, "weight_bytes": 0}
    return Problem(
        layers=table.layers, weight_bits=table.weight_bits, activation_bits=table.activation_bits,
        weight_loss=weight_loss, activation_loss=activation_loss,
        costs={name: getattr(table, BUDGETS[name]) for name in limits},
        limits={name: limit - fixed[name] for name, limit in limits.items()},
        ties=tuple(tuple(group) for group in readers.values() if len(group) > 1),
        fixed_weights=dict.fromkeys(units, table.weight_bits[0]), fixed_activations=pinned)


def _rows(given: Mapping[str, list[float]], table: CostTable, needed: Sequence[str], what: str) -> NDArray[np.float64]:
    rows = np.zeros((len(table.layers), len(table.weight_bits)))
    for layer, name in enumerate(table.layers):
        if name not in needed:
            continue
        if name not in given:
            raise InputError(f"sensitivities: {what} losses of layer '{name}' are missing")
        if len(given[name]) != rows.shape[1]:
            raise InputError(f"sensitivities: layer '{name}' needs {rows.shape[1]} {what} losses, "
                             f"not {len(given[name])}")
        rows[layer] = given[name]
    return rows
