"""What each layer of a quantized network loses: as JSON, as CSV and as a figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bitwright.codesign.record_files import record_files, write_record
from quant.analysis.layers import LayerQuality

__all__ = ["layer_files", "write_layers"]

RATIOS = {"weight_sqnr_db": "weights", "tensor_sqnr_db": "stored tensor", "output_sqnr_db": "all so far"}
"""The ratios that the figure draws, and what their lines are called."""
INCHES_A_LAYER, NARROWEST = 0.22, 7.0


def layer_files(out: Path) -> tuple[Path, Path, Path]:
    """Return where `write_layers` puts JSON, CSV and the figure in a folder."""
    return record_files(out, "layers")


def write_layers(out: Path, layers: Sequence[LayerQuality]) -> list[Path]:
    """Write what each layer loses into a folder, and return the files; an empty cell of the CSV stands for None."""
    rows = [asdict(layer) for layer in layers]
    return write_record(out, "layers", rows, [field.name for field in fields(LayerQuality)], rows, _figure(layers))


def _figure(layers: Sequence[LayerQuality]) -> Figure:
    """Draw the ratios, and the shares that are clipped and that agree, over the layers in the order of the network."""
    figure = Figure(figsize=(max(NARROWEST, INCHES_A_LAYER * len(layers)), 6), layout="constrained")
    ratios, shares = figure.subplots(2, 1, sharex=True)
    for name, label in RATIOS.items():
        _draw(ratios, [getattr(layer, name) for layer in layers], label)
    _draw(shares, [None if layer.agreement is None else 100 * layer.agreement for layer in layers],
          "answers as in float, if quantized as far as here")
    _draw(shares, [None if layer.clipped_share is None else 100 * layer.clipped_share for layer in layers], "clipped")
    ratios.set_ylabel("signal to noise [dB]")
    shares.set_ylabel("share [%]")
    shares.set_xticks(range(len(layers)), [layer.name for layer in layers], rotation=90, fontsize=7)
    for axes in (ratios, shares):
        axes.legend()
        axes.grid(alpha=0.3)
    return figure


def _draw(axes: Axes, values: Sequence[float | None], label: str) -> None:
    """Draw the values that there are."""
    places = [place for place, value in enumerate(values) if value is not None]
    axes.plot(places, [value for value in values if value is not None], ".-", label=label)
