"""Power-of-two steps."""

from fractions import Fraction
from itertools import product
from math import log2
from typing import get_args

import pytest
import torch

from quant.quantizers.power_of_two import Exponents, PowerOfTwoActivation, PowerOfTwoWeight


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_every_scale_is_exactly_a_power_of_two(bits: int) -> None:
    """log2 of each scale's magnitude is whole, over sixty octaves of data, and a channel has at most 2**bits codes."""
    octaves = torch.arange(-30, 30)
    x = torch.randn(60, 500, generator=torch.Generator().manual_seed(0)) * torch.ldexp(torch.ones(60), octaves)[:, None]
    for row in x:
        quantizer = PowerOfTwoWeight(bits, channels=1)
        quantizer.initialise(row[None])
        scale = Fraction(float(quantizer.scale))
        assert scale == (-1) ** int(quantizer.mirrored) * Fraction(2) ** int(quantizer.exponent)
        assert len(quantizer.codes(row[None]).unique()) <= 1 << bits


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("signed", [True, False])
def test_exponents_are_the_best_there_are(bits: int, signed: bool) -> None:
    """No integer exponent of a wide range has a smaller squared error, computed here in float64 by hand."""
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(300, generator=generator) * 10 ** float(torch.rand((), generator=generator) * 4 - 2)
        x = x if signed else x.clamp(min=0)
        quantizer = PowerOfTwoActivation(bits, signed=signed)
        quantizer.initialise(x)
        low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
        errors = {}
        for exponent in range(-20, 12):
            codes = torch.floor(x.double() / 2.0**exponent + 0.5).clamp(low, high)
            errors[exponent] = float((codes * 2.0**exponent - x.double()).square().mean())
        assert errors[int(quantizer.exponent)] <= (1 + 1e-5) * min(errors.values())  # of two that tie, either


def test_gradient_is_one_where_nothing_is_clipped() -> None:
    """Straight through: 1 for unclipped codes, 0 for clipped ones, whatever the step."""
    x = torch.tensor([-9.0, -1.01, -0.99, 0.1, 0.8, 0.9, 5.0], requires_grad=True)
    quantizer = PowerOfTwoActivation(4, signed=True, exponent=-3)
    quantizer(x).backward(torch.ones(7))
    assert x.grad is not None
    assert x.grad.tolist() == [0, 1, 1, 1, 1, 1, 0]


def test_the_nearest_exponent_is_that_of_the_best_real_step() -> None:
    """Its logarithm rounded; never with less error than the best exponent, which is at times another."""
    differ = 0
    for bits, seed in product((2, 3, 4), range(20)):
        x = torch.randn(1, 200, generator=torch.Generator().manual_seed(seed)) * 1.1**seed
        nearest = PowerOfTwoWeight(bits, channels=1, choice="nearest")
        best = PowerOfTwoWeight(bits, channels=1)
        for quantizer in (nearest, best):
            quantizer.initialise(x)
        assert abs(int(nearest.exponent) - log2(float(nearest.real_steps(x)))) <= 0.5
        assert float((nearest(x) - x).square().mean()) >= (1 - 1e-5) * float((best(x) - x).square().mean())
        differ += int(nearest.exponent != best.exponent)
    assert differ > 0


@pytest.mark.parametrize("choice", get_args(Exponents))
def test_a_channel_of_next_to_nothing_gets_a_scale_that_a_shift_reaches(choice: Exponents) -> None:
    """Training with weight decay leaves gains of 1e-20; such a channel's step is within 16 octaves of the largest."""
    quantizer = PowerOfTwoWeight(4, channels=2, choice=choice)
    quantizer.initialise(torch.tensor([[1.0, -0.5], [1e-20, 2e-20]]))
    assert int(quantizer.exponent[1]) in range(int(quantizer.exponent[0]) - 16, int(quantizer.exponent[0]))
