"""Biases that make up for mean errors."""

import torch

from quant.calibration.biases import correction


def test_a_constant_error_is_taken_away_whole() -> None:
    """Every image has the same error, so it is no chance."""
    target = torch.randn(60, 3, generator=torch.Generator().manual_seed(0))
    values = target + torch.tensor([1.0, 0.0, -2.0])
    assert torch.allclose(correction(values, target, 20), torch.tensor([-1.0, 0.0, 2.0]), atol=1e-5)


def test_chance_is_left_alone() -> None:
    """Of 4000 channels whose errors have the mean 0 over 8 images, what is corrected is less than half of the means."""
    errors = torch.randn(8, 4000, generator=torch.Generator().manual_seed(0))
    change = correction(errors, torch.zeros_like(errors), 8)
    assert float(change.square().mean()) < 0.5 * float(errors.mean(0).square().mean())
    assert int((change == 0).sum()) > 2000


def test_positions_of_one_image_are_not_taken_as_independent() -> None:
    """A hundred positions with one error say no more than one, and one image says nothing."""
    errors = torch.tensor([[1.0], [-1.0], [1.5], [0.5]])
    once = correction(errors, torch.zeros(4, 1), 4)
    assert torch.allclose(correction(errors.repeat_interleave(100, 0), torch.zeros(400, 1), 4), once)
    assert torch.equal(correction(errors, torch.zeros(4, 1), 1), torch.zeros(1))
