"""Images to reconstruct with, in every form that quantize takes."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn

from quant.convert import quantize
from quant.data.pixels import Pixels
from quant.ptq.reconstruct import Reconstruction, reconstruct
from sim.errors import InputError

PIXELS = Pixels((0.4, 0.5), (0.2, 0.3))


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Conv2d(4, 3, 1)).eval()


def images() -> Tensor:
    return torch.randint(0, 256, (32, 2, 6, 6), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def reconstructed(data: Any, downscale: int) -> fx.GraphModule:
    model = network()
    quantized = quantize(model, images(), scheme="power_of_two", pixels=PIXELS)
    reconstruct(quantized, model, data, Reconstruction(iterations=3, downscale=downscale))
    return quantized


@pytest.mark.trains
@pytest.mark.parametrize("downscale", [1, 2])
def test_batches_of_pixels_are_the_same_images(downscale: int) -> None:
    """A generator of pixels with labels leads to the bits that their normalised values at once lead to."""
    batches = ((batch, torch.zeros(len(batch))) for batch in images().split(5))
    found, wanted = (reconstructed(data, downscale).state_dict() for data in (batches, PIXELS.values(images())))
    assert all(torch.equal(found[name], value) for name, value in wanted.items())


def endless() -> Iterator[Tensor]:
    while True:
        yield images()


@pytest.mark.parametrize(("data", "text"), [
    (lambda: images()[:31], r"reconstruction takes 32\.\.1024 images, not 31"),
    (lambda: images()[:31].split(4), r"reconstruction takes 32\.\.1024 images, not 31"),
    (endless, r"reconstruction takes 32\.\.1024 images, not 1056 or more"),
    (lambda: iter(()), "data must have at least one batch of images, but has none"),
    (lambda: [images(), images().int()],
     r"batch 1 of data must be a tensor of floats or of pixels, which are uint8, not torch\.int32"),
])
def test_wrong_images_are_refused(data: Callable[[], Any], text: str) -> None:
    """Too few, too many without reading them all, none, and numbers that are no pixels."""
    with pytest.raises(InputError, match=f"^{text}$"):
        reconstructed(data(), 1)


def test_another_model_is_refused() -> None:
    """The units of the quantized model are looked up in the float one."""
    model = network()
    quantized = quantize(model, images(), scheme="power_of_two", pixels=PIXELS)
    other = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Sequential(nn.ReLU(), nn.Conv2d(4, 3, 1))).eval()
    with pytest.raises(InputError, match=r"^the model is not the one that was quantized: it has no '2'$"):
        reconstruct(quantized, other, images())
    with pytest.raises(InputError, match=r"^quantized must be what quantize returns, not Sequential$"):
        reconstruct(model, model, images())  # type: ignore[arg-type]
