"""Images of less resolution."""

import pytest
import torch
from torch import nn

from quant.ptq.downscale import downscaled
from sim.errors import InputError


def test_pixels_are_means_of_squares() -> None:
    """Two by two pixels become one, their mean; a factor of 1 changes nothing."""
    images = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert torch.equal(downscaled(images, 2), torch.tensor([[[[2.5, 4.5], [10.5, 12.5]]]]))
    assert downscaled(images, 1) is images


def test_a_network_of_one_resolution_is_refused() -> None:
    """A linear layer that reads a whole map knows how many pixels it has."""
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Flatten(), nn.Linear(32, 3))
    message = (r"the model does not run on 2 x 2 pixels, so it cannot be reconstructed with downscale 2 "
               r"\(mat1 and mat2 shapes cannot be multiplied \(1x8 and 32x3\)\)")
    with pytest.raises(InputError, match=f"^{message}$"):
        downscaled(torch.zeros(2, 1, 4, 4), 2, net)


def test_images_must_have_enough_pixels() -> None:
    """No mean is taken over more pixels than a side has."""
    with pytest.raises(InputError, match=r"^downscale must be at most the 4 pixels of a side, not 5$"):
        downscaled(torch.zeros(2, 1, 4, 6), 5)
