"""The history of trainings, one after another: as JSON, as CSV and as a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bitwright.codesign.record_files import record_files, write_record
from quant.training.history import Epoch, plain

__all__ = ["history_files", "write_history"]

Histories = Mapping[str, Sequence[Epoch]]


def history_files(out: Path) -> tuple[Path, Path, Path]:
    """Return where `write_history` puts JSON, CSV and the figure in a folder."""
    return record_files(out, "history")


def write_history(out: Path, histories: Histories) -> list[Path]:
    """Write the epochs of each training, by its name, into a folder; return the files.

    The CSV has a row for each epoch, and an empty cell where there is no validation accuracy.
    """
    rows = [{"training": name, **asdict(record)} for name, history in histories.items() for record in history]
    return write_record(out, "history", {name: plain(history) for name, history in histories.items()},
                        ["training", *(field.name for field in fields(Epoch))], rows, _figure(histories))


def _figure(histories: Histories) -> Figure:
    """Draw loss and accuracies over all epochs, one training after another."""
    figure = Figure(figsize=(7, 5), layout="constrained")
    losses, accuracies = figure.subplots(2, 1, sharex=True)
    start = 0
    for name, history in histories.items():
        epochs = [start + record.epoch for record in history]
        losses.plot(epochs, [record.loss for record in history], ".-", color="C0")
        accuracies.plot(epochs, [100 * record.train_accuracy for record in history], ".-", color="C1", label="training")
        judged = [(at, 100 * record.validation_accuracy) for at, record in zip(epochs, history, strict=True)
                  if record.validation_accuracy is not None]
        accuracies.plot(*zip(*judged, strict=True) if judged else ((), ()), ".-", color="C2", label="validation")
        losses.annotate(name, (start + 1, 1), xycoords=("data", "axes fraction"), va="bottom")
        start += len(history)
    losses.set_ylabel("loss")
    accuracies.set_ylabel("accuracy [%]")
    accuracies.set_xlabel("epoch")
    accuracies.xaxis.set_major_locator(MaxNLocator(integer=True))
    shown = dict(zip(*accuracies.get_legend_handles_labels()[::-1], strict=True))
    accuracies.legend(shown.values(), shown.keys())
    return figure
