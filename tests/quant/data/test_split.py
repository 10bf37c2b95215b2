"""Images in memory."""

import torch

from quant.data.images import Images
from quant.data.pixels import Pixels
from quant.data.split import Split
from sim.ir.formats import Format


def test_values_are_scaled_codes() -> None:
    """Without pixels a value is code * 2**exponent."""
    split: Images = Split(torch.arange(8).reshape(2, 1, 2, 2), torch.tensor([0, 1]), Format(3, "unsigned"), -2)
    assert torch.equal(split.codes(torch.tensor([1])).flatten(), torch.arange(4, 8))
    assert torch.equal(split.values(slice(1, 2)).flatten(), torch.tensor([1.0, 1.25, 1.5, 1.75]))


def test_pixels_are_normalised() -> None:
    """With pixels the host gives the bytes, and their values are normalised; parts of a split keep that."""
    pixels = Pixels((0.0, 0.2), (1.0, 0.5))
    bytes_ = torch.tensor([0, 51, 255, 51], dtype=torch.uint8).reshape(2, 2, 1, 1)
    split = Split(bytes_, torch.tensor([0, 1]), pixels=pixels)
    assert (split.format, split.codes(slice(1)).dtype) == (Format(8, "unsigned"), torch.uint8)
    assert torch.equal(split.images.flatten(), torch.tensor([0.0, 0.0, 1.0, 0.0]))
    assert torch.equal(split.first(1).drawn(torch.tensor([0]), torch.Generator()), pixels.values(bytes_[:1]))
