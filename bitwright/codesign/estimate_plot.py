"""A figure of estimates: cycles of every layer by what they are spent on, and energy by component."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sim.cost.estimate import Estimate, LayerEstimate
from sim.energy.events import COMPONENTS
from sim.errors import InputError
from sim.io.atomic_write import atomic_write
from sim.io.bounds import shown_path

__all__ = ["draw"]

KINDS = (".svg", ".png", ".pdf")
STYLE: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": "bitwright", "font.size": 9}
CAUSES = ("array", "depthwise lanes", "operands", "requantizer", "weights", "pipeline", "pooling", "transfers")


def draw(found: Mapping[str, Estimate], path: Path) -> None:
    """Draw stacked bars, a row of two panels for each estimate, and write them whole or not at all.

    Parameters
    ----------
    found : mapping of str to Estimate
        By the title of their row.
    path : Path
        *.svg, *.png or *.pdf.

    Raises
    ------
    InputError
        If the file has another suffix or cannot be written.
    """
    if path.suffix.lower() not in KINDS:
        raise InputError(f"a figure is *{', *'.join(KINDS)}, not '{shown_path(path)}'")
    most = max(len(cost.layers) for cost in found.values())
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(12, (0.16 * most + 1.6) * len(found)), layout="constrained")
        rows = figure.subplots(len(found), 2, squeeze=False, sharey="row")
        for (name, cost), (left, right) in zip(found.items(), rows, strict=True):
            _bars(left, cost.layers, CAUSES, lambda layer, cause: layer.cycles.get(cause, 0) / 1e3)
            left.set(title=f"{name}: {cost.latency_cycles:,} cycles", xlabel="thousand cycles")
            _bars(right, cost.layers, COMPONENTS,
                  lambda layer, component: layer.energy.by_component[component].nominal_pj / 1e6)
            low, high = cost.energy_mj.low, cost.energy_mj.high
            right.set(title=f"{cost.energy_mj.nominal:.3g} mJ ({low:.3g} to {high:.3g})", xlabel="energy [uJ]")
        content = BytesIO()
        figure.savefig(content, format=path.suffix.lower()[1:], metadata=_metadata(path))
    with atomic_write(path) as stream:
        stream.write(content.getvalue())


def _bars(axes: Axes, layers: Sequence[LayerEstimate], parts: Sequence[str],
          of: Callable[[LayerEstimate, str], float]) -> None:
    """Stack the parts of each layer, the first layer on top; parts that no layer has are left out."""
    places, ends = range(len(layers)), [0.0] * len(layers)
    for number, part in enumerate(parts):
        values = [of(layer, part) for layer in layers]
        if any(values):
            axes.barh(places, values, left=ends, label=part, color=f"C{number}")
            ends = [end + value for end, value in zip(ends, values, strict=True)]
    axes.set_yticks(places, [layer.name for layer in layers], fontsize=6)
    axes.set_ylim(len(layers) - 0.5, -0.5)
    axes.legend(fontsize=7)


def _metadata(path: Path) -> dict[str, None]:
    """Return what keeps the time out of a figure, so that the same estimate gives the same bytes."""
    return {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(path.suffix.lower(), {})
