"""Learnt rounding."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, fx, nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from quant.convert import quantize
from quant.data.split import Split
from quant.layers import QuantConv2d, QuantLinear
from quant.ptq.reconstruct import reconstruct
from quant.training.evaluate import accuracy
from sim.formats import Format

Quantize = Callable[[nn.Module, Tensor, str, int], fx.GraphModule]


def layers(model: nn.Module) -> list[QuantConv2d | QuantLinear]:
    return [module for module in model.modules() if isinstance(module, QuantConv2d | QuantLinear)]


def test_a_relu6_belongs_to_the_output() -> None:
    """Weights of 1 on inputs of up to 8 are exact behind a ReLU6: there is no error, before or after."""
    network = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.ReLU6(), nn.Conv2d(2, 1, 1)).eval()
    nn.init.ones_(network[0].weight)
    images = torch.arange(64.0).reshape(1, 1, 8, 8) / 8
    model = quantize(network, images, scheme="power_of_two", weight_bits=8, activation_bits=8,
                     input_format=Format(8, "unsigned"), input_exponent=-5)
    errors: dict[str, tuple[float, float]] = {}
    reconstruct(model, network, images, iterations=1,
                progress=lambda name, before, after: errors.update({name: (before, after)}))
    assert errors["0"] == (0.0, 0.0)


@pytest.mark.parametrize(("bits", "points"), [(3, 0.2), (2, 0.3)])
def test_reconstruction_repairs_what_rounding_broke(
        float_net: nn.Module, splits: tuple[Split, Split], as_digits: Quantize, bits: int, points: float) -> None:
    """No layer's output gets further from float, most get much nearer, and accuracy gains tens of points."""
    model = as_digits(float_net, splits[0].images, "power_of_two", bits)
    nearest = accuracy(model, splits[1])
    errors: dict[str, tuple[float, float]] = {}
    reconstruct(model, float_net, splits[0].images, iterations=200,
                progress=lambda name, before, after: errors.update({name: (before, after)}))
    assert len(errors) == 7
    assert all(after <= before for before, after in errors.values())
    assert sum(after < 0.7 * before for before, after in errors.values()) >= 3
    assert accuracy(model, splits[1]) > nearest + points


def test_weights_end_on_their_grid_a_step_from_where_they_were(
        float_net: nn.Module, splits: tuple[Split, Split], as_digits: Quantize) -> None:
    """After reconstruction a weight is scale * code exactly, the scale as before, and up or down: never further."""
    model = as_digits(float_net, splits[0].images, "power_of_two", 4)
    before = [(layer.weight.detach().clone(), layer.weight_quantizer.scale.clone()) for layer in layers(model)]
    reconstruct(model, float_net, splits[0].images[:256], iterations=50)
    moved = 0
    for layer, (weight, scale) in zip(layers(model), before, strict=True):
        assert torch.equal(layer.weight_quantizer.scale, scale)
        assert torch.equal(layer.weight_quantizer(layer.weight), layer.weight)
        step = scale.reshape(-1, *[1] * (weight.ndim - 1))
        clipped = torch.minimum(torch.maximum(weight, -8 * step), 7 * step)
        assert bool(((layer.weight - clipped).detach().abs() <= step).all())
        moved += int((layer.weight != layer.weight_quantizer(weight)).sum())
    assert moved > 50


def test_reconstruction_repeats(float_net: nn.Module, splits: tuple[Split, Split], as_digits: Quantize) -> None:
    """The same seed chooses the same images and gives the same weights."""
    results = []
    for _ in range(2):
        model = as_digits(float_net, splits[0].images, "power_of_two", 3)
        reconstruct(model, float_net, splits[0].images[:256], iterations=20, seed=3)
        results.append(torch.cat([layer.weight.detach().flatten() for layer in layers(model)]))
    assert torch.equal(*results)


def test_every_rounding_gets_a_gradient(
        float_net: nn.Module, splits: tuple[Split, Split], as_digits: Quantize) -> None:
    """No layer's rounding variables are starved: the quantizers around it pass gradients."""
    shares: list[float] = []

    def see(optimizer: torch.optim.Optimizer, args: object, kwargs: object) -> None:
        (logit,) = optimizer.param_groups[0]["params"]
        shares.append(float((logit.grad != 0).double().mean()))

    hook = register_optimizer_step_pre_hook(see)
    reconstruct(as_digits(float_net, splits[0].images, "power_of_two", 4), float_net, splits[0].images, iterations=1)
    hook.remove()
    assert len(shares) == 7
    assert min(shares) > 0.8
