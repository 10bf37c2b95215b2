"""Steps of strict power-of-two networks."""

import pytest
import torch
from torch import nn

from quant.quantizers.lsq import LSQActivation
from quant.quantizers.power_of_two import PowerOfTwoActivation, PowerOfTwoWeight
from quant.quantizers.strict import check_steps, has_power_of_two_steps
from quant.quantizers.uniform import UniformWeight
from sim.errors import EngineError


def test_powers_of_two_pass() -> None:
    """Large and small exponents, per channel and per tensor, of either sign."""
    weight = PowerOfTwoWeight(2, channels=3)
    weight.set_scale(torch.tensor([2.0**-30, -1.0, 2.0**12]))
    model = nn.Sequential(weight, PowerOfTwoActivation(4, signed=False, exponent=-7))
    check_steps(model)
    assert has_power_of_two_steps(model)


def test_anything_else_is_named() -> None:
    """A step that is off by its last bit is refused, with its place and value."""
    model = nn.Sequential(PowerOfTwoActivation(4, signed=False), LSQActivation(4, signed=True))
    check_steps(model)
    with torch.no_grad():
        model[1].step.copy_(torch.nextafter(torch.tensor(0.5), torch.tensor(1.0)))
    assert not has_power_of_two_steps(model)
    with pytest.raises(EngineError, match=r"^'1' has steps that are no powers of two: \[0\.5000000\d+\]$"):
        check_steps(model)


def test_a_mirrored_step_that_is_no_power_of_two_is_named() -> None:
    """The sign is not looked at, the magnitude is."""
    model = nn.Sequential(UniformWeight(4, channels=2))
    model[0].set_scale(torch.tensor([-0.5, 0.25]))
    check_steps(model)
    model[0].set_scale(torch.tensor([-0.75, 0.25]))
    with pytest.raises(EngineError, match=r"^'0' has steps that are no powers of two: \[-0\.75, 0\.25\]$"):
        check_steps(model)
