"""Gradients are computed where oneDNN computes them right."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from quant.training.memory_format import arranged, lay_out, safe_for_gradients, training_order

ROOT = Path(__file__).parents[3]
NARROW = """
import torch
from torch import nn
from quant.convert import quantize
from quant.data.split import Split
from quant.ptq.reconstruct import Reconstruction, reconstruct
from quant.training.loop import train
from quant.training.recipe import Recipe
from sim.ir.formats import Format

torch.set_num_threads(1)
torch.manual_seed(0)
for what, channels in (("train", 4), ("train", 7), ("reconstruct", 4)):
    model = nn.Sequential(nn.Conv2d(channels, 8, 1, 2, bias=False), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                          nn.Linear(8, 4)).eval().to(memory_format=torch.channels_last)
    codes = torch.randint(0, 16, (64, channels, 32, 32)).contiguous(memory_format=torch.channels_last)
    data = Split(codes, torch.arange(64) % 4, Format(4, "unsigned"), -4)
    assert data.images.is_contiguous(memory_format=torch.channels_last)
    if what == "train":
        train(model, data, Recipe(epochs=5, batch=32))
    else:
        quantized = quantize(model, data.images, scheme="uniform", input_format=data.format, input_exponent=-4)
        reconstruct(quantized, model, data.images, Reconstruction(iterations=10, drop=0.0))
    assert all(bool(value.isfinite().all()) for value in model.parameters())
    print(what, channels, flush=True)
"""


def test_narrow_networks_are_trained_where_onednn_stops_at_avx2() -> None:
    """A strided 1 x 1 convolution of few channels, on channels-last images and kernels, does not kill the process, and
    parameters stay finite, in training and in reconstruction."""
    done = subprocess.run([sys.executable, "-c", NARROW], cwd=ROOT, check=False, capture_output=True, text=True,
                          timeout=300, env=os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2", "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("layer", "safe"), [
    (nn.Conv2d(7, 8, 1, stride=2), False), (nn.Conv2d(8, 8, 1, stride=2), True), (nn.Conv2d(7, 8, 1), True),
    (nn.Conv2d(7, 8, 3, stride=2), True), (nn.Conv2d(7, 8, (1, 3), stride=2), True),
    (nn.Conv2d(7, 8, 1, stride=(1, 2)), False), (nn.Conv2d(14, 8, 1, stride=2, groups=2), False),
    (nn.Linear(4, 4), True)])
def test_channels_last_is_left_for_strided_narrow_layers_alone(layer: nn.Module, safe: bool) -> None:
    """Other networks keep the faster order."""
    model = nn.Sequential(nn.Sequential(layer))
    assert training_order(model) is (torch.channels_last if safe else torch.contiguous_format)
    images = torch.zeros(2, 3, 4, 4).to(memory_format=torch.channels_last)
    assert (safe_for_gradients(model, images) is images) is safe


@pytest.mark.parametrize("shape", [(4, 3, 2, 2), (4, 1, 5, 5), (8, 4, 1, 1), (1, 1, 1, 1), (1, 5, 1, 3)])
@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
def test_an_order_holds_for_axes_of_length_one_too(shape: tuple[int, ...], order: torch.memory_format) -> None:
    """Strides are those of a tensor made in that order, whatever they were: PyTorch judges the order by them."""
    wanted = torch.empty(shape, memory_format=order)
    for start in (torch.contiguous_format, torch.channels_last):
        given = torch.randn(shape).clone(memory_format=start)
        assert arranged(given, order).stride() == wanted.stride()
        assert torch.equal(arranged(given, order), given)


def test_kernels_change_their_order_in_place() -> None:
    """Parameters stay the objects that an optimizer holds; others than kernels stay as they are."""
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(4, 2))
    before = dict(model.named_parameters())
    lay_out(model, torch.channels_last)
    assert all(before[name] is value for name, value in model.named_parameters())
    assert model.get_parameter("0.weight").stride() == (27, 1, 9, 3)
    assert model.get_parameter("1.weight").is_contiguous()
