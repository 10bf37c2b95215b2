"""What a network's quantization tells about itself."""

import torch
from torch import nn

from bitwright.codesign.post_training import equalized_channels
from quant.convert import quantize
from sim.ir.formats import Format


def test_equalized_channels_are_counted() -> None:
    """One channel of four reaches the ceiling of the ReLU6, two are stored larger, one has the range already."""
    model = nn.Sequential(nn.Conv2d(1, 4, 1, bias=False), nn.ReLU6(), nn.Conv2d(4, 4, 1, groups=4), nn.ReLU(),
                          nn.Conv2d(4, 2, 1)).eval()
    with torch.no_grad():
        model.get_parameter("0.weight").copy_(torch.tensor([9.0, 4.0, 1.0, 0.5]).reshape(4, 1, 1, 1))
    images = torch.linspace(0, 1, 64).reshape(1, 1, 8, 8)
    for scheme, wanted in (("power_of_two", {"0": {"channels": 4, "moved": 2, "held": 1}}), ("lsq", {})):
        quantized = quantize(model, images, scheme=scheme, input_format=Format(8, "unsigned"), input_exponent=-8)
        assert equalized_channels(quantized) == wanted
