"""The page of a network that was trained or quantized: accuracy, history, bits, and what each layer loses."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from bitwright.report.layer_figures import bits_figure
from bitwright.report.page import Axis, Bar, Bars, Page, Point, Scatter, Section, Series, Table
from bitwright.report.runs import EpochRecord, NetworkRun

__all__ = ["network_page"]

RATIOS = {"weight_sqnr_db": "weights", "tensor_sqnr_db": "stored tensor", "output_sqnr_db": "all so far"}


def network_page(run: NetworkRun) -> Page:
    """Return the page of a network."""
    bits = run.bits if isinstance(run.bits, str) else " then ".join(run.bits) if isinstance(run.bits, list) else ""
    title = " ".join(word for word in (run.network, "on", run.data, run.scheme, bits) if word)
    kind = "train" if run.history else "quantize"
    accuracies = tuple((f"{name} accuracy [%]", 100 * value) for name, value in run.accuracy.items())
    return Page(title, kind, accuracies, tuple(_sections(run)))


def _sections(run: NetworkRun) -> Iterator[Section]:
    yield Section("Accuracy", (), (Bars(
        "accuracy", "Share of the images of each set that are right.", "accuracy [%]", ("accuracy",),
        tuple(Bar(name, (100 * value,)) for name, value in run.accuracy.items())),))
    if run.history:
        yield Section("Training", (), (_curve("loss", run, "loss", lambda one: {"loss": one.loss}), _curve(
            "accuracy in training", run, "accuracy [%]", lambda one: {
                "training": 100 * one.train_accuracy,
                "validation": None if one.validation_accuracy is None else 100 * one.validation_accuracy})))
    if run.budgets:
        yield Section("Budgets", (), (Table("budgets", ("budget", "limit", "used"), tuple(
            (name, budget.limit, budget.used) for name, budget in run.budgets.items())),))
    if run.layers:
        yield Section("Bits", (), (bits_figure(
            {layer.name: (layer.weight_bits or 0, layer.tensor_bits or 0) for layer in run.layers}, ""),))
        yield Section("What each layer loses", (
            "Signal to noise of the weights alone, of the stored tensor alone, and of all quantization up to there.",),
            (_ratios(run), _losses(run)))


def _curve(title: str, run: NetworkRun, label: str, of: Callable[[EpochRecord], dict[str, float | None]]) -> Scatter:
    """Draw values of all epochs, one training after another."""
    points: dict[str, list[Point]] = {}
    start = 0
    for training, epochs in run.history.items():
        for epoch in epochs:
            for name, value in of(epoch).items():
                if value is not None:
                    points.setdefault(name, []).append(
                        Point(f"{training}, epoch {epoch.epoch}", float(start + epoch.epoch), value))
        start += len(epochs)
    return Scatter(title, f"{title} over all epochs, one training after another.", Axis("epoch"), Axis(label), tuple(
        Series(name, tuple(found), joined=True) for name, found in points.items()))


def _ratios(run: NetworkRun) -> Scatter:
    return Scatter("signal to noise", "Ratio of signal to noise of every layer, in the order of the network.",
                   Axis("layer"), Axis("signal to noise [dB]"), tuple(Series(name, tuple(
                       Point(layer.name, float(place), value) for place, layer in enumerate(run.layers)
                       if (value := getattr(layer, key)) is not None), joined=True) for key, name in RATIOS.items()))


def _losses(run: NetworkRun) -> Table:
    return Table("layers", ("layer", "kind", "W bits", "A bits", "W [dB]", "A [dB]", "so far [dB]", "clipped [%]",
                            "fit error [codes]", "agrees [%]"), tuple(
        (layer.name, layer.kind, layer.weight_bits, layer.tensor_bits, layer.weight_sqnr_db, layer.tensor_sqnr_db,
         layer.output_sqnr_db, _percent(layer.clipped_share), layer.fit_error_codes, _percent(layer.agreement))
        for layer in run.layers))


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share
