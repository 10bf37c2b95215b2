"""Where two tensors of codes differ first, and how often."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Difference", "compare_tensor"]

AXES = ("image", "channel", "y", "x")


@dataclass(frozen=True)
class Difference:
    """The first code of a tensor that is not what was expected, and the numbers of such codes.

    Attributes
    ----------
    tensor : str
    place : tuple of int
        Its index: (image, channel, y, x) in a tensor of four axes.
    expected : int
    found : int or None
        None for a code with undefined bits.
    compared, mismatches, undefined : int
        Codes that were compared, of these those that differ, and of those the ones with undefined bits.
    """

    tensor: str
    place: tuple[int, ...]
    expected: int
    found: int | None
    compared: int
    mismatches: int
    undefined: int

    @property
    def where(self) -> str:
        """The place in words.

        >>> Difference("y", (0, 2, 4, 1), 3, 2, 9, 1, 0).where
        'image 0, channel 2, y 4, x 1'
        """
        names = AXES if len(self.place) == len(AXES) else [f"axis {axis}" for axis in range(len(self.place))]
        return ", ".join(f"{name} {index}" for name, index in zip(names, self.place, strict=True))

    def __str__(self) -> str:
        found = "undefined bits" if self.found is None else str(self.found)
        undefined = f", {self.undefined} with undefined bits" if self.undefined else ""
        return (f"tensor '{self.tensor}': {self.mismatches} of {self.compared} codes differ{undefined}; first at "
                f"{self.where}: {found}, expected {self.expected}")


def compare_tensor(tensor: str, expected: NDArray[np.integer], found: NDArray[np.integer], undefined: int,
                   compared: NDArray[np.bool_] | None = None) -> Difference | None:
    """Return the first difference in the order of the axes, or None if there is none.

    Parameters
    ----------
    tensor : str
        Its name.
    expected, found : integer arrays of one shape
    undefined : int
        Stands in `found` for a code with undefined bits; it equals no code.
    compared : bool array or None
        Which codes to compare; None: all.

    Examples
    --------
    >>> print(compare_tensor("y", np.array([3, 4, 5]), np.array([3, 5, -1]), undefined=-1))
    tensor 'y': 2 of 3 codes differ, 1 with undefined bits; first at axis 0 1: 5, expected 4

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if expected.shape != found.shape:
        raise ValueError(f"tensor '{tensor}': expected shape {expected.shape}, found {found.shape}")
    chosen = np.ones(expected.shape, np.bool_) if compared is None else compared
    different = ((expected != found) | (found == undefined)) & chosen
    if not different.any():
        return None
    place = tuple(int(index) for index in np.argwhere(different)[0])
    value = int(found[place])
    return Difference(tensor, place, int(expected[place]), None if value == undefined else value,
                      int(np.count_nonzero(chosen)), int(np.count_nonzero(different)),
                      int(np.count_nonzero(different & (found == undefined))))
