"""What `bitwright allocate` is given: losses from a file, budgets from the command line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import inf
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from quant.bits.budgets import BUDGETS
from sim.errors import InputError

__all__ = ["Losses", "load_losses", "parse_budgets"]


class Losses(BaseModel):
    """Expected increase of the training loss at every width.

    Attributes
    ----------
    bits : list of int
        The widths [bits], rising.
    weight : dict of str to list of float
        For each layer, a loss per width of its weights.
    activation : dict of str to list of float
        For each stored tensor, a loss per width.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    bits: tuple[int, ...]
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
    except OSError as error:
        raise InputError(f"cannot read sensitivities '{path}': {error.strerror}") from None
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
        if name in limits:
            raise InputError(f"budget {name} is given twice: {limits[name]:g} and {limit}")
        if name not in BUDGETS:
            raise InputError(f"a budget is NAME=LIMIT with NAME one of {', '.join(BUDGETS)}, not '{text}'")
        try:
            limits[name] = float(limit)
        except ValueError:
            raise InputError(f"budget {name}: the limit must be a number, not '{limit}'") from None
        if not 0 < limits[name] < inf:
            raise InputError(f"budget {name}: the limit must be positive and finite, not '{limit}'")
    return limits
