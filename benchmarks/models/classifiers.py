"""MobileNetV3-Small, EfficientNet and ResNeXt for rendered characters, trained here in few epochs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import nn

from benchmarks.models.case import Case, Values, onnx_session
from benchmarks.models.networks import EfficientNet, ResNeXt
from quant.data.glyphs import GLYPHS_EXPONENT, GLYPHS_FORMAT, glyphs
from quant.networks.mobilenet_v3 import MobileNetV3Small
from quant.training.checkpoint import load_weights, save_weights
from quant.training.loop import train
from quant.training.recipe import Recipe

__all__ = ["CLASSIFIERS", "classifier"]

EPOCHS, TRAINING, CALIBRATION, TEST, DIFFICULTY = 2, 6000, 128, 500, 0.3


def _mobilenet_v3(classes: int, channels: int) -> nn.Module:
    """Return MobileNetV3-Small as it is, but that the first layer does not skip pixels and norms follow few batches."""
    model = MobileNetV3Small(classes, stem_stride=1, channels=channels)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.1
    return model


CLASSIFIERS: Mapping[str, Callable[[int, int], nn.Module]] = {
    "mobilenet_v3_small": _mobilenet_v3, "efficientnet_se": EfficientNet, "resnext": ResNeXt}


def classifier(name: str, folder: Path) -> Case:
    """Return a classifier of characters; it is trained unless its weights lie in the folder."""
    data = glyphs(train=TRAINING, validation=48, test=TEST, held_out=48, difficulty=DIFFICULTY)
    torch.manual_seed(0)
    model, weights = CLASSIFIERS[name](data.classes, 1), folder / f"{name}.weights.safetensors"
    if weights.exists():
        load_weights(model, weights)
    else:
        train(model, data.train, Recipe(epochs=EPOCHS, rate=0.1))
        save_weights(model, weights)
    model.eval()
    labels = data.test.labels.numpy()

    def judge(wanted: Values, found: Values) -> dict[str, tuple[float | None, float]]:
        real, ours = (values[0].argmax(1) for values in (wanted, found))
        return {"character right": (float((real == labels).mean()), float((ours == labels).mean())),
                "same answer": (None, float((real == ours).mean()))}

    session, nodes = onnx_session(model, data.test.images[:1])
    return Case(name, f"trained here, {EPOCHS} epochs of {TRAINING} rendered characters", model, session, nodes,
                data.train.stored[:CALIBRATION], data.test.stored, judge, input_format=GLYPHS_FORMAT,
                input_exponent=GLYPHS_EXPONENT)
