"""A job: the name of a function and plain parameters, which together are its identity."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

__all__ = ["Job", "job"]


@dataclass(frozen=True)
class Job:
    """A call of a function that any process can make.

    Attributes
    ----------
    function : str
        Dotted name of a function at the top level of a module.
    parameters : mapping of str to plain data
        What JSON can hold: the function gets it as keyword arguments, with lists where there were tuples.

    Examples
    --------
    >>> Job("builtins.pow", {"base": 2, "exp": 3}).text
    '{"function":"builtins.pow","parameters":{"base":2,"exp":3}}'
    """

    function: str
    parameters: Mapping[str, Any]

    @cached_property
    def text(self) -> str:
        """The description as JSON: the same text for the same job, whatever the order of its parameters.

        Raises
        ------
        TypeError, ValueError
            If the parameters are not plain data, or hold a number that JSON has not.
        """
        return json.dumps({"function": self.function, "parameters": self.parameters}, sort_keys=True, allow_nan=False,
                          separators=(",", ":"))

    @cached_property
    def key(self) -> str:
        """The SHA-256 of the description, in hexadecimal digits."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def job(function: Callable[..., object], **parameters: Any) -> Job:
    """Describe a call of a function.

    Parameters
    ----------
    function : callable
        At the top level of a module that workers can import.
    parameters
        Plain data.

    Raises
    ------
    ValueError
        If other processes cannot import the function.
    """
    name = f"{function.__module__}.{function.__qualname__}"
    if function.__module__ == "__main__" or "<" in name or "." in function.__qualname__:
        raise ValueError(f"a job needs a function at the top level of a module that can be imported, not {name}")
    return Job(name, parameters)
