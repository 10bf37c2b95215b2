"""`Load` and `Store`: rows of tensors that move between the host's memory and the chip."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from sim.io.bounds import require, shown
from sim.ir.arithmetic import Arithmetic
from sim.ir.op import OpBase, Queue
from sim.ir.residency import Residency
from sim.ir.tensor import Tensor

__all__ = ["Load", "Store"]


@dataclass(frozen=True, eq=False)
class TransferBase(OpBase):
    """An op that moves a tensor, code for code; `first_row` is the row in the host's memory of row 0 on chip."""

    first_row: int = 0

    @property
    def reads(self) -> tuple[str, ...]:
        """Names of the tensors that it reads: none if a tensor only changes its place."""
        return (self.input,) if self.input != self.output else ()

    @property
    def writes(self) -> str | None:
        """Name of the tensor that it writes, None if a tensor only changes its place."""
        return self.output if self.input != self.output else None

    @property
    def chip_tensors(self) -> tuple[str, ...]:
        """Name of the tensor whose place on chip it uses."""
        return (self.on_chip,)

    @property
    @abstractmethod
    def on_chip(self) -> str:
        """Name of the tensor on chip."""

    @property
    @abstractmethod
    def in_host(self) -> str:
        """Name of the tensor in the host's memory."""

    @property
    def part(self) -> int | None:
        """The part of the tensor in the host's memory that it moves, None for all."""
        return None

    def check_rows(self, tensors: Mapping[str, Tensor]) -> None:
        """Refuse a tensor on chip that is not some rows of the one in the host's memory, of all its parts or of one."""
        chip, host, part, where = tensors[self.on_chip], tensors[self.in_host], self.part, self.where
        require(part is None or 0 <= part < len(host.parts), where,
                f"output_part must be in 0..{len(host.parts) - 1}, not {shown(part)}")
        parts = host.parts if part is None else (host.parts[part],)
        require(chip.parts == parts, where,
                f"'{chip.name}' must have parts {shown(parts)} like '{host.name}', not {shown(chip.parts)}")
        require(chip.format == host.format, where,
                f"'{chip.name}' must have format {host.format} like '{host.name}', not {chip.format}")
        require(chip.width == host.width, where,
                f"'{chip.name}' must be {host.width} wide like '{host.name}', not {chip.width}")
        last = host.height - chip.height
        require(0 <= self.first_row <= last, where,
                f"first_row must be in 0..{last} for {chip.height} rows of the {host.height} of '{host.name}', "
                f"not {shown(self.first_row)}")


@dataclass(frozen=True)
class Load(TransferBase):
    """Rows of a tensor in the host's memory become a tensor on chip, code for code.

    A tensor may have a place in the host's memory, on chip, or both. `Load("l", "x", "x")` gives tensor x, which lies
    in the host's memory, its place on chip.

    Parameters
    ----------
    name : str
    input : str
        In the host's memory: an input of the Program, or written by Stores.
    output : str
        On chip; parts, width and format of the input.
    first_row : int
        Row 0 of the output is this row of the input.
    """

    kind: ClassVar[str] = "load"
    queue: ClassVar[Queue] = Queue.LOAD

    @property
    def on_chip(self) -> str:
        """Name of the output."""
        return self.output

    @property
    def in_host(self) -> str:
        """Name of the input."""
        return self.input

    def check(self, tensors: Mapping[str, Tensor], arithmetic: Arithmetic, residency: Residency) -> None:
        """Refuse a Load that breaks a rule."""
        self.check_rows(tensors)
        residency.load(self.input, self.output, self.first_row, self.where)


@dataclass(frozen=True)
class Store(TransferBase):
    """A tensor on chip goes to rows of a tensor in the host's memory, code for code.

    Parameters
    ----------
    name : str
    input : str
        On chip, written by Conv or Pool.
    output : str
        In the host's memory; width and format of the input. `Store("s", "x", "x")` gives x its place there.
    first_row : int
        Row 0 of the input goes to this row of the output.
    output_part : int or None
        The part of the output that is written, by an input of this one part; None: all, by an input of equal parts.
    """

    output_part: int | None = None

    kind: ClassVar[str] = "store"
    queue: ClassVar[Queue] = Queue.STORE

    @property
    def on_chip(self) -> str:
        """Name of the input."""
        return self.input

    @property
    def in_host(self) -> str:
        """Name of the output."""
        return self.output

    @property
    def part(self) -> int | None:
        """The part of the output that it writes, None for all."""
        return self.output_part

    def check(self, tensors: Mapping[str, Tensor], arithmetic: Arithmetic, residency: Residency) -> None:
        """Refuse a Store that breaks a rule."""
        self.check_rows(tensors)
        residency.store(self.input, self.output, self.first_row, self.output_part, self.where)
