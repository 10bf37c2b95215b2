"""The table of all models, as docs/interop.md shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["markdown"]


def markdown(rows: Sequence[Mapping[str, Any]], machine: str) -> str:
    """Return a table in Markdown; `rows` are those of `benchmarks.others.measure` as JSON has them."""
    titles = ["model", "nodes", "images", "codes", f"differ on `{machine}`", "largest", "differ with 10 digits",
              "accuracy of the model, of the Program", "same answers", "cycles"]
    lines = [titles, ["---" if title.startswith(("model", "acc")) else "--:" for title in titles],
             *(_cells(row) for row in rows)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _cells(row: Mapping[str, Any]) -> list[str]:
    cells = [row["file"], str(row["nodes"]), str(row["images"])]
    if row["refused"]:
        return [*cells, "refused", *[""] * 6]
    differing, precise = (_share(row[kind], row["codes"]) for kind in ("differing", "differing_precise"))
    accuracy = ", ".join(_percent(row[kind]) for kind in ("accuracy_reference", "accuracy"))
    return [*cells, f"{row['codes']:,}", differing, str(row["largest"]), precise, accuracy.strip(", "),
            _percent(row["same_answers"]), f"{row['cycles']:,}"]


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"


def _share(count: int, of: int) -> str:
    return f"{100 * count / of:.2g} %" if count else "none"
