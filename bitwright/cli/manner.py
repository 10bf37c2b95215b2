"""How the command line talks during one command: what it was told, and what it has said."""

from __future__ import annotations

from dataclasses import dataclass

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
    """

    quiet: bool = False
    as_json: bool = False
    answered: bool = False

    def begin(self) -> None:
        """Forget the command before."""
        self.quiet = self.as_json = self.answered = False

    def say_json(self, wanted: bool) -> bool:
        """Note whether JSON is wanted, and return it."""
        self.as_json = wanted
        return wanted


MANNER = Manner()
