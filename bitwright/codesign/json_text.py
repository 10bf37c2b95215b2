"""Results as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, is_dataclass
from typing import Any

__all__ = ["to_json"]


def to_json(data: object) -> str:
    """Write plain data, dataclasses, NumPy scalars and NumPy arrays as JSON text."""
    return json.dumps(data, indent=2, default=_plain)


def _plain(value: Any) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if hasattr(value, "tolist"):  # a scalar or an array of NumPy, which is not imported for this
        return value.tolist()
    raise TypeError(f"cannot write {type(value).__name__} as JSON")
