"""The search for the steps of weights that do least harm to what a layer puts out."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from quant.calibration.weight_steps import choose_scale
from quant.quantizers.power_of_two import PowerOfTwoWeight
from quant.quantizers.stepped import SteppedWeight
from quant.quantizers.uniform import UniformWeight

STARTS = torch.tensor([0.5, -0.25, 2.0, -1.0])
"""Scales of least weight error, two of them of mirrored channels."""


def fitted(kind: type[SteppedWeight], start: Tensor, *, mirror: bool = True) -> SteppedWeight:
    given = {} if kind is PowerOfTwoWeight else {"fit": "error"}
    quantizer = kind(4, channels=max(start.numel(), 1), mirror=mirror, bipolar=False, **given)
    quantizer.set_scale(start)
    return quantizer


def distance_to(quantizer: SteppedWeight, goal: Tensor) -> Callable[[], Tensor]:
    """Return errors that grow with the distance from a goal, in octaves; a scale of the wrong sign is far away."""
    def errors() -> Tensor:
        ratio = (quantizer.scale / goal).double()
        return torch.where(ratio > 0, ratio.abs().log2().abs(), 100.0 + ratio.abs().log2().abs())

    return errors


@pytest.mark.parametrize("factor", [1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 0.25, -0.25])
def test_power_of_two_steps_reach_both_signs_an_octave_up_and_two_down(factor: float) -> None:
    """Each channel finds the scale of least error, mirrored or not, from a start of either sign."""
    quantizer = fitted(PowerOfTwoWeight, STARTS)
    choose_scale(quantizer, distance_to(quantizer, STARTS * factor))
    assert torch.equal(quantizer.scale, STARTS * factor)


@pytest.mark.parametrize("octaves", [-1.1, -0.4, 0.0, 0.3, 0.6])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_real_steps_come_near_to_any_scale_of_either_sign(sign: float, octaves: float) -> None:
    """Between an octave below and half an octave above, at most a 32nd of an octave is left to the best scale."""
    quantizer, goal = fitted(UniformWeight, STARTS), STARTS * (sign * 2.0**octaves)
    choose_scale(quantizer, distance_to(quantizer, goal))
    assert torch.equal(quantizer.scale.sign(), goal.sign())
    assert float((quantizer.scale / goal).log2().abs().max()) <= 1 / 32


def test_channels_choose_by_themselves() -> None:
    """One channel may turn its sign while the next one keeps it and takes another step."""
    goal = STARTS * torch.tensor([-1.0, 0.5, 1.0, -2.0])
    quantizer = fitted(PowerOfTwoWeight, STARTS)
    choose_scale(quantizer, distance_to(quantizer, goal))
    assert torch.equal(quantizer.scale, goal)


@pytest.mark.parametrize("kind", [PowerOfTwoWeight, UniformWeight])
def test_without_mirrored_channels_signs_stay(kind: type[SteppedWeight]) -> None:
    """Whatever the errors say."""
    start = STARTS.abs()
    quantizer = fitted(kind, start, mirror=False)
    choose_scale(quantizer, distance_to(quantizer, -start))
    assert (quantizer.scale > 0).all()


def test_where_nothing_is_better_the_step_of_least_weight_error_stays() -> None:
    """Equal errors are no reason to change a step or a sign."""
    quantizer = fitted(UniformWeight, STARTS)
    choose_scale(quantizer, lambda: torch.ones(4, dtype=torch.float64))
    assert torch.equal(quantizer.scale, STARTS)


def test_a_step_for_the_whole_tensor_goes_by_the_error_of_all_channels() -> None:
    """The channel with the largest error decides, also about the sign."""
    quantizer = fitted(UniformWeight, torch.tensor(0.5))
    goals = torch.tensor([-0.5, 0.25])

    def errors() -> Tensor:
        return (quantizer.scale - goals).double().square() * torch.tensor([9.0, 1.0])

    choose_scale(quantizer, errors)
    assert float(quantizer.scale) == pytest.approx(-0.425, rel=0.03)
