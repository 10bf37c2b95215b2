"""Random networks behave like trained ones where it matters."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from quant.data.image_format import IMAGE_EXPONENT, IMAGE_FORMAT, noise_codes
from quant.networks import AlexNet, MobileNetV2, make_realistic, resnet34


def test_noise_is_codes_of_normalised_images() -> None:
    """Codes of the format, reproducible, of mean 0 and deviation 1 as values, with neighbours that are related."""
    codes = noise_codes(4, 100, seed=3)
    assert codes.shape == (4, 3, 100, 100)
    assert IMAGE_FORMAT.low <= int(codes.min()) < int(codes.max()) <= IMAGE_FORMAT.high
    assert torch.equal(codes, noise_codes(4, 100, seed=3))
    assert not torch.equal(codes, noise_codes(4, 100, seed=4))
    values = codes * 2.0**IMAGE_EXPONENT
    assert abs(float(values.mean())) < 0.1
    assert 0.8 < float(values.std()) < 1.2
    assert float((values[..., 1:] * values[..., :-1]).mean()) > 0.5


@pytest.mark.parametrize(("make", "size"), [(resnet34, 64), (MobileNetV2, 64), (AlexNet, 223)])
def test_no_tensor_dies_or_explodes(make: Callable[[], nn.Module], size: int) -> None:
    """On images it has not seen, every layer puts out values of ordinary magnitude, however deep it lies."""
    model = make()
    make_realistic(model, noise_codes(4, size, seed=0) * 2.0**IMAGE_EXPONENT, seed=1)
    assert not model.training
    spreads: dict[str, float] = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear | nn.BatchNorm2d):
            def keep(_: nn.Module, args: tuple[Tensor, ...], output: Tensor, name: str = name) -> None:
                spreads[name] = float(output.std())
            module.register_forward_hook(keep)
    with torch.no_grad():
        model(noise_codes(2, size, seed=2) * 2.0**IMAGE_EXPONENT)
    assert min(spreads.values()) > 0.1
    assert max(spreads.values()) < 20.0


def test_the_seed_decides() -> None:
    """The same seed gives the same network, another one another."""
    images = noise_codes(2, 64, seed=0) * 2.0**IMAGE_EXPONENT
    states = []
    for seed in (0, 0, 1):
        model = MobileNetV2()
        make_realistic(model, images, seed)
        states.append(torch.cat([tensor.float().flatten() for tensor in model.state_dict().values()]))
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])
