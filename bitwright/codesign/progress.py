"""Progress of long work, for whatever shows it."""

from __future__ import annotations

from typing import Protocol

__all__ = ["SILENT", "Progress"]


class Progress(Protocol):
    """What long work reports while it runs."""

    def note(self, text: str) -> None:
        """Take note of what is being done now."""

    def done(self, text: str) -> None:
        """Count a finished step, which `text` describes."""

    def message(self, text: str) -> None:
        """Pass on a sentence that must not be missed."""


class _Silent:
    """Progress that nobody sees."""

    def note(self, text: str) -> None:
        """Ignore what is being done now."""

    def done(self, text: str) -> None:
        """Ignore a finished step."""

    def message(self, text: str) -> None:
        """Ignore a sentence."""


SILENT: Progress = _Silent()
