"""The interface of everything that is fuzzed: where inputs come from, and what reads them."""

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
        """Make the corpus, the same each time, and do in advance what no input should pay for."""

    @abstractmethod
    def make(self, random: Random) -> bytes:
        """Make an input, which is a changed file of the corpus."""

    @abstractmethod
    def read(self, path: Path) -> None:
        """Load an input and use the result.

        Raises
        ------
        InputError
            If the loader refuses it.
        AssertionError
            If the result cannot be used.
        """
