"""Compare a Program with its float network on the same images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

__all__ = ["Paired", "pooled"]

Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Paired:
    """What two networks answered; arrays have an entry for each image.

    Attributes
    ----------
    float_right, right : bool arrays, shape (n,)
        Whether the float network and the Program gave the label.
    agree : bool array, shape (n,)
        Whether both gave the same class.

    Examples
    --------
    >>> labels, real, program = np.array([0, 1, 2, 3]), np.array([0, 1, 2, 0]), np.array([0, 1, 3, 0])
    >>> found = Paired.of(labels, real, program)
    >>> found.float_accuracy, found.accuracy, found.drop, round(found.standard_error, 2), found.agreement
    (75.0, 50.0, 25.0, 21.65, 75.0)
    """

    float_right: Flags
    right: Flags
    agree: Flags

    @classmethod
    def of(cls, labels: NDArray[np.integer], real: NDArray[np.integer], program: NDArray[np.integer]) -> Paired:
        """Return the comparison of two networks' classes."""
        return cls(real == labels, program == labels, real == program)

    @property
    def float_accuracy(self) -> float:
        """Accuracy of the float network [%]."""
        return 100 * float(self.float_right.mean())

    @property
    def accuracy(self) -> float:
        """Accuracy of the Program [%]."""
        return 100 * float(self.right.mean())

    @property
    def agreement(self) -> float:
        """Share of the images on which both give the same class [%]."""
        return 100 * float(self.agree.mean())

    @property
    def drop(self) -> float:
        """Accuracy that the Program has lost [points]."""
        return self.float_accuracy - self.accuracy

    @property
    def standard_error(self) -> float:
        """Standard error of `drop`, from the differences image by image [points]."""
        differences = self.float_right.astype(np.float64) - self.right
        return 100 * float(differences.std()) / sqrt(len(differences))

    def to_json(self) -> dict[str, int | str]:
        """Return the answers, a bit for each image in hex digits, for JSON."""
        return {"images": len(self.right), "float_right": _packed(self.float_right), "right": _packed(self.right),
                "agree": _packed(self.agree)}

    @classmethod
    def from_json(cls, stored: dict[str, int | str]) -> Paired:
        """Read what `to_json` gave."""
        count = int(stored["images"])
        return cls(*(_unpacked(str(stored[name]), count) for name in ("float_right", "right", "agree")))


def pooled(parts: Sequence[Paired]) -> Paired:
    """Return one comparison over the images of all."""
    return Paired(*(np.concatenate([getattr(part, name) for part in parts])
                    for name in ("float_right", "right", "agree")))


def _packed(flags: Flags) -> str:
    return np.packbits(flags).tobytes().hex()


def _unpacked(digits: str, count: int) -> Flags:
    return np.unpackbits(np.frombuffer(bytes.fromhex(digits), np.uint8))[:count].astype(np.bool_)
