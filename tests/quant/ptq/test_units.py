"""Units, on graphs of all kinds."""

from typing import cast

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from quant.convert import quantize
from quant.networks import DigitsNet
from quant.networks.registry import make_network
from quant.ptq.units import units
from sim.ir.formats import Format


def names(model: nn.Module, size: int = 32, channels: int = 1) -> list[list[str]]:
    """The layers of each unit."""
    images = torch.randn(4, channels, size, size, generator=torch.Generator().manual_seed(0))
    graph = quantize(model.eval(), images, scheme="uniform", input_format=Format(8, "signed"), input_exponent=-5)
    return [[stage.name for stage in unit.stages] for unit in units(graph)]


def test_residual_blocks_are_units() -> None:
    """Basic blocks with and without a convolution in the shortcut; stem and classifier stand alone."""
    assert names(make_network("resnet8", 48, 1)) == [
        ["conv1"], ["layer1.0.conv1", "layer1.0.conv2"],
        ["layer2.0.downsample.0", "layer2.0.conv1", "layer2.0.conv2"],
        ["layer3.0.downsample.0", "layer3.0.conv1", "layer3.0.conv2"], ["fc"]]
    assert names(DigitsNet(), size=8)[1:3] == [
        ["block1.conv1", "block1.conv2"], ["block2.conv1", "block2.shortcut.0", "block2.conv2"]]


def test_inverted_residuals_are_units() -> None:
    """Expand, filter and project together, with a shortcut or without one; the first block has nothing to expand."""
    found = names(make_network("glyph_mobilenet", 48, 1))
    assert found[:2] == [["features.0.0"], ["features.1.conv.0.0", "features.1.conv.1"]]
    assert [len(unit) for unit in found] == [1, 2, 3, 3, 3, 3, 1, 1]
    assert found[3] == ["features.3.conv.0.0", "features.3.conv.1.0", "features.3.conv.2"]


def test_plain_layers_stand_alone() -> None:
    """Without shortcuts and depthwise layers every layer is a unit, in order."""
    assert [len(unit) for unit in names(make_network("small_alexnet", 10, 1))] == [1] * 6


class ReadFromOutside(nn.Module):
    """A residual block of which another layer reads the inside."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c, self.d = (nn.Conv2d(2, 2, 3, padding=1) for _ in range(4))
        self.stem = nn.Conv2d(1, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.stem(x))
        inside = functional.relu(self.a(x))
        y = functional.relu(self.b(inside) + x)
        return cast(Tensor, self.d(functional.relu(self.c(inside) + y)))


def test_blocks_that_are_read_inside_fall_apart() -> None:
    """What lies inside a unit is read by its own stages alone; every layer is in exactly one unit, in order."""
    found = names(ReadFromOutside(), size=8)
    layers = [name for unit in found for name in unit]
    assert sorted(layers) == ["a", "b", "c", "d", "stem"]
    assert ["a", "b"] not in found


@pytest.mark.parametrize("name", ["resnet20", "small_mobilenet"])
def test_units_cover_every_layer_once(name: str) -> None:
    """Each layer with weights is learnt exactly once."""
    model = make_network(name, 10, 3)
    layers = [path for path, module in model.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    found = [layer for unit in names(model, channels=3) for layer in unit]
    assert sorted(set(found) & set(layers)) == sorted(layers)
    assert len(found) == len(set(found))
