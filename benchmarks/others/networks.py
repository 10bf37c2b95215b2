"""Float networks and their images: what the other tools quantize. None of it needs a download."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.others.tiny import Autoencoder, DepthwiseSeparable, mobilenet_v1, speech
from quant.data.digits import digits
from quant.data.glyphs import glyphs
from quant.data.split import Split
from quant.networks.realistic import make_realistic
from quant.networks.registry import make_network
from quant.training.checkpoint import load_weights, save_weights
from quant.training.loop import train
from quant.training.recipe import Recipe

__all__ = ["SOURCES", "Source"]

DIGITS_WEIGHTS = Path(__file__).parents[2] / "tests" / "quant" / "weights" / "float.safetensors"
CALIBRATION, TEST = 128, 500
"""How many images a tool sees, and how many are measured at most."""


@dataclass(frozen=True)
class Source:
    """A float network in eval mode with its images.

    Attributes
    ----------
    model : nn.Module
    calibration, images : float Tensors, shape (n, ...)
        What a tool sees, and what is measured.
    labels : int64 Tensor, shape (n,), or None
        None where the network has learnt nothing.
    """

    model: nn.Module
    calibration: Tensor
    images: Tensor
    labels: Tensor | None


def _digits(_: Path) -> Source:
    """The residual network for handwritten digits whose weights the tests keep."""
    train_split, test = digits()
    model = make_network("digits", 10, 1)
    load_weights(model, DIGITS_WEIGHTS)
    return Source(model.eval(), train_split.images[:CALIBRATION], test.images[:TEST], test.labels[:TEST])


def _trained(model: nn.Module, data: Split, test: Split, weights: Path, recipe: Recipe, count: int) -> Source:
    """Train a network, unless its weights lie there."""
    if weights.exists():
        load_weights(model, weights)
    else:
        train(model, data, recipe)
        save_weights(model, weights)
    return Source(model.eval(), data.images[:CALIBRATION], test.images[:count], test.labels[:count])


def _glyphs(name: str, count: int) -> Callable[[Path], Source]:
    """Return the maker of a small network for rendered characters."""
    def make(folder: Path) -> Source:
        data = glyphs(train=2400, validation=48, test=480, held_out=48, difficulty=0.3)
        torch.manual_seed(0)
        model = make_network(name, data.classes, 1)
        return _trained(model, data.train, data.test, folder / f"{name}.safetensors", Recipe(epochs=5), count)
    return make


def _speech(folder: Path) -> Source:
    """The depthwise separable network of MLPerf Tiny's keyword spotting, for chirps that this file draws."""
    data, test = speech(1200, 0), speech(240, 1)
    torch.manual_seed(0)
    recipe = Recipe(epochs=4, shift=0, rate=0.05)
    return _trained(DepthwiseSeparable(), data, test, folder / "ds_cnn.safetensors", recipe, len(test.images))


def _random(make: Callable[[], nn.Module], shape: tuple[int, ...], count: int) -> Callable[[Path], Source]:
    """Return the maker of a network of random weights whose tensors look like those of trained ones."""
    def made(_: Path) -> Source:
        torch.manual_seed(0)
        images = torch.randn(2 * count, *shape, generator=torch.Generator().manual_seed(1))
        model = make()
        make_realistic(model, images[:count], seed=0)
        return Source(model.eval(), images[:count], images[count:], None)
    return made


def _torchvision(name: str) -> nn.Module:
    """Return one of torchvision's networks without its weights."""
    made: nn.Module = getattr(import_module("torchvision.models"), name)()
    return made


SOURCES: Mapping[str, Callable[[Path], Source]] = {
    "digits": _digits, "resnet8": _glyphs("resnet8", 200), "mobilenet_v2": _glyphs("glyph_mobilenet", 200),
    "ds_cnn": _speech, "autoencoder": _random(Autoencoder, (640,), 100),
    "mobilenet_v1": _random(mobilenet_v1, (3, 96, 96), 8),
    "squeezenet": _random(lambda: _torchvision("squeezenet1_1"), (3, 64, 64), 8)}
"""Makers by name; each gets the folder where trained weights are kept."""
