"""Fits of steps, against trying many more."""

import pytest
import torch

from quant.quantizers.steps import best_signs, best_steps, range_steps

ROWS = torch.randn(6, 300, generator=torch.Generator().manual_seed(0)) * torch.logspace(-3, 2, 6)[:, None]


def error(row: torch.Tensor, step: float, low: int, high: int) -> float:
    codes = torch.floor(row.double() / step + 0.5).clamp(low, high)
    return float((codes * step - row.double()).square().mean())


@pytest.mark.parametrize(("low", "high"), [(-1, 0), (-2, 1), (-8, 7), (0, 1), (0, 3), (0, 15), (-128, 127)])
def test_no_step_is_much_better(low: int, high: int) -> None:
    """A thousand other steps for each row gain 1 % at most, 10 % at 8 bits, and the error given is the step's."""
    steps, errors = best_steps(ROWS, low, high)
    for row, step, found in zip(ROWS, steps.tolist(), errors.tolist(), strict=True):
        assert found == pytest.approx(error(row, step, low, high), rel=1e-4)
        widest = float(row.abs().max()) / max(high, 1)
        most = 1.1 if high > 100 else 1.01
        assert found <= most * min(error(row, widest * k / 1000, low, high) for k in range(1, 1001))


@pytest.mark.parametrize(("low", "high"), [(-1, 0), (-2, 1), (-8, 7), (0, 15)])
def test_the_range_fits_exactly(low: int, high: int) -> None:
    """Nothing is clipped by more than a rounding, and a step 1 % smaller would clip."""
    rows = ROWS if low else ROWS.abs()
    for row, step in zip(rows, range_steps(rows, low, high).tolist(), strict=True):
        assert low - 1e-3 <= float(row.min()) / step
        assert low == -1 or float(row.max()) / step <= high + 1e-3  # one negative code has no positive range
        assert float(row.min()) / (0.99 * step) < low or float(row.max()) / (0.99 * step) > high > 0


def test_no_scale_of_signs_is_better() -> None:
    """The error given is the scale's, and scales 1 % apart err more."""
    scales, errors = best_signs(ROWS)
    for row, scale, found in zip(ROWS.double(), scales.tolist(), errors.tolist(), strict=True):
        def of(value: float, row: torch.Tensor = row) -> float:
            return float((row.sign() * value - row).square().mean())
        assert found == pytest.approx(of(scale), rel=1e-4)
        assert of(scale) < min(of(0.99 * scale), of(1.01 * scale))
