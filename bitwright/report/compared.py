"""Programs and machines compared from Python, as a table and a figure in notebooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from bitwright.codesign.comparison import (
    Candidate,
    FigureComparison,
    LayerComparison,
    compare_figures,
    compare_layers,
)
from bitwright.codesign.costs import estimate
from bitwright.codesign.resolve import resolve_machine, resolve_technology
from bitwright.report.draw import draw
from bitwright.report.figure_names import FIGURE_NAMES
from bitwright.report.markup import as_html
from bitwright.report.of_estimate import trade_figure
from sim.arch.machine import Machine
from sim.energy.technology import Technology
from sim.errors import InputError
from sim.io.html_table import html_table
from sim.ir.program import Program

__all__ = ["Compared", "compare"]


@dataclass(frozen=True)
class Compared:
    """Candidates side by side.

    Attributes
    ----------
    candidates : tuple of Candidate
    figures : tuple of FigureComparison
        Every figure of the first and of each other one.
    layers : tuple of LayerComparison
        Those first whose latencies differ most.
    """

    candidates: tuple[Candidate, ...]
    figures: tuple[FigureComparison, ...]
    layers: tuple[LayerComparison, ...]

    def _repr_html_(self) -> str:
        costs = {one.name: one.cost for one in self.candidates}
        first = self.candidates[0]
        table = html_table("candidates", ["", "machine", "cycles", *FIGURE_NAMES.values()], (
            [one.name, one.on, one.cost.latency_cycles,
             *(one.cost.figures.get(name) for name in FIGURE_NAMES)] for one in self.candidates))
        differences = html_table(f"against {first.name}", ["", "figure", "ratio", "order"], (
            [one.other, FIGURE_NAMES.get(one.figure, one.figure), one.ratio, "open" if one.open else "certain"]
            for one in self.figures))
        prefix = f"c{sha256(table.encode()).hexdigest()[:12]}"  # identifiers of several outputs stay apart
        return as_html(draw(trade_figure("energy and latency", costs), prefix)) + table + differences


def compare(programs: Mapping[str, Program], machines: Machine | str | Path | Sequence[Machine | str | Path], *,
            technology: Technology | str | Path | None = None) -> Compared:
    """Compare what Programs cost on machines, and tell which differences prices inside their bands leave open.

    Parameters
    ----------
    programs : mapping of str to Program
        By what they are called.
    machines : Machine, str or Path, or several
        Built-in machines by their names (tiny, edge, large), or YAML files that describe some.
    technology : Technology, str or Path, optional
        Energy of every event: a built-in table by its name, or a YAML file; that of each machine if None.

    Returns
    -------
    Compared
        Every Program on every machine, compared with the first; a figure and tables in a notebook.

    Raises
    ------
    InputError
        If there are no Programs or machines, there is no such machine or technology, or a Program does not fit.
    """
    several = machines if isinstance(machines, Sequence) and not isinstance(machines, str) else [machines]
    candidates = []
    for name, program in programs.items():
        for machine in map(resolve_machine, several):
            priced = resolve_technology(technology, machine)
            called = f"{name} on {machine.name}" if len(several) > 1 else name
            candidates.append(Candidate(called, machine, priced, estimate(program, machine, technology=priced)))
    if not candidates:
        raise InputError("there must be at least one Program and one machine to compare, not "
                         f"{len(programs)} and {len(several)}")
    return Compared(tuple(candidates), tuple(compare_figures(candidates)), tuple(compare_layers(candidates)))
