"""Another shape for the same values of each image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from sim.errors import InputError

__all__ = ["View", "as_map", "as_maps"]


class View(nn.Module):
    """Gives each image another shape; its values keep their order.

    Parameters
    ----------
    shape : sequence of int, at least 1 each
        Of one image: a row (F), a sequence (C, L) or a map (C, H, W).

    Raises
    ------
    InputError
        If it is none of these.
    """

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.shape = tuple(map(int, shape))
        if not 1 <= len(self.shape) <= 3 or min(self.shape) < 1:
            raise InputError(f"an image has 1 to 3 axes of at least 1, not {self.shape}")

    def extra_repr(self) -> str:
        return f"shape={self.shape}"

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(len(x), *self.shape)


def as_map(shape: Sequence[int]) -> tuple[int, int, int]:
    """Return (channels, height, width) of an image of 1 to 3 axes: rows and columns that it lacks are 1.

    >>> as_map((5,)), as_map((3, 7))
    ((5, 1, 1), (3, 7, 1))
    """
    channels, height, width = (*shape, 1, 1)[:3]
    return channels, height, width


def as_maps(codes: NDArray[np.integer]) -> NDArray[np.integer]:
    """Return sequences and rows of all images as the maps that the machine has; maps as they are.

    >>> as_maps(np.zeros((2, 5), np.int32)).shape, as_maps(np.zeros((2, 3, 7), np.int32)).shape
    ((2, 5, 1, 1), (2, 3, 7, 1))
    """
    return codes.reshape(len(codes), *as_map(codes.shape[1:])) if codes.ndim in (2, 3) else codes
