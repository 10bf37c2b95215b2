"""Images as a quantized network's host gives them."""

import re
from collections.abc import Iterable

import pytest
import torch
from torch import Tensor, fx, nn

from quant.calibration.host_images import read_host_images
from quant.convert import quantize
from quant.data.pixels import Pixels
from sim.errors import InputError
from sim.ir.formats import Format

PIXELS = Pixels((0.4, 0.5), (0.2, 0.3))


def images() -> Tensor:
    return torch.randint(0, 256, (9, 2, 4, 4), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Conv2d(3, 2, 1)).eval()


def with_pixels() -> fx.GraphModule:
    return quantize(net(), images(), scheme="uniform", pixels=PIXELS)


@pytest.mark.parametrize("data", [
    images(), PIXELS.values(images()), images().split(2), [(PIXELS.values(part), 0) for part in images().split(4)]])
def test_pixels_come_back_as_normalised_values(data: Tensor | Iterable[object]) -> None:
    """Whatever form they are given in, a byte is kept for each."""
    found = read_host_images(with_pixels(), data)
    assert found.codes.kept.dtype is torch.uint8
    assert torch.equal(found.values(slice(None)), PIXELS.values(images()))
    assert torch.equal(found.values(torch.tensor([7, 2])), PIXELS.values(images()[[7, 2]]))


def test_values_are_those_that_the_input_has_codes_for() -> None:
    """Codes of 4 bits and the step 1/8: rounded and clamped, in the precision of the model."""
    x = torch.linspace(-0.3, 2.5, 2 * 16).view(1, 2, 4, 4)
    model = quantize(net().double(), x, scheme="uniform", input_format=Format(4, "unsigned"), input_exponent=-3)
    found = read_host_images(model, x).values(slice(None))
    assert torch.equal(found, (x.double() * 8 + 0.5).floor().clamp(0, 15) / 8)


@pytest.mark.parametrize(("model", "text"), [
    (net(), "quantized must be what quantize returns, not Sequential"),
    (fx.symbolic_trace(net()), "quantized must be what quantize returns, but nothing quantizes its input")])
def test_models_without_a_quantized_input_are_refused(model: fx.GraphModule, text: str) -> None:
    """The message says what came."""
    with pytest.raises(InputError, match=f"^{re.escape(text)}$"):
        read_host_images(model, images())
