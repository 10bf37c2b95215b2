"""Steps and zero points that are fitted together."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from quant.quantizers.steps import best_steps
from quant.quantizers.zero_points import best_zero_point, real_steps, zero_point_of
from sim.errors import InputError

NORMAL = torch.randn(400, generator=torch.Generator().manual_seed(0))


def every_error(values: Tensor, high: int) -> Iterator[float]:
    """Mean squared errors of all steps and zero points that are tried, one after the other."""
    for step in real_steps(values, high):
        for zero in range(high + 1):
            found = torch.floor(values.double() / step + 0.5).clamp(-zero, high - zero) * step
            yield float((found - values).square().mean())


@pytest.mark.parametrize("high", [3, 7])
@pytest.mark.parametrize("values", [
    NORMAL + 1, NORMAL.abs() - 0.3, -NORMAL.abs(), NORMAL.exp(), torch.tensor([3.0]), torch.zeros(5),
], ids=["shifted", "lopsided", "negative", "positive", "one", "zeros"])
def test_no_other_pair_has_less_error(values: Tensor, high: int) -> None:
    """The error is that of the codes, and the least of all steps and zero points that are tried."""
    step, zero, error = best_zero_point(values, high, real_steps(values, high))
    found = torch.floor(values.double() / step + 0.5).clamp(-zero, high - zero) * step
    assert error == pytest.approx(float((found - values).square().mean()), rel=1e-5, abs=1e-12)
    assert error <= min(every_error(values, high)) * (1 + 1e-9) + 1e-12


def test_zero_points_help_where_values_are_lopsided() -> None:
    """On values of one sign mostly, codes with a zero point have less than 0.4 of the error of signed codes."""
    values = NORMAL.abs() - 0.3
    _, signed = best_steps(values[None], -8, 7)
    assert best_zero_point(values, 15, real_steps(values, 15)).error < 0.4 * float(signed)


@pytest.mark.parametrize("exponent", [-90, 60])
def test_the_unit_does_not_matter(exponent: int) -> None:
    """Values 2**k times as large get a step 2**k times as large and the same zero point."""
    unit = 2.0**exponent
    step, zero, error = best_zero_point(NORMAL, 15, real_steps(NORMAL, 15))
    assert best_zero_point(NORMAL * unit, 15, real_steps(NORMAL * unit, 15)) == (step * unit, zero, error * unit**2)


def test_zero_points_are_codes() -> None:
    """A range that leaves 0 out is extended to it."""
    assert [zero_point_of(low, 0.5, 7) for low in (0.0, -1.0, -1.3, -99.0, 2.0)] == [0, 2, 3, 7, 0]


def test_values_must_be_there_and_finite() -> None:
    """Nothing can be fitted to nothing, or to NaN."""
    for values, message in ((torch.zeros(0), "an empty tensor"), (torch.tensor([float("nan")]),
                                                                 "values that are not finite")):
        with pytest.raises(InputError, match=f"^a step cannot be fitted to {message}$"):
            best_zero_point(values, 3, [1.0])
