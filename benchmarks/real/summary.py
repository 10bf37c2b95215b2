"""The table of all records, as docs/accuracy.md shows it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import mean
from typing import Any

from benchmarks.real.paired import Paired, pooled

__all__ = ["markdown", "rows"]

Record = Mapping[str, Any]
TITLES = {"efficientnet_lite0": "EfficientNet-Lite0", "resnet20": "ResNet-20", "glyph_mobilenet": "small MobileNet"}
SCHEMES = {"power_of_two": "powers of two", "uniform": "real steps", "lsq": "LSQ", "qil": "QIL"}
TRAINED = {"training": "trained", "budget": "trained, QBitOpt within these bits' cycles"}
APART = ("half", "seed")
"""Settings in which records of one row differ."""
COLUMNS = {"network": "", "scheme": "", "W/A": "", "how": "", "images": "d", "float %": ".2f", "Program %": ".2f",
           "drop": "+.2f", "± one standard error": ".2f", "agrees with float %": ".2f", "cycles": ",.0f", "µJ": ",.0f",
           "processor hours": ".2f"}
"""Columns, and how their numbers are written; words have no such."""


def markdown(records: Iterable[Record]) -> str:
    """Return a table in Markdown with a row for each configuration, over the images of both halves or of all seeds."""
    lines = [" | ".join(COLUMNS), "|".join("--:" if how else "---" for how in COLUMNS.values())]
    lines += [" | ".join(format(value, COLUMNS[name]) for name, value in row.items()) for row in rows(records)]
    return "\n".join(f"| {line} |" for line in lines) + "\n"


def rows(records: Iterable[Record]) -> list[dict[str, str | float]]:
    """Return the rows of that table, each by column."""
    found: defaultdict[tuple[str, ...], list[Record]] = defaultdict(list)
    for record in records:
        found[_row_of(record["settings"])].append(record)
    return [dict(zip(COLUMNS, _cells(parts), strict=True)) for _, parts in sorted(found.items())]


def _row_of(settings: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(f"{name}={value}" for name, value in settings.items() if name not in APART)


def _cells(parts: Sequence[Record]) -> list[str | float]:
    settings = parts[0]["settings"]
    found = pooled([Paired.from_json(part["answers"]) for part in parts])
    hours = sum(stage["cpu_s"] for part in parts for stage in part["stages"].values()) / 3600
    cycles, picojoules = (mean(part["cost"][name] for part in parts) for name in ("cycles", "energy_pj"))
    return [TITLES[settings["network"]], SCHEMES[settings["scheme"]], settings["bits"], _how(settings, len(parts)),
            len(found.right), found.float_accuracy, found.accuracy, found.drop, found.standard_error, found.agreement,
            cycles, picojoules / 1e6, hours]


def _how(settings: Mapping[str, Any], parts: int) -> str:
    if settings["method"] in TRAINED:
        how = f"{TRAINED[settings['method']]}, {settings['epochs']} epoch{'s' * (settings['epochs'] > 1)}"
    else:
        how = "no reconstruction" if settings["preset"] == "none" else f"reconstructed, {settings['preset']}"
    counted = [f"{settings['calibrate']} pictures"] if "calibrate" in settings else []
    options = [name for name in ("unmirrored",) if settings.get(name)]
    if "signed_bits" in settings:
        options.append(f"tensors of both signs {settings['signed_bits']} bits")
    if "precision" in settings:
        options.append(settings["precision"])
    if "outer_bits" in settings:
        options.append(f"first and last layers {settings['outer_bits']} bits")
    seeds = [f"{parts} seed{'s' * (parts > 1)}"] if "seed" in settings else []
    halves = [f"{settings['half']} half alone"] if "half" in settings and parts == 1 else []
    return ", ".join([how, *counted, *options, *seeds, *halves])
