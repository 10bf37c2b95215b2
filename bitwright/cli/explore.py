"""`bitwright explore`: the machines, memories and bits of a space, and which of them are best."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bitwright.cli.console import Report, show, steps
from bitwright.cli.options import MAX_WORKERS, AsJson
from bitwright.cli.parameter_types import file_argument, integer, path_option

if TYPE_CHECKING:
    from bitwright.explore.explore import Exploration
    from bitwright.explore.finalists import Finalist

__all__ = ["explore"]

MOST_RULES = 20
"""Rules that are shown; the file of results has all."""
SECONDS = 5.0


def explore(
    space: Annotated[Path, file_argument("The space, *.yaml: networks, a machine with parameters to vary, limits, "
                                         "objectives, a search.")],
    out: Annotated[Path, path_option("Folder for the results, results.sqlite; an interrupted run goes on there.",
                                     "--out", "-o")] = Path("explore-out"),
    jobs: Annotated[int, integer(1, MAX_WORKERS, "Processes that evaluate candidates.", "--jobs", "-j")] = 1,
    scheduler: Annotated[str | None, typer.Option(
        "--scheduler", metavar="ADDRESS", help="Dask scheduler whose workers evaluate candidates; `local`: one of this "
        "machine, with --jobs workers.")] = None,
    csv: Annotated[Path | None, path_option("File for the front as a table, *.csv.", "--csv")] = None,
    as_json: AsJson = False,
) -> None:
    """Evaluate the machines, memories and bits of a space, and show which are best."""
    from bitwright.cli.output_guard import check_apart
    from bitwright.explore.explore import explore as run_space
    from bitwright.explore.front_table import csv_text, front_table
    from bitwright.explore.tables import RESULTS
    from bitwright.farm.open_workers import open_workers
    from sim.io.atomic_write import atomic_write_text

    check_apart([csv, out / RESULTS], [space])
    with open_workers(jobs, scheduler) as workers, steps("explore", None, SECONDS) as progress:
        found = run_space(space, out, workers, lambda stand, within: progress.done(
            f"{stand}; {within:,} within the limits"))
    columns, rows = front_table(found)
    if csv is not None:
        atomic_write_text(csv, csv_text(columns, rows))
    report = Report(_data(found, [dict(zip(columns, row, strict=True)) for row in rows]))
    if found.dropped:
        report.table("combinations that are no machines", ["machines", "the first was refused by"],
                     [[one.machines, one.example] for one in found.dropped[:MOST_RULES]])
    if found.refused:
        report.table("candidates that were refused", ["candidates", "the first by"],
                     [[count, example] for example, count in found.refused[:MOST_RULES]])
    report.table(f"front of {', '.join(map(str, found.space.wanted))}", columns, rows)
    _add_finalists(report, found.finalists)
    report.lines.append(_summary(found))
    if not found.within and found.nearest is not None:
        report.lines.append(f"none keeps the limits; the nearest is candidate {found.nearest.candidate.number}, where "
                            f"{found.nearest.reason}")
    report.lines.append(f"results are in {out / RESULTS}"
                        + (f", finalists in {out}/candidate-*" if found.finalists else ""))
    show(report, as_json)


def _data(found: Exploration, front: list[dict[str, object]]) -> dict[str, Any]:
    return {"machine": found.machine.name, "technology": found.technology.name, "points": found.points,
            "dropped": found.dropped, "evaluated": found.evaluated, "within": found.within,
            "refused": [{"reason": reason, "candidates": count} for reason, count in found.refused],
            "objectives": [str(figure) for figure in found.space.wanted],
            "limits": {str(figure): limit for figure, limit in found.space.bounds.items()}, "front": front,
            "finalists": found.finalists}


def _add_finalists(report: Report, finalists: Sequence[Finalist]) -> None:
    """Add what the simulation of finalists says."""
    if not finalists:
        return
    measured = any(one.accuracy is not None for one in finalists)
    report.table(
        "finalists, simulated", ["candidate", "network", "Program of", "ms", "energy mJ", "high", "mW", "high",
                                 *(["accuracy %"] if measured else []), "limits and budgets"],
        [[one.candidate, one.network, "the trained network" if one.quantized else "its shapes",
          one.figures["latency_ms"][1], *one.figures["energy_mj"][1:], *one.figures["power_mw"][1:],
          *(["" if one.accuracy is None else 100 * one.accuracy] if measured else []), _verdict(one)]
         for one in finalists])


def _verdict(one: Finalist) -> str:
    broken = [str(check) for check in one.checks if not check.holds]
    return "; ".join(broken) or (f"all {len(one.checks)} hold" if one.checks else "none")


def _summary(found: Exploration) -> str:
    dropped, refused = sum(one.machines for one in found.dropped), sum(count for _, count in found.refused)
    limits = " and ".join(f"{figure} {limit:g}" for figure, limit in found.space.bounds.items())
    return (f"{found.points:,} points; {dropped:,} machines dropped; {found.evaluated:,} candidates evaluated: "
            f"{refused:,} refused, {found.within:,} within {limits or 'no limits'}; {len(found.front):,} on the front")
