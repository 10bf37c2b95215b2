"""What lies on chip and in the host's memory, followed from op to op while a Program is checked.

A tensor is written by Conv and Pool ops, by one Load of another tensor, or by Stores of other tensors; inputs are
in the host's memory from the start. Nothing is written twice and nothing is read before it is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sim.errors import InputError
from sim.ir.host_rows import Rows
from sim.ir.ops import Load, Store

if TYPE_CHECKING:
    from sim.ir.program import Program

__all__ = ["Places"]


class Places:
    """Places written so far; every method refuses, as `where`, what the contract forbids."""

    def __init__(self, program: Program) -> None:
        self._tensors = {t.name: t for t in program.tensors}
        self._inputs = {t.name for t in program.inputs}
        self._stored: dict[str, Rows] = {}
        loaded = {r.output for r in program.ops if isinstance(r, Load) and r.input == r.output}
        self._chip = {t.name: set(range(len(t.parts))) for t in program.inputs if t.name not in loaded}
        self._computed: set[str] = set()
        self._unread = set[str]()

    def read(self, name: str, where: str) -> None:
        """An engine reads a tensor: all parts of it are on chip."""
        self._unread.discard(name)
        missing = self._missing_part(name)
        if missing is not None and self._in_host(name):
            raise InputError(f"{where}: reads '{name}', which lies in the host's memory, before it is loaded")
        if missing is not None:
            raise InputError(f"{where}: reads '{name}' before part {missing} of it is written")

    def compute(self, name: str, parts: Sequence[int], where: str) -> None:
        """A Conv or Pool writes parts of a tensor on chip."""
        done = self._chip.setdefault(name, set())
        if self._in_host(name):
            raise InputError(f"{where}: '{name}' is already written, by a Store")
        for part in parts:
            if part in done:
                raise InputError(f"{where}: part {part} of '{name}' is already written")
        done.update(parts)
        self._computed.add(name)

    def load(self, load: Load, where: str) -> None:
        """The rows that a Load reads are in the host's memory, and its output is not written yet."""
        source, target = self._tensors[load.input], self._tensors[load.output]
        if source.name not in self._inputs:
            rows, held = range(load.first_row, load.first_row + target.height), self._rows(source.name)
            for part in held.parts:
                row = held.missing(part, rows)
                if row is not None:
                    raise InputError(f"{where}: reads '{source.name}' in the host's memory before row {row} of part "
                                     f"{part} is there")
        if target.name in self._chip:
            raise InputError(f"{where}: '{target.name}' is already on chip")
        if self._in_host(target.name) and source is not target:
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
        rows, held = range(store.first_row, store.first_row + source.height), self._rows(target.name)
        for part in held.parts if store.output_part is None else (store.output_part,):
            row = held.add(part, rows)
            if row is not None:
                raise InputError(f"{where}: row {row} of part {part} of '{target.name}' is already in the host's "
                                 "memory")

    def finish(self) -> None:
        """At the end whatever is written is written wholly, and whatever is loaded has been read."""
        for name in self._unread:
            raise InputError(f"tensor '{name}' is loaded and never read")
        for name in self._chip:
            missing = self._missing_part(name)
            if missing is not None:
                raise InputError(f"tensor '{name}': part {missing} is never written")
        for name, rows in self._stored.items():
            place = rows.first_missing()
            if place is not None:
                raise InputError(f"tensor '{name}': row {place[1]} of part {place[0]} is never written")

    def _in_host(self, name: str) -> bool:
        """Whether a tensor has a place in the host's memory, so far."""
        return name in self._inputs or name in self._stored

    def _rows(self, name: str) -> Rows:
        """Rows of a tensor in the host's memory that Stores have written."""
        if name not in self._stored:
            tensor = self._tensors[name]
            self._stored[name] = Rows(len(tensor.parts), tensor.height)
        return self._stored[name]

    def _missing_part(self, name: str) -> int | None:
        """The first part of a tensor that is not on chip, None if all are."""
        done, count = self._chip.get(name, set()), len(self._tensors[name].parts)
        return None if len(done) == count else min(set(range(count)) - done)
