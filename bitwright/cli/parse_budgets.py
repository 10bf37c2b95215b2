"""Budgets as the command line writes them."""

from __future__ import annotations

from collections.abc import Sequence

from bitwright.cli.parameter_types import parse_number
from bitwright.codesign.sensitivities import MAX_NUMBER
from quant.bits.budgets import BUDGETS
from sim.errors import InputError
from sim.io.bounds import shown

__all__ = ["parse_budgets"]


def parse_budgets(texts: Sequence[str]) -> dict[str, float]:
    """Return the limits that `NAME=LIMIT` texts give.

    >>> parse_budgets(["latency_cycles=20000"])
    {'latency_cycles': 20000.0}
    """
    limits: dict[str, float] = {}
    for text in texts:
        name, _, limit = text.partition("=")
        if name in limits:
            raise InputError(f"budget {name} is given twice: {limits[name]:g} and {shown(limit)}")
        if name not in BUDGETS:
            raise InputError(f"a budget is NAME=LIMIT with NAME one of {', '.join(BUDGETS)}, not '{shown(text)}'")
        number = parse_number(limit)
        if number is None or not 0 < number <= MAX_NUMBER:
            raise InputError(f"budget {name}: the limit must be a number above 0 and at most {MAX_NUMBER:g}, not "
                             f"'{shown(limit)}'")
        limits[name] = number
    return limits
