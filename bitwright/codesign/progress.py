"""Progress of long work, for whatever shows it."""

from __future__ import annotations

from typing import Protocol

__all__ = ["SILENT", "Progress"]


class Progress(Protocol):
    """What long work tells while it runs."""

    def note(self, text: str) -> None:
        """Take what is being done now."""

    def done(self, text: str) -> None:
        """Count a finished step, which `text` describes."""


class _Silent:
    """Progress that nobody sees."""

    def note(self, text: str) -> None:
        """Ignore what is being done now."""

    def done(self, text: str) -> None:
        """Ignore a finished step."""


SILENT: Progress = _Silent()
