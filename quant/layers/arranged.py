"""An input that the host puts into another order, so that the machine finds channels where its layers read them."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sim.errors import InputError

__all__ = ["Arranged"]


class Arranged(nn.Module):
    """Makes maps (n, C, H, W) of a network's input: the same numbers of each image in another order.

    Parameters
    ----------
    given : sequence of int
        Shape of one image as the network reads it.
    places : integer array, shape (C, H, W)
        For each number of the map the place in the image, counted in the image's order; each place once.

    Raises
    ------
    InputError
        If the places are not those of an image.
    """

    index: Tensor

    def __init__(self, given: Sequence[int], places: NDArray[np.integer]) -> None:
        super().__init__()
        self.given, self.places = tuple(map(int, given)), places
        if places.ndim != 3 or not np.array_equal(np.sort(places, None), np.arange(prod(self.given))):
            raise InputError(f"places must be a map of each place of an image of shape {self.given} once")
        self.register_buffer("index", torch.from_numpy(places.ravel().astype(np.int64)), persistent=False)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the maps."""
        channels, height, width = self.places.shape
        return channels, height, width

    def of_channels(self, numbers: Sequence[float]) -> list[float]:
        """Return a number for each channel of the maps, from those of each place of the image's first axis.

        Raises
        ------
        InputError
            If the numbers differ and a channel has places of several.
        """
        if len(set(numbers)) == 1:
            return [numbers[0]] * self.shape[0]
        found = self.places // prod(self.given[1:])
        if (found != found[:, :1, :1]).any():
            raise InputError("channels of pixels whose means or deviations differ must not be mixed with each other "
                             "before the first layer")
        return [numbers[place] for place in found[:, 0, 0]]

    def extra_repr(self) -> str:
        return f"{self.given} as {self.shape}"

    def forward(self, x: Tensor) -> Tensor:
        self._check(x.shape)
        return x.flatten(1).index_select(1, self.index).reshape(len(x), *self.shape)

    def codes(self, images: NDArray[np.integer]) -> NDArray[np.integer]:
        """Return the maps of images (n, ...) as arrays.

        Raises
        ------
        InputError
            If their shape is another.
        """
        self._check(images.shape)
        return images.reshape(len(images), -1)[:, self.places]

    def _check(self, shape: Sequence[int]) -> None:
        if tuple(shape[1:]) != self.given:
            raise InputError(f"images must have shape (N, {', '.join(map(str, self.given))}), not {tuple(shape)}")
