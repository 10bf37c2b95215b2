"""What a layer reads at some positions of its output."""

import pytest
import torch
from torch import nn

from quant.calibration.patches import at_positions, in_row, patches, positions, sums

CONVOLUTIONS = {
    "dense": nn.Conv2d(4, 6, 3, padding=1),
    "strided": nn.Conv2d(4, 6, 3, stride=2, padding=2),
    "dilated": nn.Conv2d(4, 6, (3, 1), dilation=2),
    "unequal steps": nn.Conv2d(4, 6, (2, 3), stride=(1, 2), padding=1, dilation=(3, 2)),
    "depthwise": nn.Conv2d(4, 4, 5, padding=2, groups=4),
    "grouped": nn.Conv2d(4, 6, 3, groups=2),
}


@pytest.mark.parametrize("layer", CONVOLUTIONS.values(), ids=CONVOLUTIONS.keys())
def test_sums_at_positions_are_those_of_the_whole_map(layer: nn.Conv2d) -> None:
    """For strides, pads, dilation and groups, and for any part of the images."""
    x = torch.randn(7, 4, 9, 11, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        whole = in_row(nn.functional.conv2d(x, layer.weight, None, layer.stride, layer.padding, layer.dilation,
                                            layer.groups), layer.out_channels)
        for which in (slice(0, 7), slice(2, 5)):
            read, place = patches(layer, x[which], 7, which)
            found = sums(read, layer.weight)
            assert torch.allclose(found, at_positions(whole[which], place), atol=1e-5)


def test_a_linear_layer_is_read_as_a_whole() -> None:
    """Its output has one position."""
    layer, x = nn.Linear(5, 3, bias=False), torch.randn(4, 5)
    read, place = patches(layer, x, 4, slice(0, 4))
    assert torch.allclose(sums(read, layer.weight), layer(x), atol=1e-6)
    assert place.tolist() == [[0]] * 4


def test_positions_are_spread_over_the_map_and_repeat() -> None:
    """One in each of equal parts, none twice, all if there are few, at least one per image."""
    found = positions(10, 1000, 50)
    assert found.shape == (10, 5)
    assert torch.equal(found, positions(10, 1000, 50))
    assert torch.equal(found // 200, torch.arange(5).expand(10, 5))
    assert torch.equal(positions(3, 4, 100), torch.arange(4).expand(3, 4))
    assert positions(3, 4, 1).shape == (3, 1)
