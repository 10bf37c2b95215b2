"""Weights whose scales are chosen, of either sign."""

import re
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from quant.ptq.rounding import SoftRounding
from quant.quantizers.power_of_two import PowerOfTwoWeight
from quant.quantizers.stepped import SteppedWeight
from quant.quantizers.uniform import UniformWeight
from sim.errors import InputError

Make = Callable[..., SteppedWeight]
kinds = pytest.mark.parametrize("make", [PowerOfTwoWeight, UniformWeight])


def errors(quantizer: SteppedWeight, x: Tensor) -> Tensor:
    return (quantizer(x) - x).square().mean(1)


@kinds
@pytest.mark.parametrize("bits", [2, 3])
def test_each_channel_takes_the_sign_of_less_error(make: Make, bits: int) -> None:
    """A channel errs as the better of it and its negative do without mirrored codes; both signs occur."""
    x = torch.randn(60, 9, generator=torch.Generator().manual_seed(bits))
    mirrored, plain, negative = make(bits, channels=60), *(make(bits, channels=60, mirror=False) for _ in range(2))
    for quantizer, data in ((mirrored, x), (plain, x), (negative, -x)):
        quantizer.initialise(data)
    assert torch.equal(errors(mirrored, x), torch.minimum(errors(plain, x), errors(negative, -x)))
    assert 10 < int((mirrored.scale < 0).sum()) < 50
    assert bool((plain.scale > 0).all())


@kinds
def test_two_bits_of_nine_weights_err_much_less_mirrored(make: Make) -> None:
    """Of 3 x 3 kernels of noise the error falls by a fifth at least (seen: 0.66 and 0.72)."""
    x = torch.randn(2000, 9, generator=torch.Generator().manual_seed(0))
    mirrored, plain = (make(2, channels=2000, mirror=mirror) for mirror in (True, False))
    assert mirrored.error(x, 2) < 0.8 * plain.error(x, 2)


@kinds
def test_all_codes_of_a_mirrored_channel_are_used(make: Make) -> None:
    """At 2 bits -1, 0, 1 and 2 steps are the codes 1, 0, -1 and -2 at a scale of minus one step."""
    x = torch.tensor([[-0.5, 0.0, 0.5, 1.0], [0.5, 0.0, -0.5, -1.0]])
    quantizer = make(2, channels=2)
    quantizer.initialise(x)
    assert quantizer.scale.tolist() == [-0.5, 0.5]
    assert quantizer.codes(x).tolist() == [[1, 0, -1, -2]] * 2
    assert torch.equal(quantizer(x), x)


@kinds
def test_scales_chosen_by_others_are_taken(make: Make) -> None:
    """Signs and steps, also through a state that is saved and loaded."""
    scale = torch.tensor([0.25, -4.0, -(2.0**-30)])
    quantizer, fresh = make(4, channels=3), make(4, channels=3)
    quantizer.set_scale(scale)
    fresh.load_state_dict(quantizer.state_dict())
    assert torch.equal(quantizer.scale, scale)
    assert torch.equal(fresh.scale, scale)


@pytest.mark.parametrize("scale", [[0.5, 0.75], [0.0, 0.5], [torch.inf, 0.5], [torch.nan, 0.5], [2.0**-127, 0.5]])
def test_powers_of_two_alone_are_taken_as_such(scale: list[float]) -> None:
    """Neither other numbers nor 0, nor what float32 cannot divide by."""
    text = f"scales must be 2**k or -(2**k) with k in -126..127, not {scale}"
    with pytest.raises(InputError, match=f"^{re.escape(text)}$"):
        PowerOfTwoWeight(4, channels=2).set_scale(torch.tensor(scale))


@pytest.mark.parametrize("scale", [[0.0, 0.5], [torch.inf, 0.5], [torch.nan, 0.5]])
def test_no_scale_is_zero_or_infinite(scale: list[float]) -> None:
    """Real ones neither."""
    text = f"scales must be finite and not 0, not {scale}"
    with pytest.raises(InputError, match=f"^{re.escape(text)}$"):
        UniformWeight(4, channels=2).set_scale(torch.tensor(scale))


def test_the_real_steps_of_mirrored_channels_are_those_of_their_negatives() -> None:
    """What exponents are learnt from is the best step of the codes that the channel has."""
    x = torch.randn(40, 9, generator=torch.Generator().manual_seed(0))
    powers, real = PowerOfTwoWeight(2, channels=40), UniformWeight(2, channels=40, mirror=False)
    powers.initialise(x)
    real.initialise(x * powers.scale.sign()[:, None])
    assert bool(powers.mirrored.any())
    assert torch.equal(powers.real_steps(x), real.step)


def test_roundings_of_mirrored_channels_start_at_the_weights() -> None:
    """It starts within a hundredth of a step of each weight that is not clipped, on the grid of its channel's sign."""
    x = torch.randn(40, 9, generator=torch.Generator().manual_seed(0))
    quantizer = PowerOfTwoWeight(2, channels=40)
    quantizer.initialise(x)
    soft = SoftRounding(quantizer, x)
    codes = x / soft.scale.detach()
    inside = (codes > -2) & (codes < 1)
    assert torch.equal(soft.scale.detach().sign(), quantizer.scale.sign()[:, None])
    assert int(inside.sum()) > 200
    assert ((soft(x) - x).abs() <= 0.0101 * soft.scale.abs())[inside].all()
