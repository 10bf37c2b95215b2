"""How codes lie side by side in a word of a stream or of a memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sim.errors import InputError
from sim.io.bounds import check_range

__all__ = ["UNDEFINED", "Lanes", "join"]

UNDEFINED = int(np.iinfo(np.int64).min)
"""Stands for a code of which the simulator does not know every bit; it equals no code."""
MOST_BITS = 63


@dataclass(frozen=True)
class Lanes:
    """Codes of one width, side by side.

    Parameters
    ----------
    bits : int, 1..63
        Width of a code [bits].
    count : int
        Codes of a word.
    signed : bool
        Whether codes are in two's complement.
    pitch : int or None
        Bits from a lane to the next, at least `bits`; None: as many, so that nothing lies between. Bits between lanes
        are driven as 0 and not looked at.
    first : {"low", "high"}
        Where in the word the first lane lies.

    Raises
    ------
    InputError
        If a number is out of its range.

    Examples
    --------
    >>> hex(Lanes(4, 3).pack([1, 2, 3])), hex(Lanes(4, 3, first="high").pack([1, 2, 3]))
    ('0x321', '0x123')
    >>> Lanes(4, 3, signed=True).unpack("000111110x10")
    [-9223372036854775808, -1, 1]
    """

    bits: int
    count: int = 1
    signed: bool = False
    pitch: int | None = None
    first: Literal["low", "high"] = "low"

    def __post_init__(self) -> None:
        check_range(self.bits, 1, MOST_BITS, "bits of a lane")
        if self.count < 1:
            raise InputError(f"a word must have at least 1 lane, not {self.count}")
        if self.spacing < self.bits:
            raise InputError(f"pitch must be at least the {self.bits} bits of a lane, not {self.pitch}")

    @property
    def spacing(self) -> int:
        """Bits from a lane to the next."""
        return self.bits if self.pitch is None else self.pitch

    @property
    def word_bits(self) -> int:
        """Width of a word [bits]."""
        return self.spacing * (self.count - 1) + self.bits

    @property
    def range(self) -> tuple[int, int]:
        """The lowest and the highest code."""
        return (-(1 << (self.bits - 1)), (1 << (self.bits - 1)) - 1) if self.signed else (0, (1 << self.bits) - 1)

    def pack(self, codes: Sequence[int] | NDArray[np.integer]) -> int:
        """Return the word that holds so many codes or fewer; lanes without a code are 0.

        Raises
        ------
        InputError
            If there are more codes than lanes, or one is not in the range of a lane.
        """
        if len(codes) > self.count:
            raise InputError(f"a word has {self.count} lanes, not {len(codes)}")
        low, high = self.range
        word = 0
        for lane, number in enumerate(codes):
            code = int(number)
            if not low <= code <= high:
                raise InputError(f"a code of lane {lane} must be in {low}..{high}, not {code}")
            word |= (code & ((1 << self.bits) - 1)) << self._place(lane)
        return word

    def words(self, codes: Sequence[int] | NDArray[np.integer]) -> Iterator[int]:
        """Yield the words of a sequence of codes of any length, one after another."""
        for start in range(0, len(codes), self.count):
            yield self.pack(codes[start : start + self.count])

    def unpack(self, word: str) -> list[int]:
        """Return the codes of a word, given its bits as characters, the highest first, or `UNDEFINED`.

        Raises
        ------
        InputError
            If the word has fewer bits than the lanes.
        """
        if len(word) < self.word_bits:
            raise InputError(f"{self.count} lanes have {self.word_bits} bits, the word only {len(word)}")
        return [self._code(word[len(word) - place - self.bits : len(word) - place])
                for place in map(self._place, range(self.count))]

    def _place(self, lane: int) -> int:
        return self.spacing * (lane if self.first == "low" else self.count - 1 - lane)

    def _code(self, bits: str) -> int:
        if bits.strip("01"):
            return UNDEFINED
        code = int(bits, 2)
        return code - (1 << self.bits) if self.signed and bits[0] == "1" else code


def join(*fields: tuple[int, int]) -> int:
    """Return the word of some fields, each a number and its width in bits, the first lowest.

    >>> hex(join((-1, 4), (2, 8)))
    '0x2f'

    Raises
    ------
    InputError
        If a number fits its width neither signed nor unsigned.
    """
    word, place = 0, 0
    for number, (given, bits) in enumerate(fields):
        value = int(given)
        if not -(1 << bits - 1) <= value < 1 << bits:
            raise InputError(f"field {number} of {bits} bits cannot hold {value}")
        word |= (value & ((1 << bits) - 1)) << place
        place += bits
    return word
