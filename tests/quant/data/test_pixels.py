"""Pixels of 8 bits and what they mean."""

import re
from typing import Any

import numpy as np
import pytest
import torch

from quant.data.pixels import Pixels
from sim.errors import InputError

IMAGENET = Pixels((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
LEVELS = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16).expand(1, 3, 16, 16)


def test_values_are_normalised_by_channel() -> None:
    """In channel c, pixel p means (p / 255 - mean[c]) / deviation[c]."""
    values = IMAGENET.values(LEVELS)
    assert values.dtype is torch.float32
    for channel, (mean, deviation) in enumerate(zip(IMAGENET.mean, IMAGENET.deviation, strict=True)):
        wanted = (torch.arange(256, dtype=torch.float64) / 255 - mean) / deviation
        assert torch.allclose(values[0, channel].flatten().double(), wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_codes_give_every_pixel_back(kind: torch.dtype) -> None:
    """Values of pixels, and values less than half a step from them, get the pixel's code."""
    steps = torch.tensor(IMAGENET.deviation, dtype=kind)[:, None, None].reciprocal() / 255
    for away in (-0.49, 0.0, 0.49):
        assert torch.equal(IMAGENET.codes(IMAGENET.values(LEVELS).to(kind) + away * steps), LEVELS)


def test_codes_are_clamped() -> None:
    """What is darker than black or brighter than white is black or white."""
    assert Pixels((0.5,), (0.25,)).codes(torch.tensor([[[[-9.0, 9.0]]]])).flatten().tolist() == [0, 255]


def test_mean_codes_are_next_to_the_means() -> None:
    """They are rounded to the nearest pixel."""
    assert IMAGENET.mean_codes == (124, 116, 104)
    assert Pixels([0, 1], [1, 1]).mean_codes == (0, 255)  # type: ignore[arg-type]


@pytest.mark.parametrize("numbers", [np.array([0.25, 0.5]), torch.tensor([0.25, 0.5]), np.float32([0.25, 0.5]),
                                     list(np.float32([0.25, 0.5]))])
def test_statistics_may_be_arrays(numbers: Any) -> None:
    """NumPy and PyTorch compute means of pixels as arrays, or as scalars of their own."""
    assert Pixels(numbers, numbers) == Pixels((0.25, 0.5), (0.25, 0.5))


@pytest.mark.parametrize(("mean", "deviation", "message"), [
    (0.5, (0.5,), "mean must be a sequence of numbers, one for each channel, not 0.5"),
    ((), (0.5,), "mean must be a sequence of numbers, one for each channel, not ()"),
    ((0.5,), "1", "deviation must be a sequence of numbers, one for each channel, not '1'"),
    (torch.zeros(1, 1), (0.5,), "mean must be a sequence of numbers, one for each channel, not tensor([[0.]])"),
    ((0.5,), (True,), "deviation must hold finite numbers, not True"),
    ((float("nan"),), (0.5,), "mean must hold finite numbers, not nan"),
    ((124.0,), (0.5,), "mean must be in 0..1, not 124"),
    ((0.5,), (0.0,), "deviation must be in 0.001..1000, not 0"),
    ((0.5, 0.5), (0.5,), "mean and deviation must have one number for each channel, not 2 and 1"),
])
def test_bad_numbers_are_refused(mean: Any, deviation: Any, message: str) -> None:
    """One sentence says what is wrong with the numbers."""
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        Pixels(mean, deviation)


def test_bad_images_are_refused() -> None:
    """Pixels are uint8 with as many channels as there are means."""
    with pytest.raises(InputError, match=r"^pixels must be uint8, not torch\.int32$"):
        IMAGENET.values(LEVELS.int())
    with pytest.raises(InputError, match=r"^images must have shape \(n, 3, H, W\), as there are 3 means, "
                                         r"not \(1, 1, 16, 16\)$"):
        IMAGENET.codes(LEVELS[:, :1].float())
