"""Codes that reach the corners of a format."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim.ir.ops import Tensor
from sim.ir.program import Program

__all__ = ["corner_codes", "corner_inputs", "plain_inputs"]


def corner_codes(rng: np.random.Generator, tensor: Tensor, images: int) -> NDArray[np.int32]:
    """Draw codes of `tensor`, shape (images, channels, height, width).

    First an image that mixes both ends, the zero point and random codes, then a random one, all lowest, all highest, a
    board of both ends, and random ones again.

    >>> from sim.ir.formats import Format
    >>> tensor = Tensor("a", 2, 2, (1,), Format(4, "signed"))
    >>> corner_codes(np.random.default_rng(0), tensor, 5)[2:, 0].tolist()
    [[[-8, -8], [-8, -8]], [[7, 7], [7, 7]], [[7, -8], [-8, 7]]]
    """
    low, high, shape = tensor.format.low, tensor.format.high, tensor.shape
    codes = rng.integers(low, high + 1, (images, *shape))
    ends = rng.choice([low, high, tensor.format.zero_point], shape)
    board = np.where(np.indices(shape).sum(axis=0) % 2, low, high)
    for image, number in zip(codes, range(5), strict=False):
        if number == 0:
            image[:] = np.where(rng.random(shape) < 0.7, ends, image)
        elif number > 1:
            image[:] = (low, high, board)[number - 2]
    return codes.astype(np.int32)


def corner_inputs(rng: np.random.Generator, program: Program, images: int) -> dict[str, NDArray[np.int32]]:
    """Draw `corner_codes` for every input of `program`, by name."""
    return {tensor.name: corner_codes(rng, tensor, images) for tensor in program.inputs}


def plain_inputs(program: Program) -> dict[str, NDArray[np.int32]]:
    """Return one image of the highest code for every input of `program`, by name."""
    return {tensor.name: np.full((1, *tensor.shape), tensor.format.high, np.int32) for tensor in program.inputs}
