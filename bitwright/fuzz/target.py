"""What is fuzzed: where inputs come from, and what reads them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from random import Random

__all__ = ["Target"]


class Target(ABC):
    """A loader with a corpus of small files that it takes.

    Attributes
    ----------
    name : str
    """

    name: str

    @abstractmethod
    def prepare(self, folder: Path) -> None:
        """Make the corpus, the same each time, and do once what inputs shall not pay for."""

    @abstractmethod
    def make(self, random: Random) -> bytes:
        """An input: a file of the corpus, changed."""

    @abstractmethod
    def read(self, path: Path) -> None:
        """Load an input and use what came; InputError where the loader refuses it, AssertionError where use fails."""
