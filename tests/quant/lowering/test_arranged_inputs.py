"""Inputs that a model views otherwise before its first layer: the host puts their numbers into the machine's order."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from quant.convert import quantize
from quant.data.pixels import Pixels
from quant.layers.arranged import Arranged
from quant.lowering.lower import Lowered, lower_with_report
from quant.reference import run_reference
from sim.errors import InputError
from sim.ir.formats import Format

FORMAT = Format(8, "signed")


class Viewed(nn.Module):
    """Layers after a view of the input."""

    def __init__(self, view: Callable[[Tensor], Tensor], *layers: nn.Module) -> None:
        super().__init__()
        self.view, self.layers = view, nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(self.view(x))


class Tokens(nn.Module):
    """A linear layer on the last axis, and the mean of what it makes."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.linear = nn.Linear(features, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x).relu().flatten(1, -2).mean(1)


def maps(channels: int) -> list[nn.Module]:
    return [nn.Conv2d(channels, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)]


def sequences(channels: int) -> list[nn.Module]:
    return [nn.Conv1d(channels, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(4, 3)]


def _patches(x: Tensor) -> Tensor:
    return x.reshape(-1, 3, 2, 4, 2, 3).permute(0, 2, 4, 1, 3, 5).reshape(-1, 4, 36)


CASES: dict[str, tuple[Callable[[Tensor], Tensor], list[nn.Module], tuple[int, ...], tuple[int, int, int]]] = {
    "grey image": (lambda x: x.unsqueeze(1), maps(1), (6, 5), (1, 6, 5)),
    "row": (lambda x: x.view(-1, 2, 6, 5), maps(2), (60,), (2, 6, 5)),
    "channels last": (lambda x: x.permute(0, 3, 1, 2), maps(3), (6, 5, 3), (3, 6, 5)),
    "spectrogram": (lambda x: x.squeeze(1), sequences(6), (1, 6, 9), (6, 9, 1)),
    "time first": (lambda x: x.transpose(1, 2), sequences(5), (9, 5), (5, 9, 1)),
    "map as sequence": (lambda x: x.flatten(2), sequences(3), (3, 4, 5), (3, 20, 1)),
    "tokens": (lambda x: x, [Tokens(5)], (9, 5), (5, 9, 1)),
    "patches": (_patches, [Tokens(36)], (3, 8, 6), (36, 4, 1)),
}


def _same(lowered: Lowered, codes: Tensor, wanted: Tensor) -> None:
    """The Program gives what the quantized model does."""
    found = run_reference(lowered.program, {lowered.program.inputs[0].name: lowered.prepare(codes.numpy())})
    (name,) = lowered.outputs
    in_codes = wanted.double().numpy() / lowered.scales[name]
    np.testing.assert_array_equal(found[name].reshape(wanted.shape), np.rint(in_codes))
    np.testing.assert_allclose(in_codes, np.rint(in_codes), atol=2e-2)


@pytest.mark.parametrize("case", CASES)
def test_the_host_arranges_what_the_model_views(case: str) -> None:
    """The quantized model is the network but for rounding, and the Program is the quantized model."""
    torch.manual_seed(0)
    view, layers, shape, stored = CASES[case]
    model, codes = Viewed(view, *layers).eval(), torch.randint(-128, 128, (4, *shape))
    images = codes * 2.0**-6
    quantized = quantize(model, images, scheme="power_of_two", weight_bits=8, activation_bits=8, input_format=FORMAT,
                         input_exponent=-6)
    lowered = lower_with_report(quantized, images[:1])
    assert lowered.program.inputs[0].shape == stored
    with torch.no_grad():
        real, wanted = model(images), quantized(images)
    assert (real - wanted).norm() <= 0.02 * real.norm()
    _same(lowered, codes, wanted)


@pytest.mark.parametrize(("view", "layers", "shape", "means"), [
    (_patches, [Tokens(36)], (3, 8, 6), (0.2, 0.4, 0.7)), (lambda x: x.squeeze(1), sequences(6), (1, 6, 9), (0.3,))])
def test_pixels_keep_their_channel_where_they_are_arranged(
        view: Callable[[Tensor], Tensor], layers: list[nn.Module], shape: tuple[int, ...],
        means: tuple[float, ...]) -> None:
    """Each number is normalised as the channel of the image that it comes from."""
    torch.manual_seed(0)
    pixels = Pixels(means, (0.25,) * len(means))
    model, codes = Viewed(view, *layers).eval(), torch.randint(0, 256, (4, *shape), dtype=torch.uint8)
    quantized = quantize(model, codes, scheme="power_of_two", weight_bits=8, activation_bits=8, pixels=pixels)
    images = pixels.values(codes)
    with torch.no_grad():
        real, wanted = model(images), quantized(images)
    assert (real - wanted).norm() <= 0.02 * real.norm()
    _same(lower_with_report(quantized, images[:1]), codes, wanted)


def test_mixed_pixels_and_other_shapes_are_refused() -> None:
    """A map whose channels mix those of pixels has no mean of its own; images of another shape are no such input."""
    model = Viewed(lambda x: x.permute(0, 2, 1, 3), *maps(8)).eval()
    with pytest.raises(InputError, match=r"^channels of pixels whose means or deviations differ must not be mixed with "
                                         r"each other before the first layer$"):
        quantize(model, torch.zeros(1, 3, 8, 6, dtype=torch.uint8), scheme="uniform",
                 pixels=Pixels((0.1, 0.2, 0.3), (0.2, 0.2, 0.2)))
    arranged = Arranged((2, 3), np.array([[[0], [2], [4]], [[1], [3], [5]]]))
    assert arranged.codes(np.arange(6).reshape(1, 2, 3)).tolist() == [[[[0], [2], [4]], [[1], [3], [5]]]]
    with pytest.raises(InputError, match=r"^images must have shape \(N, 2, 3\), not \(1, 6\)$"):
        arranged.codes(np.zeros((1, 6), np.int32))
    with pytest.raises(InputError, match=r"^places must be a map of each place of an image of shape \(2, 3\) once$"):
        Arranged((2, 3), np.zeros((1, 1, 6), np.int64))
