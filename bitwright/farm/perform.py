"""Do a job that is described by a text; what goes in and what comes out is text and bytes, never a pickled object."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from sim.errors import EngineError, InputError

__all__ = ["Answer", "Reply", "perform"]

Reply = tuple[float, str | None, str, bytes]
"""Seconds that a job took, its value as JSON or else None, why it failed, and its arrays as safetensors."""


@dataclass(frozen=True)
class Answer:
    """What a function returns that has arrays to return; any other returns plain data.

    Attributes
    ----------
    value : plain data
    arrays : mapping of str to array
        Of numbers; they are kept in the file of results, so they should be small.
    """

    value: Any
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)


def perform(text: str) -> Reply:
    """Do the job that a text describes, and return what came of it, also if it failed.

    Examples
    --------
    >>> perform('{"function": "builtins.pow", "parameters": {"base": 2, "exp": 3}}')[1:]
    ('8', '', b'')
    >>> perform('{"function": "math.sqrt", "parameters": {}}')[1:3]
    (None, 'TypeError: math.sqrt() takes exactly one argument (0 given), in perform of perform.py')
    """
    started = perf_counter()
    value, failure, arrays = None, "", b""
    try:
        described = json.loads(text)
        found = _function(described["function"])(**described["parameters"])
        answer = found if isinstance(found, Answer) else Answer(found)
        arrays = _bytes_of(answer.arrays)
        value = json.dumps(answer.value, allow_nan=False)
    except (InputError, EngineError) as error:
        failure = str(error)
    except Exception as error:
        failure = _said(error)
    return perf_counter() - started, value, failure, arrays


def _function(name: str) -> Callable[..., object]:
    module, _, own = name.rpartition(".")
    found: Callable[..., object] = getattr(import_module(module), own)
    return found


def _bytes_of(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    if not arrays:
        return b""
    return bytes(safetensors.numpy.save({name: np.ascontiguousarray(array) for name, array in arrays.items()}))


def _said(error: Exception) -> str:
    """Return what an unexpected error says, and where it was raised."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    text = "".join(traceback.format_exception_only(error)).strip()
    return f"{text}, in {frame.name} of {Path(frame.filename).name}"
