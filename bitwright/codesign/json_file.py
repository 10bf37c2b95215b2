"""JSON files that users give, read with care."""

from __future__ import annotations

import json
from math import isinf
from pathlib import Path
from typing import Any, NoReturn

from sim.errors import InputError
from sim.io.bounds import shown, shown_path
from sim.io.regular_file import MIB, read_text

__all__ = ["read_json"]

MAX_BYTES = 64 * MIB
"""Largest size of a file."""


def read_json(path: str | Path, what: str) -> Any:
    """Read a JSON file; `what` is how a message names it.

    Raises
    ------
    InputError
        If it cannot be read, is not JSON, gives a key twice, or has a number that JSON has not.
    """
    text = read_text(path, what, MAX_BYTES)
    try:
        return json.loads(text, object_pairs_hook=_mapping, parse_constant=_refuse_constant, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{what} '{shown_path(path)}': not JSON: {shown(error)}") from None


def _mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of JSON, in which no key may come twice."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"key '{key}' is given twice")
        found[key] = value
    return found


def _finite(text: str) -> float:
    number = float(text)
    if isinf(number):
        raise ValueError(f"{shown(text)} is too large a number")
    return number


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")
