"""An order of names that can grow and shrink anywhere."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["Order"]


class Order:
    """Names, each once, in an order; putting one in or taking one out takes the same time however many there are."""

    def __init__(self) -> None:
        self._after: dict[str | None, str | None] = {None: None}  # None stands for both ends
        self._before: dict[str | None, str | None] = {None: None}

    def __iter__(self) -> Iterator[str]:
        name = self._after[None]
        while name is not None:
            yield name
            name = self._after[name]

    def insert(self, name: str, before: str | None = None) -> None:
        """Put a new name before another one, or at the end."""
        previous = self._before[before]
        self._after[previous], self._before[name] = name, previous
        self._after[name], self._before[before] = before, name

    def remove(self, name: str) -> None:
        """Take a name out."""
        before, after = self._before.pop(name), self._after.pop(name)
        self._after[before], self._before[after] = after, before
