"""Boolean functions as Liberty writes them, as truth tables."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sim.errors import InputError

__all__ = ["MAX_INPUTS", "names_in", "truth_table"]

MAX_INPUTS = 12
"""Of a cell; a table has 2**inputs entries."""
NAME = re.compile(r"[A-Za-z_][\w\[\]]*")
TOKEN = re.compile(r"\s*([A-Za-z_][\w\[\]]*|[01!'^*&+|()])")


def names_in(function: str) -> tuple[str, ...]:
    """Return the names in a function, each once.

    >>> names_in("!((A1 A2)+(B1 A1))")
    ('A1', 'A2', 'B1')
    """
    return tuple(dict.fromkeys(NAME.findall(function)))


def truth_table(function: str, inputs: Sequence[str]) -> NDArray[np.uint8]:
    """Return the value of a function for all values of its inputs.

    Entry `i` holds the value at which input `k` is bit `k` of `i`. `!` and a trailing `'` invert; `^` binds closer than
    `*`, `&` and mere neighbourhood, these closer than `+` and `|`.

    Raises
    ------
    InputError
        If the function is no such text, has another name in it, or there are more than MAX_INPUTS inputs.

    Examples
    --------
    >>> truth_table("!(A B + C)", ("A", "B", "C")).tolist()
    [1, 1, 1, 0, 0, 0, 0, 0]
    """
    if len(inputs) > MAX_INPUTS:
        raise InputError(f"a cell must have at most {MAX_INPUTS} inputs, not {len(inputs)}")
    index = np.arange(1 << len(inputs))
    values = {name: (index >> k & 1).astype(np.bool_) for k, name in enumerate(inputs)}
    values |= {"0": np.zeros(len(index), np.bool_), "1": np.ones(len(index), np.bool_)}
    return _Expression(function, values).value().astype(np.uint8)


class _Expression:
    def __init__(self, function: str, values: dict[str, NDArray[np.bool_]]) -> None:
        self.function, self.values = function, values
        self.tokens, position = [], 0
        while position < len(function.rstrip()):
            found = TOKEN.match(function, position)
            if not found:
                raise self._fault()
            self.tokens.append(found[1])
            position = found.end()
        self.tokens.reverse()

    def value(self) -> NDArray[np.bool_]:
        """Return the value of the whole."""
        found = self._sum()
        if self.tokens:
            raise self._fault()
        return found

    def _peek(self) -> str:
        return self.tokens[-1] if self.tokens else ""

    def _sum(self) -> NDArray[np.bool_]:
        found = self._product()
        while self._peek() in ("+", "|"):
            self.tokens.pop()
            found = found | self._product()
        return found

    def _product(self) -> NDArray[np.bool_]:
        found = self._difference()
        while (sign := self._peek()) and sign not in "+|)":
            if sign in "*&":
                self.tokens.pop()
            found = found & self._difference()
        return found

    def _difference(self) -> NDArray[np.bool_]:
        found = self._factor()
        while self._peek() == "^":
            self.tokens.pop()
            found = found ^ self._factor()
        return found

    def _factor(self) -> NDArray[np.bool_]:
        token = self.tokens.pop() if self.tokens else ""
        if token == "!":
            return ~self._factor()
        if token == "(":
            found = self._sum()
            if self._peek() != ")":
                raise self._fault()
            self.tokens.pop()
        elif token in self.values:
            found = self.values[token]
        else:
            raise self._fault()
        while self._peek() == "'":
            self.tokens.pop()
            found = ~found
        return found

    def _fault(self) -> InputError:
        return InputError(f"'{self.function[:60]}' is no function of the cell's inputs")
