"""What every op says of itself: its kind, its queue, and the tensors that it reads, writes and needs on chip."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar

from sim.ir.arithmetic import Arithmetic
from sim.ir.residency import Residency
from sim.ir.tensor import Tensor

__all__ = ["OpBase", "Queue"]


class Queue(IntEnum):
    """The queues of a machine; each runs its ops in Program order."""

    COMPUTE = 0
    LOAD = 1
    STORE = 2

    @property
    def plural(self) -> str:
        """What registers and traces call its ops: computes, loads or stores."""
        return f"{self.name.lower()}s"


@dataclass(frozen=True, eq=False)
class OpBase(ABC):
    """An op of a Program.

    Attributes
    ----------
    kind : str
        What a file calls it.
    queue : Queue
        The one that runs it.
    """

    name: str
    input: str
    output: str

    kind: ClassVar[str]
    queue: ClassVar[Queue]

    @property
    @abstractmethod
    def reads(self) -> tuple[str, ...]:
        """Names of the tensors that it reads; a tensor that only changes its place is neither read nor written."""

    @property
    @abstractmethod
    def writes(self) -> str | None:
        """Name of the tensor that it writes, None if a tensor only changes its place."""

    @property
    @abstractmethod
    def chip_tensors(self) -> tuple[str, ...]:
        """Names of the tensors whose place on chip it uses."""

    @abstractmethod
    def check(self, tensors: Mapping[str, Tensor], arithmetic: Arithmetic, residency: Residency) -> None:
        """Refuse an op that breaks a rule, and note in `residency` what lies where after it.

        Raises
        ------
        InputError
            With the op, the limit, and what came.
        """

    @property
    def where(self) -> str:
        """How a message about this op begins."""
        return f"op '{self.name}'"
