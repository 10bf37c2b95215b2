"""Digits that multipliers are expected to have, from a Program at hand."""

from __future__ import annotations

from sim.arch.machine import Machine
from sim.ir.program import Program

__all__ = ["digits_with_margin"]


def digits_with_margin(program: Program, machine: Machine, margin: int = 1) -> dict[str, int]:
    """Return for each Conv the digits that its multipliers have in `program` and `margin` more, as the machine allows.

    Wider outputs and other scales take other digits. So a cost table with them is a guess, and a bound only for
    networks that keep to it.

    Parameters
    ----------
    program : Program
        A lowering at bits like those that are looked for.
    machine : Machine
    margin : int, at least 0
    """
    return {conv.name: min(conv.digits + margin, machine.terms) for conv in program.convs}
