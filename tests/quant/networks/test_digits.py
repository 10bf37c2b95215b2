"""The network of the digits."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from quant.networks import DigitsNet


def test_size_is_what_the_documentation_says() -> None:
    """135 840 multiplications and 4 968 weights, counted by running it."""
    model, macs = DigitsNet(), 0

    def count(layer: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal macs
        assert isinstance(layer, nn.Conv2d | nn.Linear)
        macs += layer.weight.numel() * output[0, 0].numel()

    layers = [module for module in model.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    hooks: list[Callable[[], None]] = [layer.register_forward_hook(count).remove for layer in layers]
    assert model(torch.zeros(1, 1, 8, 8)).shape == (1, 10)
    for remove in hooks:
        remove()
    assert macs == 135_840
    assert sum(layer.weight.numel() for layer in layers) == 4_968
