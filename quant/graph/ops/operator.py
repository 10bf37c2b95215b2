"""What all operators of the typed graph have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NoReturn

from torch import Tensor

from sim.errors import InputError

__all__ = ["Operator", "Unknown"]


@dataclass(frozen=True)
class Operator(ABC):
    """One operator with its options. Axes count from 0; axis 0 of what depends on the input is the batch."""

    @abstractmethod
    def compute(self, *inputs: Tensor) -> Tensor:
        """Return what the operator makes of its inputs."""

    @property
    def title(self) -> str:
        """What messages call it."""
        return type(self).__name__


@dataclass(frozen=True)
class Unknown(Operator):
    """An operator of a source that has no counterpart here.

    Attributes
    ----------
    kind : str
        What the source calls it.
    reason : str
        Why it has none, or what to write instead; may be empty.
    shape : tuple of int or None
        Of one image of its value, where the source says it.
    """

    kind: str
    reason: str = ""
    shape: tuple[int, ...] | None = None

    def compute(self, *inputs: Tensor) -> NoReturn:
        """Refuse: nothing says what it does."""
        raise InputError(f"unsupported operator {self.kind}{self.reason and f': {self.reason}'}")

    @property
    def title(self) -> str:
        """The source's own name."""
        return self.kind
