"""The page of an exploration: the Pareto front among all candidates, and what was dropped or is beyond a limit."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from bitwright.report.figure_names import FIGURE_NAMES
from bitwright.report.page import Axis, Cell, Page, Point, Scatter, Section, Series, Table
from bitwright.report.runs import Explored, ExploreRun
from sim.energy.band import Band

__all__ = ["explore_page"]

MOST_POINTS, MOST_FRONT, MOST_REASONS = 600, 300, 20
"""Candidates off and on the front that are drawn, and reasons that are listed."""
WIDE = 30.0
"""An axis whose values are further apart than by this factor is logarithmic."""
WITHIN = "within"
VALUE = re.compile(r" is [0-9.e+-]+,")
"""What tells apart the reasons of candidates that are beyond the same limit."""


def explore_page(run: ExploreRun, name: str) -> Page:
    """Return the page of an exploration; `name` is that of its folder."""
    within = sum(one.status == WITHIN for one in run.candidates)
    front = [one for one in run.candidates if one.on_front]
    state = () if run.finished else (("state", "not finished"),)
    return Page(f"Exploration {name}", "explore", (
        *state, ("points", run.points), ("evaluated", len(run.candidates)), ("within the limits", within),
        ("on the front", len(front))), (
        Section("Front", tuple(_sentences(run)), (*_fronts(run), _front_table(run, front))),
        Section("Left out", (), tuple(_left_out(run))),
        Section("Space", (), (Table("space file", ("line", "text"), tuple(
            (number, text) for number, text in enumerate(run.space.splitlines(), 1))),))))


def _sentences(run: ExploreRun) -> list[str]:
    limits = " and ".join(f"{figure} {limit:g}" for figure, limit in run.limits.items())
    better = f"each is better than every other in one of {', '.join(run.objectives)}"
    return [f"Candidates within {limits or 'no limits'} of which {better}.",
            f"Search: {run.method}, seed {run.seed}, from machine '{run.machine}', prices of '{run.technology}'."]


def _fronts(run: ExploreRun) -> list[Scatter]:
    """Draw the first objective against each other one."""
    first, *others = run.objectives
    return [_front(run, first, other) for other in others]


def _front(run: ExploreRun, first: str, other: str) -> Scatter:
    kinds = {"on the front": [one for one in run.candidates if one.on_front][:MOST_FRONT],
             "within the limits": _some([one for one in run.candidates
                                         if one.status == WITHIN and not one.on_front]),
             "beyond a limit": _some([one for one in run.candidates if one.status not in (WITHIN, "refused")])}
    series = tuple(Series(kind, tuple(_point(one, first, other) for one in found
                                      if _band(one, first) and _band(one, other)), faint=number > 0)
                   for number, (kind, found) in enumerate(kinds.items()))
    points = [point for one in series for point in one.points]
    of_all = sum(one.status != "refused" for one in run.candidates)
    part = "" if len(points) == of_all else f" {len(points)} of {of_all} candidates are drawn, the front among them."
    return Scatter(f"{_name(other)} over {_name(first)}", f"To the lower left is better.{part}",
                   Axis(_name(first), _is_wide([point.x for point in points])),
                   Axis(_name(other), _is_wide([point.y for point in points])), series)


def _some(found: Sequence[Explored]) -> Sequence[Explored]:
    """Return at most so many candidates as are drawn, spread evenly over all."""
    return found[::-(-len(found) // MOST_POINTS)] if len(found) > MOST_POINTS else found


def _point(one: Explored, first: str, other: str) -> Point:
    more: tuple[tuple[str, Cell], ...] = (("bits", one.choice), *one.parameters.items())
    return Point(f"candidate {one.number}", _end(one, first), _end(one, other), more=more)


def _front_table(run: ExploreRun, front: Sequence[Explored]) -> Table:
    parameters = [name for name in (front[0].parameters if front else ())
                  if len({one.parameters.get(name) for one in run.candidates}) > 1]
    figures = list(dict.fromkeys(text.partition(".")[0] for text in (*run.objectives, *run.limits)))
    return Table("candidates on the front", (
        "candidate", *parameters, "bits", *(FIGURE_NAMES.get(figure, figure) for figure in figures)), tuple(
        (one.number, *(one.parameters.get(name) for name in parameters), one.choice,
         *(_plain(one.figures.get(figure)) for figure in figures)) for one in front))


def _plain(band: Band | None) -> Cell:
    """Return a number without a band as it is."""
    return band.nominal if band is not None and band.low == band.high else band


def _left_out(run: ExploreRun) -> list[Table]:
    reasons = [(one.status, VALUE.sub(",", one.reason), one) for one in run.candidates if one.status != WITHIN]
    first = {(status, reason): one for status, reason, one in reversed(reasons)}
    refused = Table("candidates that were refused or are beyond a limit", (
        "candidates", "status", "the first by"), tuple(
        (count, key[0], first[key].reason)
        for key, count in Counter((status, reason) for status, reason, _ in reasons).most_common(MOST_REASONS)))
    dropped = Table("combinations that are no machines", ("machines", "rule", "the first of them"), tuple(
        (machines, rule, example) for rule, machines, example in run.dropped))
    return [table for table in (dropped, refused) if table.rows]


def _band(one: Explored, objective: str) -> Band | None:
    return one.figures.get(objective.partition(".")[0])


def _end(one: Explored, objective: str) -> float:
    band, end = _band(one, objective), objective.partition(".")[2] or "nominal"
    return float(getattr(band, end if end in ("low", "high") else "nominal"))


def _name(objective: str) -> str:
    figure, _, end = objective.partition(".")
    name = FIGURE_NAMES.get(figure, figure)
    return name if end in ("", "nominal") else f"{name}, {end} end"


def _is_wide(values: Sequence[float]) -> bool:
    return bool(values) and min(values) > 0 and max(values) / min(values) > WIDE
