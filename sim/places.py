"""What lies on chip and in the host's memory, followed from record to record while a Program is checked.

A tensor is written by Conv and Pool records, by one Load of another tensor, or by Stores of other tensors; inputs are
in the host's memory from the start. Nothing is written twice and nothing is read before it is written.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sim.errors import InputError
from sim.records import Load, Store, Tensor

if TYPE_CHECKING:
    from sim.program import Program

__all__ = ["Places"]

Rows = NDArray[np.bool_]
"""Rows of a tensor in the host's memory that hold codes, shape (parts, height)."""


class Places:
    """Places written so far; every method refuses, as `where`, what the contract forbids."""

    def __init__(self, program: Program) -> None:
        self._tensors = {t.name: t for t in program.tensors}
        self._host: dict[str, Rows] = {t.name: _rows(t, True) for t in program.inputs}
        loaded = {r.output for r in program.records if isinstance(r, Load) and r.input == r.output}
        self._chip = {t.name: set(range(len(t.parts))) for t in program.inputs if t.name not in loaded}
        self._computed: set[str] = set()
        self._unread = set[str]()

    def read(self, name: str, where: str) -> None:
        """An engine reads a tensor: all parts of it are on chip."""
        self._unread.discard(name)
        missing = set(range(len(self._tensors[name].parts))) - self._chip.get(name, set())
        if missing and name in self._host:
            raise InputError(f"{where}: reads '{name}', which lies in the host's memory, before it is loaded")
        if missing:
            raise InputError(f"{where}: reads '{name}' before part {min(missing)} of it is written")

    def compute(self, name: str, parts: Iterable[int], where: str) -> None:
        """A Conv or Pool writes parts of a tensor on chip."""
        done = self._chip.setdefault(name, set())
        again = done & set(parts)
        if name in self._host:
            raise InputError(f"{where}: '{name}' is already written, by a Store")
        if again:
            raise InputError(f"{where}: part {min(again)} of '{name}' is already written")
        done |= set(parts)
        self._computed.add(name)

    def load(self, load: Load, where: str) -> None:
        """The rows that a Load reads are in the host's memory, and its output is not written yet."""
        source, target = self._tensors[load.input], self._tensors[load.output]
        held = self._host.get(source.name, _rows(source, False))
        rows = held[:, load.first_row : load.first_row + target.height]
        if not rows.all():
            part, row = (int(index) for index in np.argwhere(~rows)[0])
            raise InputError(f"{where}: reads '{source.name}' in the host's memory before row {load.first_row + row} "
                             f"of part {part} is there")
        if target.name in self._chip:
            raise InputError(f"{where}: '{target.name}' is already on chip")
        if target.name in self._host and source is not target:
            raise InputError(f"{where}: '{target.name}' is already written, by a Store")
        self._chip[target.name] = set(range(len(target.parts)))
        self._unread.add(target.name)

    def store(self, store: Store, where: str) -> None:
        """A Store reads a whole tensor that was computed, and its rows in the host's memory are not written yet."""
        source, target = self._tensors[store.input], self._tensors[store.output]
        self.read(source.name, where)
        if source.name not in self._computed:
            raise InputError(f"{where}: stores '{source.name}', which no Conv or Pool has written")
        if target.name in self._chip and source is not target:
            raise InputError(f"{where}: '{target.name}' is already on chip")
        held = self._host.setdefault(target.name, _rows(target, False))
        parts = slice(None) if store.output_part is None else slice(store.output_part, store.output_part + 1)
        rows = held[parts, store.first_row : store.first_row + source.height]
        if rows.any():
            part, row = (int(index) for index in np.argwhere(rows)[0])
            raise InputError(f"{where}: row {store.first_row + row} of part {part + (store.output_part or 0)} of "
                             f"'{target.name}' is already in the host's memory")
        rows[:] = True

    def finish(self) -> None:
        """At the end whatever is written is written wholly, and whatever is loaded has been read."""
        for name in self._unread:
            raise InputError(f"tensor '{name}' is loaded and never read")
        for name, done in self._chip.items():
            missing = set(range(len(self._tensors[name].parts))) - done
            if missing:
                raise InputError(f"tensor '{name}': part {min(missing)} is never written")
        for name, rows in self._host.items():
            if not rows.all():
                part, row = (int(index) for index in np.argwhere(~rows)[0])
                raise InputError(f"tensor '{name}': row {row} of part {part} is never written")


def _rows(tensor: Tensor, held: bool) -> Rows:
    return np.full((len(tensor.parts), tensor.height), held)
