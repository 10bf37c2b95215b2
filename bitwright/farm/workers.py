"""What does jobs: one interface, and this process as its simplest form."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self

from bitwright.farm.perform import Reply, perform

__all__ = ["Here", "Workers"]


class Workers(Protocol):
    """What does jobs, at most `slots` at a time; leaving its block ends all of them, whatever they are doing."""

    @property
    def slots(self) -> int:
        """How many jobs can run now."""

    def start(self, key: str, text: str) -> None:
        """Begin the job that `text` describes; a slot must be free."""

    def wait(self, seconds: float) -> list[tuple[str, Reply | None]]:
        """Return the keys of jobs that have ended, each with its reply, or with None if its worker died.

        Wait for one if there is none, so many seconds at most.
        """

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None: ...


class Here:
    """This process, which does one job at a time."""

    slots = 1

    def __init__(self) -> None:
        self._begun: list[tuple[str, str]] = []

    def start(self, key: str, text: str) -> None:
        """Take note of a job, which `wait` does."""
        self._begun.append((key, text))

    def wait(self, seconds: float) -> list[tuple[str, Reply | None]]:
        """Do what was begun, however long that takes."""
        begun, self._begun = self._begun, []
        return [(key, perform(text)) for key, text in begun]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        """Hold nothing that must be ended."""
