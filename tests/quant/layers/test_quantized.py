"""Layers with quantized weights."""

import torch
from torch import nn
from torch.nn import functional

from quant.layers.quantized import QuantConv2d, QuantLinear
from quant.quantizers.power_of_two import PowerOfTwoWeight


def test_convolution_uses_quantized_weights_and_every_option() -> None:
    """Stride, pads, dilation, groups and bias are those of the layer it came from; only the weights are coarser."""
    conv = nn.Conv2d(4, 6, (3, 2), stride=2, padding=(2, 1), dilation=(1, 2), groups=2)
    quantizer = PowerOfTwoWeight(3, channels=6)
    quantizer.initialise(conv.weight)
    x = torch.randn(2, 4, 9, 8, generator=torch.Generator().manual_seed(0))
    expected = functional.conv2d(x, quantizer(conv.weight), conv.bias, (2, 2), (2, 1), (1, 2), 2)
    assert torch.equal(QuantConv2d(conv, quantizer)(x), expected)
    assert not torch.equal(expected, conv(x))


def test_linear_uses_quantized_weights() -> None:
    """The product is with scale * code, the bias stays real."""
    linear = nn.Linear(5, 3)
    quantizer = PowerOfTwoWeight(3, channels=3)
    quantizer.initialise(linear.weight)
    x = torch.randn(7, 5, generator=torch.Generator().manual_seed(0))
    weight = quantizer.codes(linear.weight) * quantizer.scale[:, None]
    assert torch.equal(QuantLinear(linear, quantizer)(x), functional.linear(x, weight, linear.bias))


def test_training_moves_the_real_weights() -> None:
    """The parameter behind the quantizer is the layer's own and gets a gradient for unclipped weights."""
    conv = nn.Conv2d(2, 2, 1, bias=False)
    quantizer = PowerOfTwoWeight(8, channels=2)
    quantizer.initialise(conv.weight)
    layer = QuantConv2d(conv, quantizer)
    layer(torch.ones(1, 2, 3, 3)).sum().backward()
    assert layer.weight is conv.weight
    assert conv.weight.grad is not None
    assert conv.weight.grad.flatten().tolist() == [9.0] * 4
