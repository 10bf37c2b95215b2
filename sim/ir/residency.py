"""What lies on chip and in the host's memory, followed from op to op while a Program is checked.

A tensor is written by Conv and Pool ops, by one Load of another tensor, or by Stores of other tensors; inputs are
in the host's memory from the start. Nothing is written twice and nothing is read before it is written.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from sim.errors import InputError
from sim.ir.host_rows import Rows
from sim.ir.lattice import MAX_PIECES, Piece, Pieces
from sim.ir.tensor import Tensor

__all__ = ["Residency"]


class Residency:
    """What is written so far, on chip and in the host's memory; every method refuses, as `where`, what is forbidden.

    Parameters
    ----------
    tensors : mapping of str to Tensor
    inputs : collection of str
        Tensors that no op writes.
    loaded : collection of str
        Tensors that a Load gives their place on chip.
    """

    def __init__(self, tensors: Mapping[str, Tensor], inputs: Collection[str], loaded: Collection[str]) -> None:
        self._tensors, self._inputs = tensors, inputs
        self._stored: dict[str, Rows] = {}
        self._chip = {name: set(range(len(tensors[name].parts))) for name in tensors
                      if name in inputs and name not in loaded}
        self._computed: set[str] = set()
        self._pieces: dict[tuple[str, int], Pieces] = {}
        self._unread = set[str]()

    def read(self, name: str, where: str) -> None:
        """Note that an engine reads a tensor: all parts of it are on chip."""
        self._unread.discard(name)
        missing = self._missing_part(name)
        if missing is not None and self._in_host(name):
            raise InputError(f"{where}: reads '{name}', which lies in the host's memory, before it is loaded")
        if missing is not None:
            raise InputError(f"{where}: reads '{name}' before part {missing} of it is written")

    def compute(self, name: str, parts: Sequence[int], where: str) -> None:
        """Note that a Conv or Pool writes parts of a tensor on chip."""
        done = self._chip.setdefault(name, set())
        if self._in_host(name):
            raise InputError(f"{where}: '{name}' is already written, by a Store")
        for part in parts:
            if part in done or (name, part) in self._pieces:
                raise InputError(f"{where}: part {part} of '{name}' is already written")
        done.update(parts)
        self._computed.add(name)

    def compute_piece(self, name: str, part: int, piece: Piece, where: str) -> None:
        """Note that a Conv writes some pixels of a part of a tensor on chip."""
        self.compute(name, (), where)
        if part in self._chip[name]:
            raise InputError(f"{where}: part {part} of '{name}' is already written")
        tensor = self._tensors[name]
        pieces = self._pieces.setdefault((name, part), Pieces(tensor.height, tensor.width))
        if len(pieces) == MAX_PIECES:
            raise InputError(f"{where}: at most {MAX_PIECES} ops may write lattices of part {part} of '{name}'")
        pixel = pieces.add(piece)
        if pixel is not None:
            row, column = pixel
            raise InputError(f"{where}: row {row}, column {column} of part {part} of '{name}' is already written")
        if pieces.complete:
            self._chip[name].add(part)

    def load(self, name: str, output: str, first_row: int, where: str) -> None:
        """Note a Load: its rows are in the host's memory, and its output is not written yet."""
        source, target = self._tensors[name], self._tensors[output]
        if source.name not in self._inputs:
            rows, held = range(first_row, first_row + target.height), self._rows(source.name)
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

    def store(self, name: str, output: str, first_row: int, part: int | None, where: str) -> None:
        """Note a Store: it reads a whole tensor that was computed, and its rows in the host's memory are free."""
        source, target = self._tensors[name], self._tensors[output]
        self.read(source.name, where)
        if source.name not in self._computed:
            raise InputError(f"{where}: stores '{source.name}', which no Conv or Pool has written")
        if target.name in self._chip and source is not target:
            raise InputError(f"{where}: '{target.name}' is already on chip")
        rows, held = range(first_row, first_row + source.height), self._rows(target.name)
        for written in held.parts if part is None else (part,):
            row = held.add(written, rows)
            if row is not None:
                raise InputError(f"{where}: row {row} of part {written} of '{target.name}' is already in the host's "
                                 "memory")

    def finish(self) -> None:
        """Refuse, at the end, what is written in part only, and what is loaded and never read."""
        for name in self._unread:
            raise InputError(f"tensor '{name}' is loaded and never read")
        for name in self._chip:
            missing = self._missing_part(name)
            if missing is not None:
                pieces = self._pieces.get((name, missing))
                never = "never written" if pieces is None else (
                    f"written in {pieces.pixels} of its {pieces.area} pixels")
                raise InputError(f"tensor '{name}': part {missing} is {never}")
        for name, rows in self._stored.items():
            place = rows.first_missing()
            if place is not None:
                raise InputError(f"tensor '{name}': row {place[1]} of part {place[0]} is never written")

    def _in_host(self, name: str) -> bool:
        """Tell whether a tensor has a place in the host's memory, so far."""
        return name in self._inputs or name in self._stored

    def _rows(self, name: str) -> Rows:
        """Return the rows of a tensor in the host's memory that Stores have written."""
        if name not in self._stored:
            tensor = self._tensors[name]
            self._stored[name] = Rows(len(tensor.parts), tensor.height)
        return self._stored[name]

    def _missing_part(self, name: str) -> int | None:
        """Return the first part of a tensor that is not on chip, None if all are."""
        done, count = self._chip.get(name, set()), len(self._tensors[name].parts)
        return None if len(done) == count else min(set(range(count)) - done)
