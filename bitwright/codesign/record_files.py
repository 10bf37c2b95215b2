"""Records of what a command has measured, in three files: JSON, CSV and a figure."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from bitwright.codesign.json_text import to_json
from sim.io.atomic_write import atomic_write, atomic_write_text

__all__ = ["record_files", "write_record"]


def record_files(out: Path, name: str) -> tuple[Path, Path, Path]:
    """Return where `write_record` puts JSON, CSV and the figure in a folder."""
    return out / f"{name}.json", out / f"{name}.csv", out / f"{name}.svg"


def write_record(out: Path, name: str, data: Any, columns: Sequence[str], rows: Iterable[Mapping[str, Any]],
                 figure: Figure) -> list[Path]:
    """Write a record into a folder, and return the files.

    Parameters
    ----------
    out : Path
    name : str
        Of the files, without their endings.
    data
        What the JSON holds.
    columns : sequence of str
        Of the CSV.
    rows : iterable of mapping
        By the names of the columns; an empty cell stands for None.
    figure : Figure
    """
    as_json, as_csv, as_figure = record_files(out, name)
    table, image = StringIO(), BytesIO()
    writer = csv.DictWriter(table, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    figure.savefig(image, format="svg")
    atomic_write_text(as_json, to_json(data))
    atomic_write_text(as_csv, table.getvalue())
    with atomic_write(as_figure) as stream:
        stream.write(image.getvalue())
    return [as_json, as_csv, as_figure]
