"""Real steps, chosen once."""

import pytest
import torch

from quant.quantizers.uniform import UniformWeight

WEIGHTS = torch.randn(4, 3, 5, generator=torch.Generator().manual_seed(0)) * torch.tensor([0.1, 1, 5, 9])[:, None, None]


@pytest.mark.parametrize("fit", ["error", "range"])
def test_every_channel_is_fitted_alone(fit: str) -> None:
    """A channel's step is what a quantizer of that channel alone would have."""
    quantizer = UniformWeight(3, channels=4, fit=fit)
    quantizer.initialise(WEIGHTS)
    for channel, weights in enumerate(WEIGHTS):
        alone = UniformWeight(3, channels=1, fit=fit)
        alone.initialise(weights)
        assert float(alone.scale) == float(quantizer.scale[channel])


def test_one_step_serves_a_whole_tensor() -> None:
    """Shape (), and no better than steps of one's own."""
    shared, own = UniformWeight(3, channels=1), UniformWeight(3, channels=4)
    for quantizer in (shared, own):
        quantizer.initialise(WEIGHTS)
    assert shared.scale.shape == ()
    assert own.error(WEIGHTS, 3) < shared.error(WEIGHTS, 3)


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_the_range_clips_nothing_and_the_error_is_no_larger(bits: int) -> None:
    """By range every weight is within half a step of its value; by error the squared error is at most that."""
    widest, best = UniformWeight(bits, channels=4, fit="range"), UniformWeight(bits, channels=4)
    for quantizer in (widest, best):
        quantizer.initialise(WEIGHTS)
    steps = widest.scale[:, None, None]
    assert float((widest(WEIGHTS) - WEIGHTS).abs().div(steps).max()) <= 0.5 + 1e-3
    assert float((best(WEIGHTS) - WEIGHTS).square().mean()) <= float((widest(WEIGHTS) - WEIGHTS).square().mean())
