"""Training: seeded, scheduled, and with the constraints of quantizers kept."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from quant.convert import quantize
from quant.data.digits import DIGITS_EXPONENT, DIGITS_FORMAT
from quant.data.split import Split
from quant.networks import DigitsNet
from quant.quantizers.base import Quantizer
from quant.quantizers.qil import QILActivation, QILWeight
from quant.training.evaluate import accuracy
from quant.training.history import Epoch
from quant.training.loop import _shifted, train
from quant.training.norms import reestimate_norms
from quant.training.recipe import Recipe
from sim.errors import InputError

Quantize = Callable[[nn.Module, Tensor, str, int], fx.GraphModule]

pytestmark = pytest.mark.trains

MARGIN = 0.3
"""Accuracy that a few epochs gain at least on the start they are compared with; by any seed they gain twice that."""


def weights(model: nn.Module) -> list[float]:
    return torch.cat([p.detach().flatten() for p in model.parameters()]).tolist()


def mean_loss(model: nn.Module, data: Split) -> float:
    """Cross-entropy on all images [nats]."""
    with torch.no_grad():
        return float(functional.cross_entropy(model(data.images), data.labels))


@pytest.mark.parametrize("half", [False, True])
def test_training_learns_the_digits(splits: tuple[Split, Split], half: bool) -> None:
    """From chance upwards in three epochs, in bfloat16 too, where parameters stay in float32; then in eval mode."""
    torch.manual_seed(0)
    model = DigitsNet().eval()
    before = accuracy(model, splits[1])
    train(model, splits[0], Recipe(epochs=3), half=half)
    assert accuracy(model, splits[1]) > before + MARGIN
    assert not model.training
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_quantized_training_repairs_what_quantizing_broke(
        trained: nn.Module, splits: tuple[Split, Split], as_digits: Quantize) -> None:
    """At 2 bits two epochs halve the loss that right statistics alone leave (seen: a quarter); no interval is empty or
    below 0 afterwards, no output scale negative."""
    model = as_digits(trained, splits[0].images, "qil", 2)
    reestimate_norms(model, splits[0].images)
    before = mean_loss(model, splits[0])
    train(model, splits[0], Recipe(epochs=2, rate=0.03))
    reestimate_norms(model, splits[0].images)
    assert mean_loss(model, splits[0]) < before / 2
    for quantizer in model.modules():
        if isinstance(quantizer, QILWeight | QILActivation):
            low, high, amplitude = (float(p.detach()) for p in (quantizer.low, quantizer.high, quantizer.amplitude))
            assert 0 <= low < high
            assert amplitude > 0


@pytest.mark.usefixtures("one_thread")
def test_same_seed_gives_the_same_weights(splits: tuple[Split, Split]) -> None:
    """Order and shifts come from the recipe's seed alone: two runs on one thread agree bit for bit, another seed
    differs."""
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
    epochs: list[Epoch] = []
    steps: list[int] = []
    recipe, few = Recipe(epochs=3, batch=32), splits[0].first(100)
    train(DigitsNet(), few, recipe, progress=epochs.append,
          after_step=lambda step, optimizer: steps.append(step))
    assert [record.epoch for record in epochs] == [1, 2, 3]
    assert all(record.loss > 0 and 0 <= record.train_accuracy <= 1 and record.seconds > 0 for record in epochs)
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


def test_only_quantizers_learn_if_asked(trained: nn.Module, splits: tuple[Split, Split]) -> None:
    """With `quantizers_only` weights, biases and norms' gains stay; intervals move; afterwards all may learn again."""
    model = quantize(trained, splits[0].images[:64], scheme="qil", weight_bits=3, activation_bits=3,
                     input_format=DIGITS_FORMAT, input_exponent=DIGITS_EXPONENT)
    own = {name for path, module in model.named_modules() if isinstance(module, Quantizer)
           for name in (f"{path}.{inner}" for inner, _ in module.named_parameters())}
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    learns = {name: value.requires_grad for name, value in model.named_parameters()}
    train(model, splits[0].first(320), Recipe(epochs=1, batch=32, quantizers_only=True))
    changed = {name for name, value in model.named_parameters() if not torch.equal(value, before[name])}
    assert changed
    assert changed <= own
    assert {name: value.requires_grad for name, value in model.named_parameters()} == learns


def test_the_interval_rate_is_a_factor(splits: tuple[Split, Split]) -> None:
    """With an interval rate of 0 quantizers stay and weights learn."""
    net = DigitsNet(4)
    reestimate_norms(net, splits[0].images[:64])
    model = quantize(net, splits[0].images[:64], scheme="lsq", input_format=DIGITS_FORMAT,
                     input_exponent=DIGITS_EXPONENT)
    own = {id(p) for module in model.modules() if isinstance(module, Quantizer) for p in module.parameters()}
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    train(model, splits[0].first(128), Recipe(epochs=1, batch=32, interval_rate=0.0))
    for name, value in model.named_parameters():
        assert torch.equal(value, before[name]) == (id(value) in own), name


@pytest.mark.usefixtures("one_thread")
def test_a_teacher_teaches(trained: nn.Module, splits: tuple[Split, Split]) -> None:
    """With nothing but the teacher's outputs a fresh network learns what the teacher knows; labels make no
    difference then, not in a bit."""
    torch.manual_seed(3)
    start, shuffled = DigitsNet().eval(), splits[0].labels[torch.randperm(len(splits[0]))]
    taught = deepcopy(start)
    train(taught, replace(splits[0], labels=shuffled), Recipe(epochs=3, distillation=1.0), teacher=trained)
    assert accuracy(taught, splits[1]) > accuracy(start, splits[1]) + MARGIN
    results = []
    for labels in (splits[0].labels, shuffled):
        model = deepcopy(start)
        few = replace(splits[0], labels=labels).first(128)
        train(model, few, Recipe(epochs=1, distillation=1.0), teacher=trained)
        results.append(weights(model))
    assert results[0] == results[1]


def test_a_share_of_the_teacher_needs_one(splits: tuple[Split, Split]) -> None:
    """What the recipe asks for and is not given."""
    with pytest.raises(InputError, match=r"^distillation 0\.5 needs a teacher$"):
        train(DigitsNet(4), splits[0], Recipe(epochs=1, distillation=0.5))


def test_a_loss_that_explodes_is_named(splits: tuple[Split, Split]) -> None:
    """Not with NaN weights in the end, but in its epoch and with what to do."""
    with pytest.raises(InputError, match=r"^the loss became (nan|inf) in epoch 1: lower the rate of 1e\+18$"):
        train(DigitsNet(4), splits[0].first(320), Recipe(epochs=2, batch=32, rate=1e18, warmup=0.0))


def test_too_few_images_are_named(splits: tuple[Split, Split]) -> None:
    """A batch must be full."""
    with pytest.raises(InputError, match=r"^a batch of 64 needs as many images, not 63$"):
        train(DigitsNet(4), splits[0].first(63), Recipe(epochs=1))
