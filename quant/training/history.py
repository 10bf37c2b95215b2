"""What a training reports of each epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from math import isfinite
from typing import Any

__all__ = ["Epoch", "best_epoch", "epochs_of", "plain"]


@dataclass(frozen=True)
class Epoch:
    """One pass over the training images.

    Attributes
    ----------
    epoch : int
        From 1.
    loss : float
        Mean over its steps.
    train_accuracy : float
        Share of its images that were right when they were trained with, in 0..1.
    validation_accuracy : float or None
        Share of the validation images that are right after it, in 0..1; None if there are none.
    learning_rate : float
        That of its last step.
    seconds : float
        How long it took, validation included [s].
    """

    epoch: int
    loss: float
    train_accuracy: float
    validation_accuracy: float | None
    learning_rate: float
    seconds: float


def best_epoch(history: Sequence[Epoch]) -> Epoch | None:
    """Return the epoch of highest validation accuracy, of equal ones the last; None if none was validated.

    >>> best_epoch([Epoch(1, 0.9, 0.1, 0.5, 0.1, 2.0), Epoch(2, 0.8, 0.2, 0.5, 0.0, 2.0)]).epoch
    2
    """
    validated = [record for record in history if record.validation_accuracy is not None]
    return max(validated, key=lambda record: (record.validation_accuracy or 0.0, record.epoch), default=None)


def plain(history: Sequence[Epoch]) -> list[dict[str, Any]]:
    """Return a history as plain data."""
    return [asdict(record) for record in history]


def epochs_of(data: Any) -> list[Epoch] | None:
    """Return the history that plain data stands for, or None if it is none."""
    names = {field.name for field in fields(Epoch)}
    if not isinstance(data, list) or not all(isinstance(entry, dict) and entry.keys() == names for entry in data):
        return None
    for number, entry in enumerate(data, 1):
        reals = [value for name, value in entry.items() if name != "epoch" and value is not None]
        if type(entry["epoch"]) is not int or entry["epoch"] != number:
            return None
        if not all(type(value) is float and isfinite(value) for value in reals):
            return None
        if any(value is None for name, value in entry.items() if name != "validation_accuracy"):
            return None
    return [Epoch(**entry) for entry in data]
