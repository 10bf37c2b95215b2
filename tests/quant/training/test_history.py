"""What a training reports of each epoch, and which epoch it keeps."""

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from torch import nn

from quant.data.split import Split
from quant.networks import DigitsNet
from quant.training.evaluate import accuracy
from quant.training.history import Epoch
from quant.training.loop import train
from quant.training.recipe import Recipe
from sim.errors import InputError

pytestmark = [pytest.mark.trains, pytest.mark.usefixtures("one_thread")]

RECIPE = Recipe(epochs=3, batch=32)
JUDGED = (0.25, 0.75, 0.5)
"""Accuracies that are told in place of the measured ones."""


class Judge:
    """Tells JUDGED, one after another, and remembers the states that it has judged."""

    def __init__(self) -> None:
        self.states: list[dict[str, torch.Tensor]] = []

    def __call__(self, model: nn.Module, images: Split) -> float:
        assert not model.training
        self.states.append({name: value.clone() for name, value in model.state_dict().items()})
        return JUDGED[len(self.states) - 1]


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> Iterator[Judge]:
    found = Judge()
    monkeypatch.setattr("quant.training.loop.accuracy", found)
    return found


def equal(model: nn.Module, state: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_the_history_has_what_each_epoch_came_to(splits: tuple[Split, Split]) -> None:
    """Validation changes nothing of the training; the last accuracy is that of the model; rates fall to 0."""
    torch.manual_seed(0)
    model, data, validation = DigitsNet(4), splits[0].first(96), splits[1].first(50)
    other, reports = deepcopy(model), list[Epoch]()
    history = train(model, data, RECIPE, validation=validation, keep="last", progress=reports.append)
    plain = train(other, data, RECIPE)
    assert history == reports
    assert [record.epoch for record in history] == [1, 2, 3]
    assert history[-1].validation_accuracy == accuracy(model, validation)
    assert [record.validation_accuracy for record in plain] == [None] * 3
    assert equal(model, other.state_dict())
    assert [(a.loss, a.train_accuracy) for a in history] == [(b.loss, b.train_accuracy) for b in plain]
    rates = [record.learning_rate for record in history]
    assert rates == [RECIPE.rate * RECIPE.rate_at(step, 9) for step in (2, 5, 8)]
    assert all(record.seconds > 0 for record in history)


@pytest.mark.parametrize(("keep", "kept"), [(None, 1), ("best", 1), ("last", 2)])
def test_the_best_epoch_is_kept(splits: tuple[Split, Split], judge: Judge, keep: str | None, kept: int) -> None:
    """By its validation accuracy, unless the last one is asked for."""
    model = DigitsNet(4)
    history = train(model, splits[0].first(96), RECIPE, validation=splits[1], keep=keep)
    assert tuple(record.validation_accuracy for record in history) == JUDGED
    assert equal(model, judge.states[kept])
    assert not model.training


def test_what_is_called_after_steps_keeps_the_last_epoch(splits: tuple[Split, Split], judge: Judge) -> None:
    """It may have changed the model in a way that belongs to the last epoch."""
    model = DigitsNet(4)
    train(model, splits[0].first(96), RECIPE, validation=splits[1], after_step=lambda step, optimizer: None)
    assert equal(model, judge.states[2])


def test_an_interrupted_training_knows_its_best_epoch(splits: tuple[Split, Split], judge: Judge,
                                                      tmp_path: Path) -> None:
    """History and best state go on where they were; another way to keep is another run."""
    model, data, place = DigitsNet(4), splits[0].first(96), tmp_path / "run.checkpoint"
    again, reports = deepcopy(model), list[Epoch]()

    def stop(record: Epoch) -> None:
        reports.append(record)
        if record.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(model, data, RECIPE, validation=splits[1], checkpoint=place, progress=stop)
    fresh = deepcopy(again)
    history = train(again, data, RECIPE, validation=splits[1], checkpoint=place, progress=reports.append)
    assert history == reports
    assert len(judge.states) == 3
    assert equal(again, judge.states[1])
    with pytest.raises(InputError, match="is of another run: its keep is best, not last; give another place or "):
        train(fresh, data, RECIPE, validation=splits[1], keep="last", checkpoint=place)
    with pytest.raises(InputError, match="is of another run: its validation is "):
        train(fresh, data, RECIPE, validation=splits[1].first(3), checkpoint=place)


def test_the_best_epoch_takes_validation_images(splits: tuple[Split, Split]) -> None:
    """Without them no epoch is better than another."""
    with pytest.raises(InputError, match=r"^the best epoch is that of the highest validation accuracy: give validation "
                                         r"images$"):
        train(DigitsNet(4), splits[0].first(96), RECIPE, keep="best")
