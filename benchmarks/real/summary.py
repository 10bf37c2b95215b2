"""The table of all records, as docs/accuracy.md shows it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.real.paired import Paired, pooled

__all__ = ["markdown"]

Record = Mapping[str, Any]
TITLES = {"efficientnet_lite0": "EfficientNet-Lite0", "resnet20": "ResNet-20", "glyph_mobilenet": "small MobileNet"}
SCHEMES = {"power_of_two": "powers of two", "uniform": "real steps", "lsq": "LSQ", "qil": "QIL"}
APART = ("half", "seed")
"""Settings in which records of one row differ."""
COLUMNS = ("network", "scheme", "W/A", "how", "images", "float %", "Program %", "drop", "± one standard error",
           "agrees with float %", "cycles", "µJ", "processor hours")
LEFT = 4
"""Columns that hold words."""


def markdown(records: Iterable[Record]) -> str:
    """Return a table in Markdown with a row for each configuration, over the images of both halves or of all seeds."""
    rows: defaultdict[tuple[str, ...], list[Record]] = defaultdict(list)
    for record in records:
        rows[_row_of(record["settings"])].append(record)
    lines = [" | ".join(COLUMNS), "|".join(["---"] * LEFT + ["--:"] * (len(COLUMNS) - LEFT))]
    lines += [" | ".join(_cells(parts)) for _, parts in sorted(rows.items())]
    return "\n".join(f"| {line} |" for line in lines) + "\n"


def _row_of(settings: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(f"{name}={value}" for name, value in settings.items() if name not in APART)


def _cells(parts: Sequence[Record]) -> list[str]:
    settings = parts[0]["settings"]
    found = pooled([Paired.from_json(part["answers"]) for part in parts])
    hours = sum(stage["cpu_s"] for part in parts for stage in part["stages"].values()) / 3600
    cost = [part["cost"] for part in parts]
    return [TITLES[settings["network"]], SCHEMES[settings["scheme"]], settings["bits"], _how(settings, len(parts)),
            str(len(found.right)), f"{found.float_accuracy:.2f}", f"{found.accuracy:.2f}", f"{found.drop:+.2f}",
            f"{found.standard_error:.2f}", f"{found.agreement:.2f}", _mean(cost, "cycles", 1, 0),
            _mean(cost, "energy_pj", 1e6, 0), f"{hours:.2f}"]


def _how(settings: Mapping[str, Any], parts: int) -> str:
    if settings["method"] == "training":
        how = f"trained, {settings['epochs']} epochs"
    else:
        how = "no reconstruction" if settings["preset"] == "none" else f"reconstructed, {settings['preset']}"
    counted = [f"{settings['calibrate']} pictures"] if "calibrate" in settings else []
    options = [name for name in ("unmirrored",) if settings.get(name)]
    seeds = [f"{parts} seeds"] if "seed" in settings else []
    halves = [f"{settings['half']} half alone"] if "half" in settings and parts == 1 else []
    return ", ".join([how, *counted, *options, *seeds, *halves])


def _mean(cost: Sequence[Mapping[str, float]], name: str, unit: float, digits: int) -> str:
    return f"{sum(each[name] for each in cost) / len(cost) / unit:,.{digits}f}"
