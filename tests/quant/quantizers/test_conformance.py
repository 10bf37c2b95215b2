"""One suite that every quantizer passes; what is special to a kind is tested beside it."""

import math
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from quant.quantizers.base import ActivationQuantizer, Quantizer
from quant.quantizers.lsq import LSQActivation, LSQWeight
from quant.quantizers.power_of_two import PowerOfTwoActivation, PowerOfTwoWeight
from quant.quantizers.qil import QILActivation, QILWeight
from quant.quantizers.stepped import SteppedWeight
from quant.quantizers.uniform import UniformWeight
from sim.errors import InputError
from sim.ir.formats import Format

ALL: dict[str, Callable[[int], Quantizer]] = {
    "qil_weight": QILWeight,
    "qil_activation": QILActivation,
    "qil_grouped": lambda bits: QILWeight(bits, channels=5, bipolar=False),
    "lsq_weight": LSQWeight,
    "lsq_per_channel": lambda bits: LSQWeight(bits, channels=5),
    "lsq_grouped": lambda bits: LSQWeight(bits, channels=5, bipolar=False),
    "lsq_unsigned": lambda bits: LSQActivation(bits, signed=False),
    "lsq_signed": lambda bits: LSQActivation(bits, signed=True),
    "uniform_per_channel": lambda bits: UniformWeight(bits, channels=5),
    "uniform_per_tensor": lambda bits: UniformWeight(bits, channels=1),
    "uniform_unmirrored": lambda bits: UniformWeight(bits, channels=5, mirror=False),
    "uniform_grouped": lambda bits: UniformWeight(bits, channels=5, bipolar=False),
    "power_of_two_weight": lambda bits: PowerOfTwoWeight(bits, channels=5),
    "power_of_two_unmirrored": lambda bits: PowerOfTwoWeight(bits, channels=5, mirror=False),
    "power_of_two_grouped": lambda bits: PowerOfTwoWeight(bits, channels=5, bipolar=False),
    "power_of_two_unsigned": lambda bits: PowerOfTwoActivation(bits, signed=False),
    "power_of_two_signed": lambda bits: PowerOfTwoActivation(bits, signed=True),
    "lsq_asymmetric": lambda bits: LSQActivation(bits, signed=True, asymmetric=True),
    "power_of_two_asymmetric": lambda bits: PowerOfTwoActivation(bits, signed=True, asymmetric=True),
}


def outermost(quantizer: Quantizer) -> tuple[int, int]:
    """The smallest and the largest code that come out: QIL's weights of 2 bits and more leave out the smallest."""
    levels = quantizer.levels
    symmetric = isinstance(quantizer, QILWeight) and quantizer.bits > 1
    return -levels[-1] if symmetric else levels[0], levels[-1]


ACTIVATIONS = {name: make for name, make in ALL.items() if isinstance(make(2), ActivationQuantizer)}
quantizers = pytest.mark.parametrize("make", ALL.values(), ids=ALL.keys())
all_bits = pytest.mark.parametrize("bits", range(1, 9))


def normal(seed: int = 0) -> Tensor:
    """Data with 5 channels and channel scales that differ by 16."""
    x = torch.randn(5, 40, 3, generator=torch.Generator().manual_seed(seed))
    return x * torch.tensor([0.25, 0.5, 1.0, 2.0, 4.0])[:, None, None]


def fitted(make: Callable[[int], Quantizer], bits: int) -> Quantizer:
    quantizer = make(bits)
    quantizer.initialise(normal())
    return quantizer


def zero_of(quantizer: Quantizer) -> float:
    """Where 0 lies among the codes."""
    return quantizer.zero if isinstance(quantizer, ActivationQuantizer) else 0.0


def signs(quantizer: Quantizer) -> Tensor:
    """The signs of the scales, shaped to multiply (channels, n); only weights that may be mirrored have negative ones.
    """
    found = quantizer.scale.detach().sign().reshape(-1, 1)
    assert bool((found != 0).all())
    assert bool((found > 0).all()) or (isinstance(quantizer, SteppedWeight) and quantizer.mirror) or (
        isinstance(quantizer, QILWeight) and quantizer.format == Format(1, "signed"))
    return found


@quantizers
@all_bits
def test_codes_are_those_of_the_format(make: Callable[[int], Quantizer], bits: int) -> None:
    """However large the input, a code lies in the format, and large inputs reach both ends (QIL: symmetric ones)."""
    quantizer = fitted(make, bits)
    fmt = quantizer.format
    x = torch.linspace(-1, 1, 1001).repeat(5, 1) * 1e4
    codes = quantizer.codes(x)
    assert (fmt.bits, codes.dtype) == (bits, torch.int64)
    assert fmt.zero_point == 0 or (isinstance(quantizer, ActivationQuantizer) and quantizer.asymmetric)
    assert (int(codes.min()), int(codes.max())) == outermost(quantizer)
    assert set(codes.unique().tolist()) <= set(quantizer.levels)


@quantizers
@all_bits
def test_values_are_scaled_codes(make: Callable[[int], Quantizer], bits: int) -> None:
    """What training sees is exactly scale * code, counted from where 0 lies among the codes; both ways are exact."""
    quantizer, x = fitted(make, bits), normal(1)
    scale = quantizer.scale.reshape(-1, 1, 1)
    assert torch.equal(quantizer(x), (quantizer.codes(x) - zero_of(quantizer)) * scale)
    if isinstance(quantizer, ActivationQuantizer):
        assert torch.equal(quantizer.values(quantizer.codes(x)), quantizer(x))
        assert torch.equal(quantizer.codes_of(quantizer(x)).long(), quantizer.codes(x))


@quantizers
@all_bits
def test_quantizing_twice_changes_nothing(make: Callable[[int], Quantizer], bits: int) -> None:
    """A value that is on the grid keeps its code."""
    quantizer, x = fitted(make, bits), normal(1)
    assert torch.equal(quantizer.codes(quantizer(x)), quantizer.codes(x))


@quantizers
@all_bits
def test_codes_never_fall_when_inputs_rise(make: Callable[[int], Quantizer], bits: int) -> None:
    """The map is monotone, in every channel; codes of mirrored channels never rise."""
    quantizer = fitted(make, bits)
    codes = signs(quantizer) * quantizer.codes(torch.linspace(-9, 9, 2001).repeat(5, 1))
    assert bool((codes.diff(dim=1) >= 0).all())


@quantizers
def test_more_bits_err_less(make: Callable[[int], Quantizer]) -> None:
    """The fitted error falls with each bit, and is what the quantizer then makes on that data."""
    quantizer, x = fitted(make, 4), normal()
    target = x if quantizer.signed else x.clamp(min=0)
    errors = [quantizer.error(target, bits) for bits in range(1, 9)]
    assert errors == sorted(errors, reverse=True)
    for bits, error in zip(range(1, 9), errors, strict=True):
        quantizer.set_bits(bits, target)
        assert quantizer.bits == bits
        assert float((quantizer(target) - target).detach().square().mean()) == pytest.approx(error, rel=1e-5)


@quantizers
@pytest.mark.parametrize("bits", [9, 0, True, 4.0, "4"])
def test_refuses_other_widths(make: Callable[[Any], Quantizer], bits: object) -> None:
    """Nothing reads nine bits: they are refused, when a quantizer is made and when it is changed; so is no integer."""
    text = re.escape(f"bits must be in 1..8, not {bits!r}")
    with pytest.raises(InputError, match=f"^{text}$"):
        make(bits)
    with pytest.raises(InputError, match=f"^{text}$"):
        fitted(make, 4).set_bits(bits, normal())


@quantizers
@pytest.mark.parametrize("bits", [1, 2, 3, 8])
def test_gradients_pass_straight_through(make: Callable[[int], Quantizer], bits: int) -> None:
    """In float64, the gradient of x is 1 to 1e-10 between the outermost codes, 0 from half a code beyond them, and one
    of both in between; where codes are the signs of x it is 1 everywhere. So it is with no parameter learnt."""
    quantizer = fitted(lambda width: make(width).double(), bits)
    quantizer.requires_grad_(False)
    x = (4 * normal(1).double()).requires_grad_()
    quantizer(x).sum().backward()
    codes = x.detach() / quantizer.scale.reshape(-1, 1, 1) + zero_of(quantizer)
    assert x.grad is not None
    if quantizer.levels.step == 2:
        assert float((x.grad - 1).abs().max()) < 1e-10
        return
    low, high = outermost(quantizer)
    inside, outside = (codes > low) & (codes < high), (codes < low - 0.5) | (codes > high + 0.5)
    assert min(int(inside.sum()), int(outside.sum())) > 10
    assert float((x.grad[inside] - 1).abs().max()) < 1e-10
    assert float(x.grad[outside].abs().max()) == 0
    assert bool((((x.grad - 1).abs() < 1e-10) | (x.grad == 0)).all())


@quantizers
def test_every_learnt_parameter_gets_a_gradient(make: Callable[[int], Quantizer]) -> None:
    """Finite and not 0 on ordinary data, at a width where all that can be learnt is."""
    quantizer = fitted(make, 3)
    generator = torch.Generator().manual_seed(2)
    x = normal(1)
    quantizer(x.requires_grad_()).backward(torch.randn(x.shape, generator=generator))
    for name, parameter in quantizer.named_parameters():
        assert parameter.grad is not None, name
        assert bool(((parameter.grad != 0) & parameter.grad.isfinite()).all()), name


@quantizers
@pytest.mark.parametrize("value", [-1e4, -1.0, 0.0, 1e-12, 1e4])
def test_project_repairs_what_an_optimizer_did(make: Callable[[int], Quantizer], value: float) -> None:
    """All parameters thrown to one value: afterwards the scale is finite and the values still rise within the format;
    and what already keeps the constraints is not moved."""
    quantizer = fitted(make, 3)
    before = {name: tensor.clone() for name, tensor in quantizer.state_dict().items()}
    quantizer.project()
    assert all(torch.equal(tensor, before[name]) for name, tensor in quantizer.state_dict().items())
    with torch.no_grad():
        for parameter in quantizer.parameters():
            parameter.fill_(value)
    quantizer.project()
    fmt, codes = quantizer.format, quantizer.codes(torch.linspace(-9, 9, 501).repeat(5, 1))
    assert bool(quantizer.scale.isfinite().all())
    assert fmt.low <= int(codes.min()) <= int(codes.max()) <= fmt.high
    assert bool(((signs(quantizer) * codes).diff(dim=1) >= 0).all())


@quantizers
@all_bits
def test_units_do_not_matter(make: Callable[[int], Quantizer], bits: int) -> None:
    """Data a power of two larger get steps that much larger, exactly, and the same codes."""
    quantizer, other = fitted(make, bits), make(bits)
    for factor in (2.0**-5, 2.0**7):
        other.initialise(factor * normal())
        assert torch.equal(other.scale, factor * quantizer.scale)
        assert torch.equal(other.codes(factor * normal(1)), quantizer.codes(normal(1)))


@quantizers
def test_single_and_double_precision_agree(make: Callable[[int], Quantizer]) -> None:
    """Codes away from ties are the same; values keep the precision they come in, halves become single."""
    quantizer, double = fitted(make, 6), fitted(make, 6).double()
    x = (quantizer(normal(1)) + 0.25 * quantizer.scale.reshape(-1, 1, 1)).detach()
    assert torch.equal(quantizer.codes(x), double.codes(x.double()))
    assert (quantizer(x).dtype, double(x.double()).dtype) == (torch.float32, torch.float64)
    assert quantizer(x.bfloat16()).dtype == torch.float32
    assert torch.equal(quantizer(x.bfloat16()), quantizer(x.bfloat16().float()))


@quantizers
def test_empty_tensors_pass_and_start_nothing(make: Callable[[int], Quantizer]) -> None:
    """No elements have no codes; as data to start from they are refused, and the step stays."""
    quantizer, x = fitted(make, 4), torch.zeros(5, 0)
    scale = quantizer.scale.detach().clone()
    assert quantizer(x).shape == quantizer.codes(x).shape == (5, 0)
    with pytest.raises(InputError, match=r"^a step cannot be fitted to an empty tensor$"):
        quantizer.initialise(x)
    assert torch.equal(quantizer.scale, scale)


@quantizers
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_values_that_are_not_finite(make: Callable[[int], Quantizer], value: float) -> None:
    """They start nothing; infinity is clamped to an end, NaN is passed on by values and refused by codes."""
    quantizer, x = fitted(make, 4), normal(1)
    x[2, 0, 1] = value
    with pytest.raises(InputError, match=r"^a step cannot be fitted to values that are not finite$"):
        quantizer.initialise(x)
    if math.isnan(value):
        assert int(quantizer(x).isnan().sum()) == 1
        with pytest.raises(InputError, match=r"^NaN has no code$"):
            quantizer.codes(x)
    else:
        ends = quantizer.codes(torch.tensor([-1e6, 1e6]).repeat(5, 1))[2]
        assert int(quantizer.codes(x)[2, 0, 1]) == int(ends[int(value > 0)])


@pytest.mark.parametrize("make", ACTIVATIONS.values(), ids=ACTIVATIONS.keys())
@all_bits
def test_gain_and_bias_are_the_map(make: Callable[[int], Quantizer], bits: int) -> None:
    """floor(gain * x + bias + 1/2), clamped, is the code of an activation."""
    quantizer = fitted(make, bits)
    assert isinstance(quantizer, ActivationQuantizer)
    fmt = quantizer.format
    x = (torch.arange(-300, 301) + 0.25) * quantizer.scale.detach()
    codes = torch.floor(quantizer.gain.double() * x + quantizer.bias.double() + 0.5).clamp(fmt.low, fmt.high)
    assert torch.equal(codes.long(), quantizer.codes(x))


@quantizers
def test_state_survives_a_round_trip(make: Callable[[int], Quantizer]) -> None:
    """Width and steps are state: a fresh quantizer that loads them gives the same values."""
    quantizer, fresh, x = fitted(make, 6), make(2), normal(1)
    fresh.load_state_dict(quantizer.state_dict())
    assert fresh.bits == 6
    assert torch.equal(fresh(x), quantizer(x))


@quantizers
def test_channels_of_zeros_are_no_trouble(make: Callable[[int], Quantizer]) -> None:
    """A tensor that is 0 throughout gets code 0 and a finite, positive step."""
    quantizer, x = make(4), torch.zeros(5, 4, 2)
    quantizer.initialise(x)
    assert int(quantizer.codes(x).abs().max()) == 0
    assert bool((quantizer.scale > 0).all() & quantizer.scale.isfinite().all())
