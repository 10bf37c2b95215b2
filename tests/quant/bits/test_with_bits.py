"""A quantized model with chosen bits."""

import re

import pytest
import torch
from torch import Tensor, fx, nn

from quant.bits.with_bits import with_bits
from quant.convert import quantize
from quant.lowering.lower import lower
from quant.quantizers.strict import has_power_of_two_steps
from sim.errors import InputError
from sim.ir.formats import Format

BITS = {"0": (3, 4), "3": (2, 5), "5": (8, 6), "7": (4, 2)}


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randint(0, 16, (24, 2, 6, 6), generator=torch.Generator().manual_seed(0)) / 8


def quantized(images: Tensor, scheme: str) -> fx.GraphModule:
    torch.manual_seed(1)
    net = nn.Sequential(nn.Conv2d(2, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 6, 3), nn.ReLU(),
                        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4))
    return quantize(net, images, scheme=scheme, weight_bits=8, activation_bits=8, input_format=Format(4, "unsigned"),
                    input_exponent=-3)


@pytest.mark.parametrize("scheme", ["uniform", "power_of_two", "lsq", "qil"])
def test_the_program_has_the_bits_and_the_steps_fit_them(images: Tensor, scheme: str) -> None:
    """Every layer has its widths; each tensor's step is the one that a fit on what reaches it gives; nothing else."""
    wide = quantized(images, scheme)
    before = {name: value.clone() for name, value in wide.state_dict().items()}
    model = with_bits(wide, BITS, images)
    program = lower(model, images[:1])
    assert {conv.name: (conv.weight_format.bits, program.tensor(conv.input).format.bits) for conv in program.convs} == (
        BITS | {"5": (1, 6)})
    assert has_power_of_two_steps(model) == (scheme == "power_of_two")
    seen: list[Tensor] = []
    quantizer = model.get_submodule("3_quantizer")
    hook = quantizer.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    model(images)
    hook.remove()
    step = quantizer.scale.clone()
    if scheme != "power_of_two":  # there biases are rounded after the fit
        quantizer.initialise(seen[0])
        assert torch.equal(quantizer.scale, step)
    assert all(torch.equal(value, before[name]) for name, value in wide.state_dict().items())


@pytest.mark.parametrize(("bits", "text"), [
    ({**BITS, "nose": (2, 2)}, "bits of layer 'nose': the model has no such layer"),
    ({name: pair for name, pair in BITS.items() if name != "7"}, "bits of layer '7' are missing"),
    ({**BITS, "0": (9, 4)}, "bits must be in 1..8, not 9")])
def test_refuses_bits_of_another_model(images: Tensor, bits: dict[str, tuple[int, int]], text: str) -> None:
    """The message names the layer, or the range and what came."""
    with pytest.raises(InputError, match=f"^{re.escape(text)}$"):
        with_bits(quantized(images, "uniform"), bits, images)


def test_readers_of_one_tensor_have_the_same_bits_for_it(images: Tensor) -> None:
    """A shortcut of its own reads what the block reads."""
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = torch.relu(self.a(x))
            return torch.relu(self.b(x) + self.c(x))

    model = quantize(Block(), images, scheme="uniform", input_format=Format(4, "unsigned"), input_exponent=-3)
    with pytest.raises(InputError, match=r"^layers that read 'a' must have the same bits for it, not [24] and [24]$"):
        with_bits(model, {"a": (4, 4), "b": (4, 2), "c": (4, 4)}, images)
