"""Models that are trained with Brevitas and exported by it: as QONNX, and as QDQ whose codes are clamped (QCDQ)."""

from __future__ import annotations

from pathlib import Path

import brevitas.nn as qnn
import torch
from brevitas.export import export_onnx_qcdq, export_qonnx
from brevitas.quant import Int8ActPerTensorFixedPoint, Int8WeightPerChannelFloat, Uint8ActPerTensorFloat
from torch import Tensor, nn

from quant.data.digits import digits
from quant.training.checkpoint import load_weights, save_weights
from quant.training.loop import train
from quant.training.recipe import Recipe

__all__ = ["network", "write"]

BATCH = 100
"""Batch that the file fixes: the qonnx package computes no other."""


class Network(nn.Module):
    """A residual network for handwritten digits: pixels of 8 bits, first weights of 8, then `bits` everywhere."""

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.pixels = qnn.QuantIdentity(act_quant=Int8ActPerTensorFixedPoint, return_quant_tensor=True)
        self.stem, self.norm0 = _convolution(1, 16, 8), nn.BatchNorm2d(16)
        self.relu0 = _relu(bits)
        self.conv1, self.norm1 = _convolution(16, 16, bits), nn.BatchNorm2d(16)
        self.shared = qnn.QuantIdentity(act_quant=Uint8ActPerTensorFloat, bit_width=bits, return_quant_tensor=True)
        self.relu1 = _relu(bits)
        self.pool = nn.MaxPool2d(2)
        self.conv2, self.norm2 = _convolution(16, 32, bits), nn.BatchNorm2d(32)
        self.relu2 = _relu(bits)
        self.classifier = qnn.QuantLinear(32 * 16, 10, bias=False, weight_quant=Int8WeightPerChannelFloat,
                                          weight_bit_width=bits)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu0(self.norm0(self.stem(self.pixels(x))))
        x = self.pool(self.relu1(self.shared(self.norm1(self.conv1(x))) + self.shared(x)))
        found: Tensor = self.classifier(self.relu2(self.norm2(self.conv2(x))).flatten(1))
        return found


def _convolution(channels_in: int, channels_out: int, bits: int) -> nn.Module:
    made: nn.Module = qnn.QuantConv2d(channels_in, channels_out, 3, padding=1, bias=False, weight_bit_width=bits,
                                      weight_quant=Int8WeightPerChannelFloat)
    return made


def _relu(bits: int) -> nn.Module:
    made: nn.Module = qnn.QuantReLU(act_quant=Uint8ActPerTensorFloat, bit_width=bits, return_quant_tensor=True)
    return made


def network(bits: int, folder: Path) -> Network:
    """Return the trained network; its weights are kept in a folder."""
    torch.manual_seed(0)
    data, _ = digits()
    model, weights = Network(bits), folder / f"brevitas{bits}.safetensors"
    model(data.images[:64])  # Brevitas makes the scales of activations of the first images that it sees
    if weights.exists():
        load_weights(model, weights)
    else:
        train(model, data, Recipe(epochs=12, rate=0.05))
        save_weights(model, weights)
    return model.eval()


WRITERS = {"qonnx": export_qonnx, "qcdq": export_onnx_qcdq}


def write(option: str, model: nn.Module, path: Path) -> None:
    """Export a network with QONNX's Quant operators, or with QuantizeLinear, Clip and DequantizeLinear."""
    WRITERS[option](model, args=torch.zeros(BATCH, 1, 8, 8), export_path=str(path), opset_version=17,
                    input_names=["x"], output_names=["y"], dynamo=False)
