"""The page of a comparison: figures side by side, which differences are certain, and layers that differ most."""

from __future__ import annotations

from bitwright.report.figure_names import FIGURE_NAMES
from bitwright.report.page import Axis, Bar, Bars, Page, Point, Scatter, Section, Series, Table
from bitwright.report.runs import ComparedCandidate, CompareRun, MachinesRun
from sim.energy.band import Band

__all__ = ["compare_page", "machines_page"]

MOST_DRAWN = 20
"""Layers that are drawn."""


def compare_page(run: CompareRun) -> Page:
    """Return the page of a comparison."""
    names = [one.name for one in run.candidates]
    points = tuple(point for one in run.candidates for point in _point(one))
    trade = Scatter("energy and latency", "Energy over latency; to the lower left is better. Whiskers are the bands.",
                    Axis("latency [ms]"), Axis("energy [mJ]"), (Series("candidates", points),))
    doubtful = sum(one.open for one in run.figures)
    return Page(f"{len(names)} candidates, compared with {names[0]}" if names else "Comparison", "compare", (), (
        Section("Candidates", (), (trade, _candidates(run))),
        Section("Differences", (
            f"{doubtful} of {len(run.figures)} are open: numbers inside the bands can turn their order around.",),
            (_differences(run),)),
        *((Section("Layers", (), (_drawn_layers(run), _layers(run))),) if run.layers else ())))


def machines_page(run: MachinesRun) -> Page:
    """Return the page of a comparison of machines: their parameters, and the area of every part."""
    first, others = run.machines[:1], run.machines[1:]
    drawn = Bars("area by part", "Area of every part that differs, in each machine.", "area [mm2]", ("area",), tuple(
        Bar(f"{one.part}, {name}", (band.nominal,), band) for one in run.areas
        for name, band in zip(run.machines, one.areas_mm2, strict=True) if band))
    columns = ("part", *(f"{name} [mm2]" for name in run.machines), *(f"order of {name}" for name in others))
    table = Table("areas", columns,
                  tuple((one.part, *one.areas_mm2, *("open" if doubt else "certain" for doubt in one.open[1:]))
                        for one in run.areas))
    parameters = Table("parameters", ("parameter", *run.machines), tuple(
        (name, *map(str, values)) for name, values in run.parameters.items()))
    return Page(f"Machines {', '.join(run.machines)}, compared with {''.join(first)}", "compare", (), (
        Section("Parameters", (), (parameters,)), Section("Areas", (
            "Of parts in which the machines differ. An order is open if numbers inside the bands can turn it around.",),
            (drawn, table))))


def _point(one: ComparedCandidate) -> list[Point]:
    latency, energy = one.figures.get("latency_ms"), one.figures.get("energy_mj")
    if not isinstance(latency, float) or not isinstance(energy, Band):
        return []
    return [Point(one.name, latency, energy.nominal, None, energy, (("machine", one.machine),))]


def _candidates(run: CompareRun) -> Table:
    keys = [key for key in FIGURE_NAMES if any(key in one.figures for one in run.candidates)]
    return Table("candidates", ("", "machine", "technology", "cycles", *(FIGURE_NAMES[key] for key in keys)), tuple(
        (one.name, one.machine, one.technology, one.latency_cycles, *(one.figures.get(key) for key in keys))
        for one in run.candidates))


def _differences(run: CompareRun) -> Table:
    return Table("differences", ("candidate", "figure", "of the first", "of this", "ratio", "order"), tuple(
        (one.other, FIGURE_NAMES.get(one.figure, one.figure), one.first_value, one.other_value, one.ratio,
         "open" if one.open else "certain") for one in run.figures))


def _drawn_layers(run: CompareRun) -> Bars:
    layers = run.layers[:MOST_DRAWN]
    return Bars("cycles of the layers that differ most", "Cycles of each layer in every candidate.", "cycles",
                ("cycles",), tuple(Bar(f"{layer.layer}, {one.name}", (float(count or 0),)) for layer in layers
                      for one, count in zip(run.candidates, layer.latency_cycles, strict=True)))


def _layers(run: CompareRun) -> Table:
    names = [one.name for one in run.candidates]
    columns = ("layer", *(f"{name} [cycles]" for name in names), *(f"{name} [nJ]" for name in names))
    return Table("layers", columns, tuple(
        (layer.layer, *layer.latency_cycles, *(None if used is None else used / 1e3 for used in layer.energy_pj))
        for layer in run.layers))
