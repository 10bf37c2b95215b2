"""The table of all networks, as docs/models.md shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["markdown"]

TITLES = ("network", "nodes", "ops", "W8A8 from float [dB]", "its own measure (float, Program)", "cycles",
          "energy [µJ]", "engines", "RTL")


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a table in Markdown; `rows` are those of `benchmarks.models.measure` as JSON has them."""
    lines = [TITLES, ["---" if title in ("network", TITLES[4], "RTL") else "--:" for title in TITLES],
             *(_cells(row) for row in rows)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _cells(row: Mapping[str, Any]) -> list[str]:
    if row["refused"]:
        return [row["model"], str(row["nodes"]), "", "", f"refused: {'; '.join(row['refused'])}", *[""] * 4]
    nominal, low, high = row["energy_uj"]
    task = "; ".join(f"{what} {_measures(*found)}" for what, found in row["task"].items())
    differing = sum(found[1] for found in row["compared"].values())
    ops = "" if row["ops"] is None else str(row["ops"])
    return [row["model"], str(row["nodes"]), ops, ", ".join(f"{each:.1f}" for each in row["sqnr_db"]), task,
            f"{row['cycles']:,}", f"{nominal:.0f} ({low:.0f}…{high:.0f})",
            f"{differing:,} codes differ" if differing else "equal" if row["compared"] else "", _rtl(row["rtl"])]


def _measures(real: float | None, ours: float) -> str:
    return _number(ours) if real is None else f"{_number(real)}, {_number(ours)}"


def _number(value: float) -> str:
    return f"{value:.0f}" if value > 1 else f"{100 * value:.1f} %"


def _rtl(found: Mapping[str, Mapping[str, Any]]) -> str:
    return "; ".join(f"{'all' if len(run['ops']) == run['of'] else len(run['ops'])} of {run['of']} ops on "
                     f"`{run['machine']}` {'equal' if run['exact'] else 'DIFFER'}" for run in found.values())
