"""How the command line talks during one command: what it was told, and what it has said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["MANNER", "Manner"]


@dataclass
class Manner:
    """State of one command; `begin` makes it that of a new one.

    Attributes
    ----------
    quiet : bool
        Neither progress nor remarks, only results and failures.
    as_json : bool
        Results, and failures too, are JSON.
    answered : bool
        Something has gone to stdout.
    words : tuple of str
        The command line.
    parameters : dict
        Those of the command, by their names.
    """

    quiet: bool = False
    as_json: bool = False
    answered: bool = False
    words: tuple[str, ...] = ()
    parameters: dict[str, Any] = field(default_factory=dict)

    def begin(self) -> None:
        """Forget the command before."""
        self.quiet = self.as_json = self.answered = False
        self.words, self.parameters = (), {}

    def is_told(self, words: Sequence[str]) -> None:
        """Note the command line, and whether it asks for JSON, before any of it is understood."""
        self.words, self.as_json = tuple(words), "--json" in words

    def runs_with(self, parameters: Mapping[str, Any]) -> None:
        """Note the parameters of the command that begins."""
        self.parameters = dict(parameters)

    def say_json(self, wanted: bool) -> bool:
        """Note whether JSON is wanted, and return it."""
        self.as_json = wanted
        return wanted


MANNER = Manner()
