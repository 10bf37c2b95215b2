"""What `bitwright train` and `bitwright quantize` show of a network that they have made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, fx, nn

from bitwright.cli.console import Report, steps
from quant.analysis.layers import LayerQuality, layer_qualities
from quant.lowering.lower import Lowered

__all__ = ["compare_layers", "network_report"]

COMPARED_IMAGES = 64
"""Images on which layers are compared."""
AGREEMENT_IMAGES = 16
"""For how many of them the float network is run on from every layer."""


def network_report(title: str, summary: Mapping[str, Any], files: Sequence[Path], out: Path) -> Report:
    """Report accuracies of a summary, what each layer loses if it says so, and the files that were written."""
    report = Report({**summary, "files": [str(path) for path in files]})
    report.table(title, ["images", "accuracy %"],
                 [[name, 100 * value] for name, value in summary["accuracy"].items()])
    if "layers" in summary:
        report.table("layers, and what is left of the float network's signal", [
            "layer", "W bits", "A bits", "W dB", "A dB", "clipped %", "so far dB", "fit error", "agrees %"],
            [_layer_row(layer) for layer in summary["layers"]])
    report.lines.append(f"written to {out}")
    return report


def compare_layers(model: fx.GraphModule, net: nn.Module, images: Tensor, lowered: Lowered) -> list[LayerQuality]:
    """Compare a quantized network with its float network on some images, with progress on stderr."""
    images = images[:COMPARED_IMAGES]
    with steps("layers", 1) as progress:
        found = layer_qualities(model, net, images, lowered, agreement_images=AGREEMENT_IMAGES,
                                progress=lambda done, whole: progress.note(f"{done} of {whole} images"))
        progress.done(f"compared {len(found)} stages with the float network's, on {len(images)} images")
    return found


def _layer_row(layer: LayerQuality) -> list[object]:
    """Return the cells of a layer; what there is none of, or what nothing is lost of, is a dash."""
    fit = _number(layer.fit_error_codes, 1, 2) if layer.fit_error_output is None else "output"
    return [layer.name, layer.weight_bits or "-", layer.tensor_bits or "-", _number(layer.weight_sqnr_db, 1, 1),
            _number(layer.tensor_sqnr_db, 1, 1), _number(layer.clipped_share, 100, 2),
            _number(layer.output_sqnr_db, 1, 1), fit, _number(layer.agreement, 100, 1)]


def _number(value: float | None, factor: int, places: int) -> str:
    return "-" if value is None else f"{factor * value:.{places}f}"
