"""The history of trainings, one after another: as JSON, as CSV and as a figure."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from io import BytesIO, StringIO
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bitwright.codesign.json_text import to_json
from quant.training.history import Epoch, plain
from sim.io.atomic_write import atomic_write, atomic_write_text

__all__ = ["history_files", "write_history"]

Histories = Mapping[str, Sequence[Epoch]]


def history_files(out: Path) -> tuple[Path, Path, Path]:
    """Return where `write_history` puts JSON, CSV and the figure in a folder."""
    return out / "history.json", out / "history.csv", out / "history.svg"


def write_history(out: Path, histories: Histories) -> list[Path]:
    """Write the epochs of each training, by its name, into a folder; return the files.

    The CSV has a row for each epoch, and an empty cell where there is no validation accuracy.
    """
    as_json, as_csv, as_figure = history_files(out)
    atomic_write_text(as_json, to_json({name: plain(history) for name, history in histories.items()}))
    atomic_write_text(as_csv, _table(histories))
    image = BytesIO()
    _figure(histories).savefig(image, format="svg")
    with atomic_write(as_figure) as stream:
        stream.write(image.getvalue())
    return [as_json, as_csv, as_figure]


def _table(histories: Histories) -> str:
    text = StringIO()
    writer = csv.DictWriter(text, ["training", *(field.name for field in fields(Epoch))], lineterminator="\n")
    writer.writeheader()
    for name, history in histories.items():
        writer.writerows({"training": name, **asdict(record)} for record in history)
    return text.getvalue()


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
