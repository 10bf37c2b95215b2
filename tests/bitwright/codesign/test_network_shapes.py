"""Shapes of networks: those that come with Bitwright are those of its networks, and files of other tools have them."""

from pathlib import Path

import pytest
import torch
from torch import nn

from bitwright.codesign.network_shapes import model_or_shapes, shapes_of_model
from quant.networks.registry import NETWORKS, make_network
from sim.arch.machine import load_machine
from sim.ir.program import Program
from sim.ir.shapes import Shapes, builtin_networks, load_shapes

EDGE = load_machine("edge")
IMAGES = {"digits": (1, 8, 8)} | dict.fromkeys(
    ("alexnet", "efficientnet_lite0", "mobilenet_v2", "mobilenet_v3_small", "resnet18", "resnet34"), (3, 224, 224))
"""Of the networks that do not read grey images of 32 x 32."""
CLASSES = {1: 48, 3: 1000}


def without_output_widths(shapes: Shapes) -> Shapes:
    """The same but for the widths of outputs that the host reads, which depend on weights."""
    return shapes.model_copy(update={"layers": tuple(
        layer.model_copy(update={"bits": 32}) if isinstance(layer.bits, int) and layer.bits > 8 else layer
        for layer in shapes.layers)})


@pytest.mark.parametrize("name", [
    "digits", "resnet8", *(pytest.param(name, marks=pytest.mark.nightly)
                           for name in builtin_networks() if name not in ("digits", "resnet8"))])
def test_built_in_shapes_are_those_of_the_networks(name: str) -> None:
    """Quantized and lowered anew, each network has the shapes of its file."""
    torch.manual_seed(0)
    shape = IMAGES.get(name, (1, 32, 32))
    model = make_network(name, 10 if name == "digits" else CLASSES[shape[0]], shape[0]).eval()
    assert without_output_widths(shapes_of_model(model, shape, name, EDGE)) == without_output_widths(load_shapes(name))


def test_every_network_of_the_registry_has_a_file() -> None:
    """A name that trains a network also estimates it."""
    assert sorted(builtin_networks()) == sorted(NETWORKS)


def test_float_models_have_shapes(tmp_path: Path) -> None:
    """A saved model is quantized on the way; its first layer is folded where it has a stride."""
    model = nn.Sequential(nn.Conv2d(3, 8, 5, stride=2, padding=2), nn.ReLU(), nn.Conv2d(8, 4, 3), nn.ReLU(),
                          nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)).eval()
    torch.export.save(torch.export.export(model, (torch.zeros(1, 3, 12, 12),)), tmp_path / "m.pt2")
    found = model_or_shapes(tmp_path / "m.pt2", EDGE)
    assert not isinstance(found, Program)
    assert [one.model_dump(include={"channels", "height", "width"}) for one in found.inputs.values()] == [
        {"channels": 12, "height": 8, "width": 8}]
    assert [(layer.channels, layer.kernel, layer.weights, layer.used) for layer in found.layers] == [
        (8, (3, 3), "first_last", 75), (4, (3, 3), "weights", None), (4, (4, 4), "unit", None),
        (2, (1, 1), "first_last", None)]
