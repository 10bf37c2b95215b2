"""Rounding and samples; what every quantizer promises is in test_conformance."""

import math

import pytest
import torch

from quant.quantizers.base import round_half_up, sample_of


def test_rounds_half_up_exactly() -> None:
    """Ties go up on both sides of 0; the result is a whole number, not one off by a float's last bit."""
    x = torch.arange(-1000, 1001) / 2
    expected = [math.floor(value + 0.5) for value in x.tolist()]
    assert round_half_up(x).tolist() == expected


def test_samples_are_spread_and_bounded() -> None:
    """A sample has at most 2**14 elements, from the first to nearly the last."""
    sample = sample_of(torch.arange(100_000.0))
    assert len(sample) <= 1 << 14
    assert sample[0] == 0
    assert sample[-1] > 99_990
    assert len(sample_of(torch.arange(10.0))) == 10
    assert len(sample_of(torch.ones(1))) == 1
    assert len(sample_of(torch.zeros(0))) == 0


@pytest.mark.parametrize("shape", [(1024, 64, 4, 4), (512, 16, 16, 16), (64, 3, 224, 224), (1297, 8, 8, 8)])
def test_samples_fall_on_all_channels_and_pixels(shape: tuple[int, ...]) -> None:
    """Powers of two in the shape do not make a sample of one pixel or of one channel."""
    _, channels, height, width = shape
    for place in (torch.arange(channels)[:, None, None], torch.arange(height * width).reshape(1, height, width)):
        sample = sample_of(place.expand(shape)).long()
        counts = torch.bincount(sample, minlength=int(place.max()) + 1)
        even = len(sample) / len(counts)
        assert int(counts.max()) <= 1.5 * even + 2
        assert int(counts.min()) >= 0.5 * even - 2
