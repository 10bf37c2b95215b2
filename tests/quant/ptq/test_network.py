"""The pass over the whole network."""

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from quant.convert import quantize
from quant.data.pixels import Pixels
from quant.data.split import Split
from quant.layers.quantized import QuantConv2d, QuantLinear
from quant.ptq.network import move_exponents
from quant.quantizers.power_of_two import PowerOfTwoActivation
from quant.quantizers.strict import check_steps
from sim.errors import EngineError, InputError
from sim.ir.formats import Format

Quantize = Callable[[nn.Module, Tensor, str, int], fx.GraphModule]


def divergence(model: nn.Module, net: nn.Module, images: Tensor) -> float:
    with torch.no_grad():
        found, wanted = model(images).log_softmax(1), net(images).log_softmax(1)
    return float(functional.kl_div(found, wanted, reduction="batchmean", log_target=True))


class Copies(nn.Module):
    """Puts out sixteen times its pixels: at four bits exact, and far from it where the step of `conv` is another."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.relu, self.flat = nn.Conv2d(1, 1, 1, bias=False), nn.ReLU(), nn.Flatten()
        self.last = nn.Linear(16, 16, bias=False)
        nn.init.ones_(self.conv.weight)
        with torch.no_grad():
            self.last.weight.copy_(16 * torch.eye(16))

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.flat(self.relu(self.conv(x))))


@pytest.mark.parametrize("by", [-1, 1, 2, 3])
def test_a_misplaced_exponent_is_put_right(by: int) -> None:
    """A tensor's step up to eight times too large comes back, step by step, to where nothing is lost: each of these
    steps divides the divergence by two at least, and from the right exponent no move is a gain."""
    net = Copies().eval()
    codes = torch.randint(0, 16, (64, 1, 4, 4), generator=torch.Generator().manual_seed(0))
    codes[:, 0, 0, 0] = 15
    images = codes / 16
    model = quantize(net, images, scheme="power_of_two", weight_bits=4, activation_bits=4,
                     input_format=Format(4, "unsigned"), input_exponent=-4)
    quantizer = model.get_submodule("conv_quantizer")
    assert isinstance(quantizer, PowerOfTwoActivation)
    assert (int(quantizer.exponent), divergence(model, net, images)) == (-4, 0.0)
    quantizer.exponent += by
    moves = [move for _ in range(3) for move in move_exponents(model, net, images)]
    assert [(move.quantizer, move.by) for move in moves] == [("conv_quantizer", -1 if by > 0 else 1)] * abs(by)
    assert all(move.after < move.before / 2 for move in moves)
    assert (int(quantizer.exponent), divergence(model, net, images)) == (-4, 0.0)
    check_steps(model)


def test_no_half_of_the_images_gets_worse(
        float_net: nn.Module, splits: tuple[Split, Split], as_digits: Quantize) -> None:
    """Wherever the exponents of a network stand, every move that stays is a gain on the images it was tried on, and
    the images that only check gain as well."""
    images = splits[0].first(256).images
    model = as_digits(float_net, images, "power_of_two", 6)
    model.get_submodule("block1.conv1_quantizer").exponent += 2
    model.get_submodule("block2.conv2_quantizer").exponent -= 1
    before = [divergence(model, float_net, half) for half in (images[::2], images[1::2])]
    moves = move_exponents(model, float_net, images, trials=30)
    after = [divergence(model, float_net, half) for half in (images[::2], images[1::2])]
    assert moves
    assert all(move.after < move.before for move in moves)
    assert all(later.before == earlier.after for earlier, later in pairwise(moves))
    assert after[0] < before[0]
    assert after[1] < before[1]


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


def test_batches_of_pixels_are_the_same_images() -> None:
    """A generator of pixels with labels leads to the moves and bits that their normalised values at once lead to."""
    pixels, codes = Pixels((0.4,), (0.2,)), torch.randint(0, 256, (40, 1, 4, 4), dtype=torch.uint8,
                                                          generator=torch.Generator().manual_seed(0))
    moves, models = [], []
    for data in (((part, 0) for part in codes.split(7)), pixels.values(codes)):
        models.append(quantize(Copies().eval(), codes, scheme="power_of_two", weight_bits=4, activation_bits=4,
                               pixels=pixels))
        models[-1].get_submodule("conv_quantizer").exponent += 1
        moves.append(move_exponents(models[-1], Copies().eval(), data))
    assert moves[0] == moves[1] != []
    assert all(torch.equal(value, models[1].state_dict()[name]) for name, value in models[0].state_dict().items())


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
