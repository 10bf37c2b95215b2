"""The pass over the whole network."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from quant.data.split import Split
from quant.layers import QuantConv2d, QuantLinear
from quant.ptq.network import move_exponents
from quant.quantizers.power_of_two import PowerOfTwoActivation
from quant.quantizers.strict import check_powers_of_two
from sim.errors import EngineError, InputError

Quantize = Callable[[nn.Module, Tensor, str, int], fx.GraphModule]


def divergence(model: nn.Module, net: nn.Module, images: Tensor) -> float:
    with torch.no_grad():
        found, wanted = model(images).log_softmax(1), net(images).log_softmax(1)
    return float(functional.kl_div(found, wanted, reduction="batchmean", log_target=True))


def test_a_misplaced_exponent_is_put_right(
        float_net: nn.Module, splits: tuple[Split, Split], as_digits: Quantize) -> None:
    """A tensor's step that is four times too large comes back, step by step; no half of the images gets worse."""
    images = splits[0].first(256).images
    model = as_digits(float_net, images, "power_of_two", 6)
    quantizer = model.get_submodule("block1.conv1_quantizer")
    assert isinstance(quantizer, PowerOfTwoActivation)
    right = int(quantizer.exponent)
    quantizer.exponent += 2
    before = [divergence(model, float_net, half) for half in (images[::2], images[1::2])]
    moves = [*move_exponents(model, float_net, images, trials=30), *move_exponents(model, float_net, images, trials=30)]
    assert int(quantizer.exponent) == right
    assert [move.by for move in moves if move.quantizer == "block1.conv1_quantizer"] == [-1, -1]
    assert all(move.after < move.before for move in moves)
    after = [divergence(model, float_net, half) for half in (images[::2], images[1::2])]
    assert after[0] < before[0]
    assert after[1] < before[1]
    check_powers_of_two(model)


def test_weights_move_with_their_channel(
        float_net: nn.Module, splits: tuple[Split, Split], as_digits: Quantize) -> None:
    """Where exponents of weights move, the weights are on their grid afterwards."""
    images = splits[0].first(256).images
    model = as_digits(float_net, images, "power_of_two", 5)
    for layer in model.modules():
        if isinstance(layer, QuantConv2d | QuantLinear):
            with torch.no_grad():
                layer.weight.copy_(layer.weight_quantizer(layer.weight))
    moves = move_exponents(model, float_net, images, trials=80)
    for layer in model.modules():
        if isinstance(layer, QuantConv2d | QuantLinear):
            assert torch.equal(layer.weight_quantizer(layer.weight), layer.weight)
    assert all(move.after < move.before for move in moves)


def test_no_trials_change_nothing(float_net: nn.Module, splits: tuple[Split, Split], as_digits: Quantize) -> None:
    """With 0 trials every parameter and exponent stays."""
    images = splits[0].first(64).images
    model = as_digits(float_net, images, "power_of_two", 3)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert move_exponents(model, float_net, images, trials=0) == []
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_bad_arguments_are_named(float_net: nn.Module, splits: tuple[Split, Split], as_digits: Quantize) -> None:
    """Too few images, negative trials, and steps that are no powers of two."""
    images = splits[0].first(64).images
    model = as_digits(float_net, images, "power_of_two", 3)
    with pytest.raises(InputError, match=r"^moving exponents takes at least 32 images, not 31$"):
        move_exponents(model, float_net, images[:31])
    with pytest.raises(InputError, match=r"^trials must be at least 0, not -1$"):
        move_exponents(model, float_net, images, trials=-1)
    with pytest.raises(EngineError, match=r"^'.*' has steps that are no powers of two: "):
        move_exponents(as_digits(float_net, images, "uniform", 3), float_net, images)
