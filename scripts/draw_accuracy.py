"""Draw docs/accuracy_cycles.svg: what uniform and mixed bits reach in how many cycles, from the committed results.

    python scripts/draw_accuracy.py [--check]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from statistics import mean
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sim.io.atomic_write import atomic_write_text

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "accuracy-full.json"
FIGURE = ROOT / "docs" / "accuracy_cycles.svg"
NETWORK, SCHEME, EPOCHS = "resnet8", "lsq", 8
"""Runs that are shown have trained this network with this scheme for equally many epochs."""
PAPER, UNIFORM, MIXED, GREY = "#fdfdfb", "#1f4e8c", "#b3261e", "#666666"
CROWDED = 1.0
"""Names of marks and lines that are closer than this [thousands of cycles] get out of each other's way."""
STYLE = {"svg.fonttype": "none", "svg.hashsalt": "bitwright", "font.size": 11,
         "font.sans-serif": ["Helvetica", "Arial", "DejaVu Sans"]}


@dataclass(frozen=True)
class Group:
    """Runs that differ in nothing but their seed.

    Attributes
    ----------
    bits : str
        Weight and activation bits, `3/2`; of mixed bits, the uniform bits whose cycles are the budget.
    cycles : tuple of int
        Cycles of one image, for each seed.
    accuracy : tuple of float
        Test images that are classified correctly [%], for each seed.
    limits : tuple of int
        The budget of each seed's run [cycles]; empty for uniform bits.
    """

    bits: str
    cycles: tuple[int, ...]
    accuracy: tuple[float, ...]
    limits: tuple[int, ...] = ()

    @property
    def point(self) -> tuple[float, float]:
        """Mean cycles, in thousands, and mean accuracy [%]."""
        return mean(self.cycles) / 1000, mean(self.accuracy)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only say whether the figure is current")
    if parser.parse_args().check:
        if FIGURE.read_text() != draw():
            sys.exit(f"{FIGURE.name} is not what the results say; run scripts/draw_accuracy.py")
    else:
        atomic_write_text(FIGURE, draw())


def draw() -> str:
    """Return the figure as SVG."""
    runs = json.loads(RESULTS.read_text())["runs"]
    uniform, mixed = uniform_groups(runs), mixed_groups(runs)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.6, 4.0), facecolor=PAPER)
        axes = figure.add_axes((0.095, 0.14, 0.88, 0.74), facecolor=PAPER)
        draw_budgets(axes, mixed)
        draw_groups(axes, uniform, "uniform", UNIFORM, "o")
        draw_groups(axes, mixed, "mixed", MIXED, "D")
        name_points(axes, uniform, mixed)
        decorate(axes)
        text = StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None, "Title": FIGURE.stem})
    return text.getvalue()


def uniform_groups(runs: Sequence[dict[str, Any]]) -> list[Group]:
    """Return the groups with the same bits in all layers but the first and last, the cheapest first."""
    common = {"scheme": SCHEME, "epochs": EPOCHS}
    found: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        settings = {name: value for name, value in run["settings"].items() if name not in ("bits", "rate")}
        if (run["network"], run["method"]) == (NETWORK, "train") and settings == common:
            found.setdefault(run["settings"]["bits"], []).append(run)
    groups = [Group(bits, cycles_of(group), accuracy_of(group)) for bits, group in found.items()]
    return sorted(groups, key=lambda group: group.point)


def mixed_groups(runs: Sequence[dict[str, Any]]) -> list[Group]:
    """Return the groups whose bits moved during training under a budget of cycles, the cheapest first."""
    common = {"scheme": SCHEME, "epochs": EPOCHS, "budget": "latency_cycles", "when": "during"}
    found: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        settings = {name: value for name, value in run["settings"].items() if name not in ("of", "rate")}
        if (run["network"], run["method"]) == (NETWORK, "mixed") and settings == common:
            found.setdefault(run["settings"]["of"], []).append(run)
    groups = [Group(bits, cycles_of(group), accuracy_of(group), tuple(run["limit"] for run in group))
              for bits, group in found.items()]
    return sorted(groups, key=lambda group: group.point)


def cycles_of(runs: Sequence[dict[str, Any]]) -> tuple[int, ...]:
    """Return the cycles of one image, for each run."""
    return tuple(run["cost"]["latency_cycles"] for run in runs)


def accuracy_of(runs: Sequence[dict[str, Any]]) -> tuple[float, ...]:
    """Return the test accuracy [%], for each run."""
    return tuple(run["accuracy"]["test"] for run in runs)


def draw_groups(axes: Axes, groups: Sequence[Group], name: str, colour: str, marker: str) -> None:
    """Draw a large mark for each group's mean and a small one for each seed."""
    for group in groups:
        axes.plot([cycles / 1000 for cycles in group.cycles], group.accuracy, color=colour, linestyle="", marker=marker,
                  markersize=3.5, alpha=0.45, gid=f"{name}-{group.bits}")
    x, y = zip(*(group.point for group in groups), strict=True)
    axes.plot(x, y, color=colour, linestyle="", marker=marker, markersize=9, label=f"{name} bits", gid=name)


def draw_budgets(axes: Axes, mixed: Sequence[Group]) -> None:
    """Draw each budget as a vertical line with its name above."""
    limits = [min(group.limits) / 1000 for group in mixed]
    for index, (group, limit) in enumerate(zip(mixed, limits, strict=True)):
        axes.axvline(limit, color=GREY, linewidth=1, linestyle=(0, (4, 3)),
                     label="" if index else "budget: cycles of uniform bits", gid=f"budget-{group.bits}")
        crowded = any(0 < other - limit < CROWDED for other in limits)
        axes.annotate(f"of {group.bits}", (limit, 1), (-3 if crowded else 3, 3), color=GREY, textcoords="offset points",
                      xycoords=("data", "axes fraction"), ha="right" if crowded else "left")


def name_points(axes: Axes, uniform: Sequence[Group], mixed: Sequence[Group]) -> None:
    """Write the bits of uniform groups beside their marks, and beside mixed groups the points that they gain."""
    accuracy = {group.bits: mean(group.accuracy) for group in uniform}
    for group in uniform:
        axes.annotate(group.bits, group.point, (9, -4), color=UNIFORM, textcoords="offset points")
    for group in mixed:
        gain = f"{mean(group.accuracy) - accuracy[group.bits]:+.1f} points".replace("-", "\N{MINUS SIGN}")
        crowded = any(0 < group.point[0] - other.point[0] < CROWDED for other in mixed)
        axes.annotate(gain, group.point, (0, -29 if crowded else 18), color=MIXED, textcoords="offset points",
                      ha="center")


def decorate(axes: Axes) -> None:
    """Name the axes and what is drawn."""
    axes.set_xlabel("cycles for one image [thousands]")
    axes.set_ylabel("test accuracy [%]")
    axes.margins(x=0.1, y=0.13)
    axes.grid(axis="y", color="#dddddd", linewidth=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.legend(loc="lower center", frameon=False)


if __name__ == "__main__":
    main()
