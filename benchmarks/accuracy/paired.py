"""Tell whether one method is better than another, from runs that share seeds and test images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

__all__ = ["Comparison", "compare", "mcnemar"]

ENOUGH = {1: 1.0, 2: 0.8, 3: 0.6, 4: 0.45}
"""Least mean difference that counts [points of 10 000 test images], by the number of paired seeds; 5 and more: 0.3.

Reconstructions of one network with other calibration images differ by a standard deviation of 0.25, networks of
other seeds by 0.1 to 0.35, and the binomial error of 10 000 images at 93 % is 0.25."""


@dataclass(frozen=True)
class Comparison:
    """First method minus second.

    Attributes
    ----------
    differences : tuple of float
        Per seed [points].
    p_values : tuple of float
        McNemar's exact test per seed: how likely as many images are right in one and wrong in the other by chance.
    standard_errors : tuple of float
        Per seed, of the difference over the test images, which both methods have seen [points].
    """

    differences: tuple[float, ...]
    p_values: tuple[float, ...]
    standard_errors: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean over the seeds [points]."""
        return mean(self.differences)

    @property
    def verdict(self) -> str:
        """`better` or `worse` where the mean is large enough and every seed has its sign; else `no difference`."""
        least = ENOUGH.get(len(self.differences), 0.3)
        if abs(self.mean) < least or any(value * self.mean <= 0 for value in self.differences):
            return "no difference"
        return "better" if self.mean > 0 else "worse"


def compare(first: Sequence[NDArray[np.bool_]], second: Sequence[NDArray[np.bool_]]) -> Comparison:
    """Compare two methods; arrays say which test images were right, a pair for each seed.

    Examples
    --------
    >>> right, wrong = np.ones(200, np.bool_), np.arange(200) >= 8
    >>> found = compare([right, right], [wrong, wrong])
    >>> round(found.mean, 9), found.verdict, round(found.p_values[0], 4), round(found.standard_errors[0], 2)
    (4.0, 'better', 0.0078, 1.39)
    """
    differences = tuple(100 * float(a.mean() - b.mean()) for a, b in zip(first, second, strict=True))
    pairs = list(zip(first, second, strict=True))
    errors = tuple(100 * float((a.astype(float) - b).std() / len(a) ** 0.5) for a, b in pairs)
    return Comparison(differences, tuple(mcnemar(a, b) for a, b in pairs), errors)


def mcnemar(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Return the two-sided p-value of McNemar's exact test."""
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    return float(binomtest(only_first, only_first + only_second).pvalue) if only_first + only_second else 1.0
