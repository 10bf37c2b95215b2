"""Distances of units from float."""

import pytest
import torch
from torch import nn

from quant.ptq.loss import distance, loss_exponent


@pytest.mark.parametrize("exponent", [2.0, 1.4])
def test_distance_sums_channels_and_averages_the_rest(exponent: float) -> None:
    """Against a loop over every element."""
    generator = torch.Generator().manual_seed(0)
    output, target = (torch.randn(3, 4, 2, 5, generator=generator) for _ in range(2))
    pairs = zip(output.flatten().tolist(), target.flatten().tolist(), strict=True)
    total = sum(abs(a - b) ** exponent for a, b in pairs)
    assert float(distance(output, target, exponent)) == pytest.approx(total / (3 * 2 * 5), rel=1e-5)


def test_the_exponent_follows_the_gain() -> None:
    """1 + 0.9 times the sigmoid of the mean gain less 1, to one decimal; 2 where there is no gain."""
    norm = nn.BatchNorm2d(3)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([3.0, 4.0, 5.0]))
    assert loss_exponent(norm) == 1.9
    with torch.no_grad():
        norm.weight.zero_()
    assert loss_exponent(norm) == 1.2
    assert loss_exponent(nn.BatchNorm2d(3, affine=False)) == 2.0
    assert loss_exponent(None) == 2.0
