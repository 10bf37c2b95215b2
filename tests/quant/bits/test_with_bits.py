"""A quantized model with chosen bits."""

import re
from typing import Any, cast

import pytest
import torch
from torch import Tensor, fx, nn

from quant.bits.sites import sites
from quant.bits.with_bits import with_bits
from quant.convert import quantize
from quant.lowering.lower import lower
from quant.quantizers.strict import has_power_of_two_steps
from quant.schemes import Scheme, lsq, power_of_two, qil, uniform
from sim.errors import InputError
from sim.ir.formats import Format

BITS = {"0": (3, 4), "3": (2, 5), "5": (8, 6), "7": (4, 2)}


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randint(0, 16, (24, 2, 6, 6), generator=torch.Generator().manual_seed(0)) / 8


def quantized(images: Tensor, scheme: str | Scheme, weight_bits: int = 8, activation_bits: int = 8,
              seed: int = 1) -> fx.GraphModule:
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Conv2d(2, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.Conv2d(32, 32, 3), nn.ReLU(),
                        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 16))
    return quantize(net, images, scheme=scheme, weight_bits=weight_bits, activation_bits=activation_bits,
                    input_format=Format(4, "unsigned"), input_exponent=-3)


@pytest.mark.parametrize("scheme", ["uniform", "power_of_two", "lsq", "qil"])
def test_the_program_has_the_bits_and_the_model_stays(images: Tensor, scheme: str) -> None:
    """Every layer has its widths, strict steps stay strict; the model that is given does not change."""
    wide = quantized(images, scheme)
    before = {name: value.clone() for name, value in wide.state_dict().items()}
    model = with_bits(wide, BITS, images)
    program = lower(model, images[:1])
    assert {conv.name: (conv.weight_format.bits, program.tensor(conv.input).format.bits) for conv in program.convs} == (
        BITS | {"5": (1, 6)})
    assert has_power_of_two_steps(model) == (scheme == "power_of_two")
    assert all(torch.equal(value, before[name]) for name, value in wide.state_dict().items())


@pytest.mark.parametrize("scheme", [
    lsq(ranges="range"), qil(), uniform(bias_correction=False), uniform(weight_steps="weight", ranges="output",
                                                                        bias_correction=False)])
def test_the_result_is_that_of_quantize_at_these_bits(images: Tensor, scheme: Scheme) -> None:
    """Bit by bit: the same walk with the scheme's own options, also from batches, wherever biases are not corrected."""
    wanted = quantized(images, scheme, 3, 2)
    bits = {site.layer: (site.module.weight_quantizer.bits if site.module else 1, site.activation.bits)
            for site in sites(wanted, lower(wanted, images[:1]))}
    done: list[str] = []
    found = with_bits(quantized(images, scheme), bits, iter([(part, None) for part in images.split(10)]),
                      progress=lambda name, number, count: done.append(f"{name} {number}/{count}"))
    assert found.state_dict().keys() == wanted.state_dict().keys()
    assert all(torch.equal(value, found.state_dict()[name]) for name, value in wanted.state_dict().items())
    assert done == ["input_1 1/5", "0 2/5", "3 3/5", "5 4/5", "7 5/5"]


@pytest.mark.parametrize("scheme", ["uniform", "power_of_two"])
def test_outputs_are_as_near_as_those_of_quantize(images: Tensor, scheme: str) -> None:
    """Steps by output and corrected biases: the squared error of three networks is that of `quantize` at these bits, to
    a tenth; steps of least weight error alone have more."""
    plain = {"uniform": uniform, "power_of_two": power_of_two}[scheme](weight_steps="weight", bias_correction=False)
    found = at_once = without = 0.0
    for seed in range(3):
        wide, bits = quantized(images, scheme, seed=seed), {"0": (2, 8), "3": (2, 4), "5": (1, 4), "7": (2, 4)}
        models = (with_bits(wide, bits, images), *(quantized(images, kind, 2, 4, seed) for kind in (scheme, plain)))
        with torch.no_grad():
            errors = [float((model(images) - wide(images)).square().mean()) for model in models]
        found, at_once, without = found + errors[0], at_once + errors[1], without + errors[2]
    assert found < 1.1 * at_once < 1.1 * 0.8 * without


def test_a_tensor_has_the_unit_that_quantize_chooses_at_these_bits(images: Tensor) -> None:
    """To a hundredth, since biases were corrected at the widths before; at 8 bits it had none of its own."""
    wide, at_once = quantized(images, "power_of_two"), quantized(images, "power_of_two", 2, 4)
    found = with_bits(wide, {"0": (2, 8), "3": (2, 4), "5": (1, 4), "7": (2, 4)}, images)
    before, after, wanted = (model.get_submodule("0_quantizer").factor for model in (wide, found, at_once))
    assert before is None
    assert torch.allclose(cast(Tensor, after), cast(Tensor, wanted), rtol=0.01)
    assert not torch.allclose(cast(Tensor, after), torch.ones(32), rtol=0.01)


@pytest.mark.parametrize(("bits", "text"), [
    ({**BITS, "nose": (2, 2)}, "bits of layer 'nose': the model has no such layer"),
    ({name: pair for name, pair in BITS.items() if name != "7"}, "bits of layer '7' are missing"),
    ({**BITS, "0": 4}, "bits must be a mapping of layers to pairs, of weight and activation bits, not {...}"),
    (None, "bits must be a mapping of layers to pairs, of weight and activation bits, not None"),
    ({**BITS, "0": (9, 4)}, "bits must be in 1..8, not 9")])
def test_refuses_bits_of_another_model(images: Tensor, bits: Any, text: str) -> None:
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
