"""`Tensor`: a map of codes that ops read and write."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from math import prod

from sim.errors import InputError
from sim.io.bounds import MAX_CODES, MAX_EXTENT, check_name, check_range, shown
from sim.ir.formats import Format

__all__ = ["Run", "Tensor"]

Run = tuple[int, int]
"""Parts of a tensor that lie beside each other: the first, and the one after the last."""


@dataclass(frozen=True)
class Tensor:
    """A map of codes, shape (channels, height, width).

    Parameters
    ----------
    name : str
        As `sim.io.bounds.name_fault` allows.
    height, width : int, 1..MAX_EXTENT
    parts : tuple of int
        Channel counts of the pieces that different ops write (concatenation), 1..MAX_EXTENT together; one piece is
        the usual case.
    format : Format
        Unsigned or signed; every part shares it.

    Raises
    ------
    InputError
        If one of these is not so, or there are more than MAX_CODES codes (`sim.io.bounds`).
    """

    name: str
    height: int
    width: int
    parts: tuple[int, ...]
    format: Format

    def __post_init__(self) -> None:
        check_name(self.name, "a tensor's name")
        where = f"tensor '{self.name}'"
        for what, value in (("height", self.height), ("width", self.width), *(("part", p) for p in self.parts)):
            check_range(value, 1, MAX_EXTENT, f"{where}: {what}")
        if not self.parts:
            raise InputError(f"{where}: needs at least one part")
        check_range(self.channels, 1, MAX_EXTENT, f"{where}: channels of all parts together")
        if self.format.kind not in ("unsigned", "signed"):
            raise InputError(f"{where}: activations are unsigned or signed, not {self.format.kind}")
        codes = prod(map(int, self.shape))
        if codes > MAX_CODES:
            raise InputError(f"{where}: must have at most {MAX_CODES} codes, not {codes} in {shown(self.shape)}")

    @cached_property
    def channels(self) -> int:
        """Channels of all parts together."""
        return sum(self.parts)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return self.channels, self.height, self.width

    def check_batch(self, shape: tuple[int, ...]) -> None:
        """Refuse a shape that is not that of codes of this input for any number of images.

        Raises
        ------
        InputError
            With the shape that is expected, (N, channels, height, width).
        """
        if len(shape) != 4 or shape[1:] != self.shape:
            expected = ", ".join(map(str, self.shape))
            raise InputError(f"input '{self.name}' must have shape (N, {expected}), not {shown(shape)}")

    @cached_property
    def _starts(self) -> tuple[int, ...]:
        """First channel of every part."""
        return 0, *accumulate(self.parts)

    def part_slice(self, part: int) -> slice:
        """Return the channels of one part."""
        return self.run_slice((part, part + 1))

    def run_slice(self, run: Run | None) -> slice:
        """Return the channels of a run of parts, None for all of them."""
        first, stop = run or (0, len(self.parts))
        return slice(self._starts[first], self._starts[stop])

    def of_run(self, run: Run | None) -> Tensor:
        """Return the tensor as if it had no other parts than those of a run, None for all of them."""
        return self if run is None else replace(self, parts=self.parts[run[0] : run[1]])
