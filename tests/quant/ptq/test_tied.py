"""Layers that share their weights in float do not disturb each other's when these are rounded."""

import pytest
import torch
from torch import nn

from quant.convert import quantize
from quant.layers.quantized import QuantConv2d
from quant.ptq.reconstruct import Reconstruction, reconstruct
from sim.ir.formats import Format


@pytest.mark.trains
@pytest.mark.parametrize("scheme", ["power_of_two", "uniform"])
def test_tied_layers_end_each_on_its_own_grid(scheme: str) -> None:
    """Two convolutions with one parameter: both are on their grids after reconstruction, and the model is as it was."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), nn.ReLU(), nn.Conv2d(2, 2, 3, padding=1), nn.Flatten(),
                          nn.Linear(32, 3)).eval()
    model[2].weight, model[2].bias = model[0].weight, model[0].bias
    images = torch.randint(0, 16, (32, 2, 4, 4)) * 2.0**-4
    before = nn.utils.parameters_to_vector(model.parameters()).detach().clone()
    quantized = quantize(model, images, scheme=scheme, weight_bits=3, input_format=Format(4, "unsigned"),
                         input_exponent=-4)
    reconstruct(quantized, model, images, Reconstruction(iterations=20))
    for name in ("0", "2"):
        layer = quantized.get_submodule(name)
        assert isinstance(layer, QuantConv2d)
        assert torch.equal(layer.weight_quantizer(layer.weight), layer.weight)
    assert torch.equal(nn.utils.parameters_to_vector(model.parameters()), before)
    assert model[0].weight is model[2].weight
