"""Training: seeded, scheduled, and with the constraints of quantizers kept."""

from copy import deepcopy

import torch
from torch import nn

from quant.data.split import Split
from quant.networks import DigitsNet
from quant.quantizers.qil import QILActivation, QILWeight
from quant.training.evaluate import accuracy
from quant.training.loop import _shifted, train
from quant.training.recipe import Recipe


def weights(model: nn.Module) -> list[float]:
    return torch.cat([p.detach().flatten() for p in model.parameters()]).tolist()


def test_float_training_learns_the_digits(trained: nn.Module, splits: tuple[Split, Split]) -> None:
    """Twelve epochs give more than 95 % on the test images, and the model comes back in eval mode."""
    assert accuracy(trained, splits[1]) > 0.95
    assert not trained.training


def test_quantized_training_keeps_it(trained_qil: nn.Module, trained: nn.Module, splits: tuple[Split, Split]) -> None:
    """Eight epochs at 4 bits end within two points of float."""
    assert accuracy(trained_qil, splits[1]) > accuracy(trained, splits[1]) - 0.02


def test_constraints_hold_after_training(trained_qil: nn.Module) -> None:
    """No interval is empty or below 0, no output scale negative."""
    for quantizer in trained_qil.modules():
        if isinstance(quantizer, QILWeight | QILActivation):
            low, high, amplitude = (float(p.detach()) for p in (quantizer.low, quantizer.high, quantizer.amplitude))
            assert 0 <= low < high
            assert amplitude > 0


def test_same_seed_gives_the_same_weights(splits: tuple[Split, Split]) -> None:
    """Order and shifts come from the recipe's seed alone: two runs agree bit for bit, another seed differs."""
    torch.manual_seed(1)
    start, few = DigitsNet(), splits[0].first(200)
    results = []
    for seed in (5, 5, 6):
        model = deepcopy(start)
        train(model, few, Recipe(epochs=2, seed=seed))
        results.append(weights(model))
    assert results[0] == results[1] != results[2]


def test_progress_and_steps_are_reported(splits: tuple[Split, Split]) -> None:
    """One report per epoch, one call per optimizer step, as many as the recipe says."""
    epochs: list[tuple[int, float, float]] = []
    steps: list[int] = []
    recipe, few = Recipe(epochs=3, batch=32), splits[0].first(100)
    train(DigitsNet(), few, recipe, progress=lambda *report: epochs.append(report),
          after_step=lambda step, optimizer: steps.append(step))
    assert [epoch for epoch, _, _ in epochs] == [1, 2, 3]
    assert all(loss > 0 and 0 <= right <= 1 for _, loss, right in epochs)
    assert steps == list(range(1, 10))
    assert recipe.steps(100) == 9


def test_shifts_move_whole_images() -> None:
    """A shifted batch is the batch moved by at most one pixel each way with zeros moving in, never another image."""
    images, generator = torch.rand(2, 1, 5, 4, generator=torch.Generator().manual_seed(0)), torch.Generator()
    seen = set()
    for seed in range(40):
        moved = _shifted(images, 1, generator.manual_seed(seed))
        assert moved.shape == images.shape
        matches = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)
                   if torch.equal(moved[:, :, 1:-1, 1:-1], images.roll((dy, dx), (2, 3))[:, :, 1:-1, 1:-1])]
        assert len(matches) == 1
        seen.add(matches[0])
    assert len(seen) == 9
    assert _shifted(images, 0, generator) is images
