"""Bits that `bitwright allocate` has written, and whether a Program keeps the budgets that they were chosen for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bitwright.codesign.json_file import read_json
from bitwright.codesign.resolve import resolve_technology
from quant.bits.simulation import broken_limits, simulated_costs
from sim.arch.machine import Machine
from sim.cost.estimate import estimate
from sim.errors import InputError
from sim.io.bounds import shown, shown_path
from sim.ir.program import Program
from sim.plan.plan import plan

__all__ = ["ChosenBits", "check_budgets", "load_bits"]

Width = Annotated[int, Field(strict=True, ge=1, le=8)]
Limit = Annotated[float, Field(strict=True, allow_inf_nan=False, gt=0)]


class ChosenBits(BaseModel):
    """The part of an allocation that networks are made by.

    Attributes
    ----------
    machine, technology : str
        What the budgets were for.
    bits : dict of str to (int, int)
        Bits of weights and activations of every layer.
    limits : dict of str to float
        Budgets by name.
    """

    model_config = ConfigDict(frozen=True)

    machine: str
    technology: str
    bits: Annotated[dict[str, tuple[Width, Width]], Field(min_length=1)]
    limits: dict[str, Limit]


def load_bits(path: str | Path, machine: Machine) -> ChosenBits:
    """Read bits that were chosen for a machine.

    Raises
    ------
    InputError
        If the file cannot be read, is not JSON, lacks a field, has a width that is not 1..8, or is for another machine.
    """
    where = f"bits '{shown_path(path)}'"
    data = read_json(path, "bits")
    try:
        chosen = ChosenBits.model_validate(data)
    except ValidationError as error:
        raise InputError(f"{where}: {_reason(error.errors(include_url=False)[0]['loc'], data)}") from None
    if chosen.machine != machine.name:
        raise InputError(f"{where}: they are for machine '{chosen.machine}', not '{machine.name}'")
    return chosen


def _reason(place: tuple[int | str, ...], data: Any) -> str:
    """Say what is wrong at a place of a file, with the limit and what came."""
    origin = "as `bitwright allocate --out` writes it"
    if not isinstance(data, dict):
        return f"it must be an object with machine, technology, bits and limits, {origin}, not {_as_json(data)}"
    field, *inner = map(str, place)
    if field not in data:
        return f"'{field}' is missing; give a file {origin}"
    came = _as_json(data[field][inner[0]] if inner else data[field])
    if field == "limits":
        return (f"budget {shown(inner[0])} must be a number above 0, not {came}" if inner else
                f"limits must be an object with a number for each budget, not {came}")
    if field == "bits":
        return (f"bits of layer '{shown(inner[0])}' must be two widths in 1..8, not {came}" if inner else
                f"bits must be an object with two widths for each layer, one layer at least, not {came}")
    return f"{field} must be a name, not {came}"


def _as_json(value: Any) -> str:
    return shown(json.dumps(value))


def check_budgets(program: Program, machine: Machine, chosen: ChosenBits) -> dict[str, float]:
    """Return the simulated cost of a Program, for the budgets that depend on more than the bits.

    Raises
    ------
    InputError
        If one is above its limit, which only assuming too few digits can bring about.
    """
    found = estimate(plan(program, machine), resolve_technology(chosen.technology, machine))
    costs = {name: cost for name, cost in simulated_costs(found).items() if name in chosen.limits}
    for name, cost in broken_limits(costs, chosen.limits).items():
        beyond = "below" if cost < chosen.limits[name] else "above"
        raise InputError(f"budget {name}: the Program takes {cost:g}, {beyond} {chosen.limits[name]:g}: allocate with "
                         "more --digits")
    return costs
