"""A scoreboard: takes codes from monitors, in order or by place, and says where they are first not what was expected.

With the sums of a reference it also says which half of the hardware is wrong. If the bench has seen the hardware's own
sums, that is certain; else it follows from the codes alone: a requantizer that is wrong makes one code of one sum,
always the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np
from numpy.typing import NDArray

from rtl.testbench.differences import Difference, compare_tensor
from rtl.testbench.lanes import UNDEFINED
from rtl.testbench.suspects import suspect
from sim.errors import InputError
from sim.functional.one_op import Requantizer

__all__ = ["Scoreboard", "Verdict"]

Integers = NDArray[np.int64]
Place = tuple[int, ...]
LETTERS = "nchw"


@dataclass(eq=False)
class _Expected:
    """A tensor that is expected, and what has come of it."""

    codes: Integers
    sums: Integers | None
    requantizer: Requantizer | None
    order: list[Place]
    found: Integers
    came: NDArray[np.bool_]
    found_sums: Integers
    sums_came: NDArray[np.bool_]
    next: int = 0
    next_sum: int = 0
    surplus: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Verdict:
    """What became of one tensor.

    Attributes
    ----------
    tensor : str
    compared, missing, surplus : int
        Codes that came, that did not, and that came after all.
    difference : Difference or None
        The first code that differs.
    suspect : str or None
        What is wrong, in a sentence, where a reference of the sums lets one tell.
    """

    tensor: str
    compared: int
    missing: int
    surplus: int
    difference: Difference | None
    suspect: str | None

    @property
    def right(self) -> bool:
        """Whether all codes came and are what was expected."""
        return not (self.difference or self.missing or self.surplus)

    def __str__(self) -> str:
        if self.right:
            return f"tensor '{self.tensor}': {self.compared} codes are right"
        parts = [str(self.difference)] if self.difference else []
        if self.missing:
            parts.append(f"tensor '{self.tensor}': {self.missing} codes did not come")
        if self.surplus:
            parts.append(f"tensor '{self.tensor}': {self.surplus} codes came after the last one")
        return "; ".join([*parts, *([self.suspect] if self.suspect else [])])


class Scoreboard:
    """Compares tensors with what comes out of hardware.

    Examples
    --------
    >>> board = Scoreboard()
    >>> board.expect("y", np.array([[[[1, 2]], [[3, 4]]]]), order="nhwc")  # channels of a pixel come together
    >>> board.take("y", [1, 3, 2])
    >>> board.take("y", [5])
    >>> print(board.verdicts()[0])
    tensor 'y': 1 of 4 codes differ; first at image 0, channel 1, y 0, x 1: 5, expected 4
    """

    def __init__(self) -> None:
        self._tensors: dict[str, _Expected] = {}

    def expect(self, tensor: str, codes: NDArray[np.integer], *, order: str | Iterable[Place] = LETTERS,
               sums: NDArray[np.integer] | None = None, requantizer: Requantizer | None = None) -> None:
        """Expect a tensor.

        Parameters
        ----------
        tensor : str
            Its name.
        codes : integer array, shape (N, C, H, W), or any other if `order` lists places
        order : str or iterable of places
            How its codes come by `take`: the letters n, c, h, w from the slowest to the fastest, "nhwc" for pixel after
            pixel with all channels of each; or the index of every code, in order, each at most once.
        sums : integer array of the same shape, or None
            Sums of the reference.
        requantizer : Requantizer or None
            Makes the codes of these sums; lets the verdict name ties and clamps.

        Raises
        ------
        InputError
            If the tensor is expected already, or shapes or the order do not fit.
        """
        wanted = np.asarray(codes, np.int64)
        if tensor in self._tensors:
            raise InputError(f"tensor '{tensor}' is expected already")
        if sums is not None and sums.shape != wanted.shape:
            raise InputError(f"sums of '{tensor}' must have its shape {wanted.shape}, not {sums.shape}")
        self._tensors[tensor] = _Expected(
            wanted, None if sums is None else np.asarray(sums, np.int64), requantizer, _places(wanted.shape, order),
            np.zeros_like(wanted), np.zeros(wanted.shape, np.bool_), np.zeros_like(wanted),
            np.zeros(wanted.shape, np.bool_))

    def take(self, tensor: str, codes: Iterable[int]) -> None:
        """Take the next codes of a tensor, in its order.

        Raises
        ------
        InputError
            If no such tensor is expected.
        """
        expected = self._expected(tensor)
        for code in codes:
            if expected.next == len(expected.order):
                expected.surplus.append(int(code))
            else:
                self.put(tensor, expected.order[expected.next], code)
                expected.next += 1

    def put(self, tensor: str, place: Place, code: int) -> None:
        """Take the code of a place, (image, channel, y, x) in a tensor of four axes.

        Raises
        ------
        InputError
            If no such tensor is expected, or it has no such place, or its code has come already.
        """
        expected = self._expected(tensor)
        _check_place(tensor, expected.codes.shape, place)
        if expected.came[place]:
            raise InputError(f"the code of '{tensor}' at {place} has come already")
        expected.found[place], expected.came[place] = code, True

    def take_sums(self, tensor: str, sums: Iterable[int]) -> None:
        """Take the next sums that the hardware has made, in the order of the codes: they decide what is wrong.

        Raises
        ------
        InputError
            If no such tensor is expected, it has no reference of the sums, or more come than it has codes.
        """
        expected = self._expected(tensor)
        if expected.sums is None:
            raise InputError(f"tensor '{tensor}' is expected without sums")
        for value in sums:
            if expected.next_sum == len(expected.order):
                raise InputError(f"tensor '{tensor}' has {len(expected.order)} sums, not more")
            place = expected.order[expected.next_sum]
            expected.found_sums[place], expected.sums_came[place] = value, True
            expected.next_sum += 1

    def remaining(self, tensor: str) -> int:
        """Return how many codes of a tensor have not come."""
        return len(self._expected(tensor).order) - int(np.count_nonzero(self._expected(tensor).came))

    def verdicts(self) -> list[Verdict]:
        """Return what became of each tensor, in the order in which they were expected."""
        return [_verdict(name, expected, self.remaining(name)) for name, expected in self._tensors.items()]

    def check(self) -> None:
        """Check that all codes have come and are right.

        Raises
        ------
        AssertionError
            If not, with a line for every tensor that is not right.
        """
        wrong = [str(verdict) for verdict in self.verdicts() if not verdict.right]
        if wrong:
            raise AssertionError("\n".join(wrong))

    def _expected(self, tensor: str) -> _Expected:
        if tensor not in self._tensors:
            raise InputError(f"no tensor '{tensor}' is expected")
        return self._tensors[tensor]


def _verdict(name: str, expected: _Expected, missing: int) -> Verdict:
    difference = compare_tensor(name, expected.codes, expected.found, UNDEFINED, expected.came)
    reason = None
    if difference and expected.sums is not None:
        wrong = (expected.found != expected.codes) & expected.came
        reason = suspect(expected.sums, expected.found, wrong, expected.came, expected.requantizer,
                         expected.found_sums, expected.sums_came)
    return Verdict(name, int(np.count_nonzero(expected.came)), missing, len(expected.surplus), difference, reason)


def _places(shape: Sequence[int], order: str | Iterable[Place]) -> list[Place]:
    if not isinstance(order, str):
        places = [tuple(int(index) for index in place) for place in order]
        for place in places:
            _check_place("tensor", shape, place)
        if len(set(places)) != len(places):
            raise InputError("order has a place more than once")
        return places
    if sorted(order) != sorted(LETTERS) or len(shape) != len(LETTERS):
        raise InputError(f"order must have each letter of {LETTERS} once for a tensor of four axes, not be {order} "
                         f"for {len(shape)}")
    axes = [LETTERS.index(letter) for letter in order]
    back = np.argsort(axes)
    return [tuple(walk[axis] for axis in back) for walk in product(*(range(shape[axis]) for axis in axes))]


def _check_place(tensor: str, shape: Sequence[int], place: Place) -> None:
    if len(place) != len(shape) or not all(0 <= index < size for index, size in zip(place, shape, strict=True)):
        raise InputError(f"'{tensor}' of shape {tuple(shape)} has no place {place}")
