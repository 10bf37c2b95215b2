"""The front as a table: a row for each candidate, with its parameters, bits and figures."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from io import StringIO

from bitwright.explore.candidate import Evaluated
from bitwright.explore.explore import Exploration
from bitwright.explore.space import Space

__all__ = ["csv_text", "front_table"]

Row = list[object]


def front_table(found: Exploration) -> tuple[list[str], list[Row]]:
    """Return columns and rows: candidate, parameters that vary, bits, objectives, limits.

    Of a limit that holds for each network the column has the value that is nearest to it.
    """
    space = found.space
    varied = {name for name, values in space.machine.axes.items() if len(values) > 1}
    parameters = [name for name in space.machine.axes if name in varied]
    parameters += [name for name, expression in space.machine.derived.items() if expression.names & varied]
    networks = [place for place, network in enumerate(space.networks) if len(network.choices) > 1]
    bits = [f"bits of {space.networks[place].label}" if len(space.networks) > 1 else "bits" for place in networks]
    limits = [figure for figure in space.bounds if figure not in space.wanted or len(space.networks) > 1]
    columns = ["candidate", *parameters, *bits, *map(str, space.wanted), *(f"worst {figure}" for figure in limits)]
    return columns, [[one.candidate.number, *(one.candidate.parameters[name] for name in parameters),
                      *(_choice(space, one, place) for place in networks), *one.objectives(space.wanted),
                      *(figure.worst(one.each(figure).values()) for figure in limits)] for one in found.front]


def csv_text(columns: Sequence[str], rows: Sequence[Row]) -> str:
    """Return a table as comma-separated values, numbers in full."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()


def _choice(space: Space, one: Evaluated, place: int) -> str:
    return space.networks[place].choice_names[one.candidate.point.choices[place]]
