"""Rounding that makes up for itself, and scales that are judged by it."""

import torch
from torch import nn

from quant.layers.quantized import QuantConv2d
from quant.ptq.scales import choose_scales
from quant.ptq.second_order import covariance, round_together
from quant.quantizers.power_of_two import PowerOfTwoWeight


def test_moments_are_those_of_what_each_weight_reads() -> None:
    """A channel's output energy is w' M w, for grouped, strided and padded convolutions."""
    conv = nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2, bias=False)
    layer, x = QuantConv2d(conv, PowerOfTwoWeight(4, channels=6)), torch.randn(5, 4, 9, 9)
    moments, rows = covariance(layer, x.split(2)), conv.weight.detach().reshape(2, 3, -1).double()
    energy = torch.einsum("gri,gij,grj->gr", rows, moments, rows).flatten()
    expected = conv(x).double().square().sum((0, 2, 3))
    assert torch.allclose(energy, expected.detach(), rtol=1e-4)


def test_rounding_together_leaves_less_error() -> None:
    """For inputs that vary together the output's error is less than half of that of rounding to nearest, and the values
    lie on the grid."""
    torch.manual_seed(0)
    x = torch.randn(500, 1) + 0.1 * torch.randn(500, 32)
    rows, scales = torch.randn(1, 8, 32), torch.full((1, 8), 0.5)
    values, _ = round_together(rows, scales, (x.T @ x).double()[None], range(-4, 4))
    nearest = (rows / 0.5 + 0.5).floor().clamp(-4, 3) * 0.5
    assert float(((values - rows)[0] @ x.T).square().sum()) < 0.5 * float(((nearest - rows)[0] @ x.T).square().sum())
    assert torch.equal((values / 0.5).round().clamp(-4, 3) * 0.5, values)


def test_a_misplaced_scale_is_put_right() -> None:
    """Weights that one scale represents exactly get it back, sign and exponent, from an octave above."""
    torch.manual_seed(0)
    quantizer = PowerOfTwoWeight(2, channels=3)
    layer = QuantConv2d(nn.Conv2d(4, 3, 1, bias=False), quantizer)
    exact = torch.tensor([1.0, -1.0, 0.5])
    with torch.no_grad():
        layer.weight.copy_((torch.tensor([[-2.0, -1, 0, 1], [1, -2, -1, 0], [0, 1, -2, -2]]) * exact[:, None])
                           [:, :, None, None])
    quantizer.set_scale(2 * exact)
    values = choose_scales(layer, quantizer, covariance(layer, [torch.randn(50, 4, 3, 3)]))
    assert torch.equal(quantizer.scale, exact)
    assert torch.equal(values, layer.weight)
