"""One suite that every quantizer passes; what is special to a kind is tested beside it."""

import math
import re
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from quant.quantizers.base import Quantizer, round_half_up, sample_of
from quant.quantizers.lsq import LSQActivation, LSQWeight
from quant.quantizers.power_of_two import PowerOfTwoActivation, PowerOfTwoWeight
from quant.quantizers.qil import QILActivation, QILWeight
from quant.quantizers.uniform import UniformWeight
from sim.errors import InputError

ALL: dict[str, Callable[[int], Quantizer]] = {
    "qil_weight": QILWeight,
    "qil_activation": QILActivation,
    "lsq_weight": LSQWeight,
    "lsq_unsigned": lambda bits: LSQActivation(bits, signed=False),
    "lsq_signed": lambda bits: LSQActivation(bits, signed=True),
    "uniform_per_channel": lambda bits: UniformWeight(bits, channels=5),
    "uniform_per_tensor": lambda bits: UniformWeight(bits, channels=1),
    "power_of_two_weight": lambda bits: PowerOfTwoWeight(bits, channels=5),
    "power_of_two_unsigned": lambda bits: PowerOfTwoActivation(bits, signed=False),
    "power_of_two_signed": lambda bits: PowerOfTwoActivation(bits, signed=True),
}
quantizers = pytest.mark.parametrize("make", ALL.values(), ids=ALL.keys())
all_bits = pytest.mark.parametrize("bits", range(2, 9))


def normal(seed: int = 0) -> Tensor:
    """Data with 5 channels and channel scales that differ by 16."""
    x = torch.randn(5, 40, 3, generator=torch.Generator().manual_seed(seed))
    return x * torch.tensor([0.25, 0.5, 1.0, 2.0, 4.0])[:, None, None]


def fitted(make: Callable[[int], Quantizer], bits: int) -> Quantizer:
    quantizer = make(bits)
    quantizer.initialise(normal())
    return quantizer


@quantizers
@all_bits
def test_codes_are_those_of_the_format(make: Callable[[int], Quantizer], bits: int) -> None:
    """However large the input, a code lies in the format, and large inputs reach both ends (QIL: symmetric ones)."""
    quantizer = fitted(make, bits)
    fmt = quantizer.format
    x = torch.linspace(-1, 1, 1001).repeat(5, 1) * 1e4
    codes = quantizer.codes(x)
    assert (fmt.bits, fmt.zero_point, codes.dtype) == (bits, 0, torch.int64)
    lowest = -fmt.high if isinstance(quantizer, QILWeight) else fmt.low
    assert (int(codes.min()), int(codes.max())) == (lowest, fmt.high)


@quantizers
@all_bits
def test_values_are_scaled_codes(make: Callable[[int], Quantizer], bits: int) -> None:
    """What training sees is exactly scale * code."""
    quantizer, x = fitted(make, bits), normal(1)
    scale = quantizer.scale.reshape(-1, 1, 1)
    assert torch.equal(quantizer(x), quantizer.codes(x) * scale)


@quantizers
@all_bits
def test_quantizing_twice_changes_nothing(make: Callable[[int], Quantizer], bits: int) -> None:
    """A value that is on the grid keeps its code."""
    quantizer, x = fitted(make, bits), normal(1)
    assert torch.equal(quantizer.codes(quantizer(x)), quantizer.codes(x))


@quantizers
@all_bits
def test_codes_never_fall_when_inputs_rise(make: Callable[[int], Quantizer], bits: int) -> None:
    """The map is monotone, in every channel."""
    codes = fitted(make, bits).codes(torch.linspace(-9, 9, 2001).repeat(5, 1))
    assert bool((codes.diff(dim=1) >= 0).all())


@quantizers
def test_more_bits_err_less(make: Callable[[int], Quantizer]) -> None:
    """The fitted error falls with each bit, and is what the quantizer then makes on that data."""
    quantizer, x = fitted(make, 4), normal()
    target = x if quantizer.signed else x.clamp(min=0)
    errors = [quantizer.error(target, bits) for bits in range(2, 9)]
    assert errors == sorted(errors, reverse=True)
    for bits, error in zip(range(2, 9), errors, strict=True):
        quantizer.set_bits(bits, target)
        assert quantizer.bits == bits
        assert float((quantizer(target) - target).detach().square().mean()) == pytest.approx(error, rel=1e-5)


@quantizers
@pytest.mark.parametrize("bits", [1, 9, 0])
def test_refuses_other_widths(make: Callable[[int], Quantizer], bits: int) -> None:
    """One bit has no positive signed code and nothing reads nine: both are refused, when made and when changed."""
    text = re.escape(f"bits must be in 2..8, not {bits}")
    with pytest.raises(InputError, match=f"^{text}$"):
        make(bits)
    with pytest.raises(InputError, match=f"^{text}$"):
        fitted(make, 4).set_bits(bits, normal())


@quantizers
def test_frozen_quantizers_pass_gradients(make: Callable[[int], Quantizer]) -> None:
    """With no parameter to be learnt, gradients still reach the layers before: straight through the rounding."""
    quantizer, x = fitted(make, 3), normal(1).requires_grad_()
    quantizer.requires_grad_(False)
    quantizer(x).sum().backward()
    assert x.grad is not None
    inside = (quantizer.codes(x).abs() < quantizer.format.high) & (x.detach().abs() > 0.01)
    passed = x.grad[inside & (x.detach() > 0)]
    assert len(passed) > 100
    assert float(passed.min()) > 0.5


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


def test_rounds_half_up_exactly() -> None:
    """Ties go up on both sides of 0; the result is a whole number, not one off by a float's last bit."""
    x = torch.arange(-1000, 1001) / 2
    expected = [math.floor(value + 0.5) for value in x.tolist()]
    assert round_half_up(x).tolist() == expected


def test_samples_are_spread_and_bounded() -> None:
    """A sample has at most 2**14 elements, from the first to nearly the last."""
    sample = sample_of(torch.arange(100_000.0))
    assert len(sample) <= 1 << 14
    assert sample[0] == 0
    assert sample[-1] > 99_990
    assert len(sample_of(torch.arange(10.0))) == 10
    assert len(sample_of(torch.ones(1))) == 1
    assert len(sample_of(torch.zeros(0))) == 0


@pytest.mark.parametrize("shape", [(1024, 64, 4, 4), (512, 16, 16, 16), (64, 3, 224, 224), (1297, 8, 8, 8)])
def test_samples_fall_on_all_channels_and_pixels(shape: tuple[int, ...]) -> None:
    """Powers of two in the shape do not make a sample of one pixel or of one channel."""
    _, channels, height, width = shape
    for place in (torch.arange(channels)[:, None, None], torch.arange(height * width).reshape(1, height, width)):
        sample = sample_of(place.expand(shape)).long()
        counts = torch.bincount(sample, minlength=int(place.max()) + 1)
        even = len(sample) / len(counts)
        assert int(counts.max()) <= 1.5 * even + 2
        assert int(counts.min()) >= 0.5 * even - 2
