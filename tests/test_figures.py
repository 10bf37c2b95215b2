"""Figures of the documentation show what the RTL does and what was measured."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import mean

import pytest

ROOT = Path(__file__).parents[1]
SVG = "{http://www.w3.org/2000/svg}"


def check(script: str) -> None:
    """A drawing script must find its figure current."""
    done = subprocess.run([sys.executable, ROOT / "scripts" / script, "--check"], capture_output=True, text=True,
                          check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_timing_diagram_is_current() -> None:
    """Drawn again from a run on the RTL the timing diagram is the one in docs/, and its arrows span the contract's
    constants."""
    check("draw_timing.py")


def test_the_figure_of_reports_is_current() -> None:
    """Estimated and drawn again the figure is the one in docs/, byte for byte."""
    check("draw_report.py")


def test_the_accuracy_figure_is_current() -> None:
    """Drawn again from the committed results the figure is the one in docs/, byte for byte."""
    check("draw_accuracy.py")


def test_the_accuracy_figure_shows_the_results() -> None:
    """Read back through the labels of its axes, the figure has a mark at the mean of every group of runs, and a line at
    every budget: those of the committed results."""
    figure = ElementTree.parse(ROOT / "docs" / "accuracy_cycles.svg").getroot()
    kilocycles, percent = axis(figure, "xtick"), axis(figure, "ytick")
    groups, limits = defaultdict(list), defaultdict(list)
    for run in json.loads((ROOT / "benchmarks" / "results" / "accuracy-full.json").read_text())["runs"]:
        settings = run["settings"]
        wanted = settings.get("scheme") == "lsq" and settings.get("epochs") == 8 and run["network"] == "resnet8"
        cycles = settings.get("budget", "latency_cycles") == "latency_cycles" and settings.get("when") != "once"
        if wanted and cycles:
            name = "mixed" if run["method"] == "mixed" else "uniform"
            groups[name, settings.get("bits", settings.get("of"))].append(run)
            limits[settings.get("of")].append(run.get("limit"))
    for name in ("uniform", "mixed"):
        expected = sorted((mean(run["cost"]["latency_cycles"] for run in group) / 1000,
                           mean(run["accuracy"]["test"] for run in group))
                          for (kind, _), group in groups.items() if kind == name)
        shown = sorted((kilocycles(x), percent(y)) for x, y in marks(figure, name))
        assert len(shown) == len(expected)
        for one, other in zip(shown, expected, strict=True):
            assert one == pytest.approx(other, abs=1e-3)
    for bits, values in limits.items():
        if bits:
            ((x, _), (same, _)) = line(figure, f"budget-{bits}")
            assert x == same
            assert kilocycles(x) == pytest.approx(min(values) / 1000, abs=1e-3)


def axis(figure: ElementTree.Element, prefix: str) -> Callable[[float], float]:
    """Return the map from a position along an axis to the value there, from the first and the last label."""
    coordinate = 0 if prefix == "xtick" else 1
    labels = []
    for group in figure.iter(f"{SVG}g"):
        if re.fullmatch(rf"{prefix}_\d+", group.get("id", "")):
            position = float(next(group.iter(f"{SVG}use")).get("xy"[coordinate]))
            labels.append((position, float(next(group.iter(f"{SVG}text")).text)))
    (first, low), (last, high) = labels[0], labels[-1]
    return lambda position: low + (position - first) * (high - low) / (last - first)


def marks(figure: ElementTree.Element, name: str) -> list[tuple[float, float]]:
    """Return the positions of the marks of a plotted line."""
    (group,) = (group for group in figure.iter(f"{SVG}g") if group.get("id") == name)
    return [(float(use.get("x")), float(use.get("y"))) for use in group.iter(f"{SVG}use")]


def line(figure: ElementTree.Element, name: str) -> list[tuple[float, float]]:
    """Return the corners of a plotted line without marks."""
    (group,) = (group for group in figure.iter(f"{SVG}g") if group.get("id") == name)
    (path,) = group.iter(f"{SVG}path")
    return [(float(x), float(y)) for x, y in re.findall(r"[ML] (\S+) (\S+)", path.get("d"))]


def test_the_block_diagram_names_files_of_the_hardware() -> None:
    """Every block names the files that describe it, and each of them is there."""
    figure = (ROOT / "docs" / "block.svg").read_text()
    named = {name for text in re.findall(r'class="file"[^>]*>([^<]+)<', figure) for name in re.findall(r"\w+", text)}
    files = {path.stem for folder in ("core", "shell") for path in (ROOT / "rtl" / folder).rglob("*.py")}
    assert named
    assert named - files == set()
    frames = re.findall(r"\((rtl/[^)]*)\)", figure)
    assert len(frames) == 2
    assert all((ROOT / frame).is_file() for frame in frames)
