"""Files of ONNX and of torch.export hold larger maps, gates, tables and uneven layers, and become Programs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import bitwright
from sim.ir.formats import Format


class Maps(nn.Module):
    """A small U-Net with a gate, repeated and shuffled pixels, groups, and steps that differ along both axes."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, (2, 1), 1, dilation=(1, 1))
        self.wide, self.squeeze = nn.Conv2d(8, 8, 3, (1, 2), (1, 2), (1, 2), groups=4), nn.Conv2d(8, 8, 1)
        self.up, self.shuffled = nn.ConvTranspose2d(8, 4, 4, 2, 1), nn.Conv2d(8, 16, 1)
        self.head, self.fc = nn.Conv2d(12, 3, 1), nn.Linear(3 * 8 * 8, 5)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.hardswish(self.wide(functional.leaky_relu(self.stem(x), 0.2)))
        y = y * torch.sigmoid(self.squeeze(y.mean((2, 3), keepdim=True)))
        larger = functional.interpolate(functional.silu(y), scale_factor=2.0)[:, :4]
        parts = [torch.relu(self.up(y)), functional.pixel_shuffle(torch.tanh(self.shuffled(y)), 2), larger]
        return self.fc(self.head(torch.cat(parts, 1)).flatten(1))


class Sequences(nn.Module):
    """Samples to features and back, with a gate of halves."""

    def __init__(self) -> None:
        super().__init__()
        self.encode, self.mix = nn.Conv1d(1, 8, 8, 4, 2), nn.Conv1d(8, 16, 3, padding=1)
        self.decode, self.last = nn.ConvTranspose1d(8, 4, 8, 4, 2, bias=False), nn.Conv1d(4, 1, 5, padding=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(functional.gelu(self.decode(functional.glu(self.mix(torch.relu(self.encode(x))), 1))))


def write_onnx(model: nn.Module, images: Tensor, path: Path) -> None:
    torch.onnx.export(model, (images,), path, dynamo=False, opset_version=17, input_names=["x"],
                      dynamic_axes={"x": {0: "n"}})


def write_pt2(model: nn.Module, images: Tensor, path: Path) -> None:
    torch.export.save(torch.export.export(model, (images,)), path)


@pytest.mark.filterwarnings("ignore")  # of the older exporter
@pytest.mark.parametrize(("make", "shape", "write", "suffix"), [
    (Maps, (3, 8, 8), write_onnx, "onnx"), (Sequences, (1, 32), write_pt2, "pt2"),
    pytest.param(Maps, (3, 8, 8), write_pt2, "pt2", marks=pytest.mark.nightly),
    pytest.param(Sequences, (1, 32), write_onnx, "onnx", marks=pytest.mark.nightly)])
def test_newer_operators_come_out_of_files(tmp_path: Path, make: Callable[[], nn.Module], shape: tuple[int, ...],
                                           write: Callable[[nn.Module, Tensor, Path], None], suffix: str) -> None:
    """What was read computes what the model does, and its Program of 8 bits is 30 dB above its own noise."""
    torch.manual_seed(1)
    model, images = make().eval(), torch.rand(8, *shape)
    path = tmp_path / f"net.{suffix}"
    write(model, images[:2], path)
    read = bitwright.load_model(path, shape)
    with torch.no_grad():
        wanted = model(images)
        torch.testing.assert_close(read(images), wanted, rtol=1e-4, atol=1e-5)
    quantized = bitwright.quantize(read, images, scheme="uniform", weight_bits=8, activation_bits=8,
                                   input_format=Format(8, "unsigned"), input_exponent=-8)
    lowered = bitwright.lower_with_report(quantized, images[:1], "edge")
    codes = lowered.prepare((images * 256).floor().clamp(0, 255).to(torch.uint8).numpy())
    (name,) = lowered.outputs
    found = bitwright.simulate(lowered.program, {lowered.program.inputs[0].name: codes})[name] * lowered.scales[name]
    noise = torch.from_numpy(found).reshape(wanted.shape) - wanted
    assert float(wanted.square().mean()) > 1000 * float(noise.square().mean())
