"""What `bitwright disassemble` shows: every op of every queue, by the names of its fields."""

from __future__ import annotations

from typing import Any

from bitwright.cli.console import Report
from rtl.core.interfaces import OPERAND_ENGINES
from rtl.encoding.geometry import Geometry
from rtl.encoding.program_image import TABLES, Image
from sim.hardware.fields import Fields, compute_fields, inward_fields, outward_fields

__all__ = ["image_report"]

Words = dict[str, int | list[int]]


def image_report(image: Image, machine: str, geometry: Geometry) -> Report:
    """Report a program image: a line for each op, and as data every field with its meaning."""
    tables = {name: [dict(word) for word in getattr(image, name)] for name in TABLES}
    report = Report({"machine": machine, "header": dict(image.header), **tables, "meanings": _meanings(geometry)})
    report.lines += [f"{table} {index}: {_kind(table, word)}, op {word['op']}, after {_waits(word)}: "
                     f"{_others(word)}" for table, words in tables.items() for index, word in enumerate(words)]
    report.lines.append("fields that are 0 are left out; --json has all, and what they mean")
    return report


def _meanings(geometry: Geometry) -> dict[str, dict[str, str]]:
    fields: dict[str, Fields] = {"compute": compute_fields(geometry), "inward": inward_fields(geometry),
                                 "outward": outward_fields(geometry)}
    return {table: {name: field.meaning for name, field in fields[table].items()} for table in TABLES}


def _kind(table: str, word: Words) -> str:
    match table:
        case "compute":
            return next((flag.capitalize() for flag in OPERAND_ENGINES if word[flag]), "Conv")
        case "inward":
            return "Load" if word["load"] else "row tiles"
        case _:
            return "Store"


def _waits(word: Words) -> str:
    waits = [f"{count} {name.removeprefix('after_')}" for name, count in word.items()
             if name.startswith("after_") and count]
    return ", ".join(waits) or "nothing"


def _others(word: Words) -> str:
    shown = {name: value for name, value in word.items() if name not in ("valid", "load", "op", *OPERAND_ENGINES)}
    return " ".join(f"{name}={_text(value)}" for name, value in shown.items()
                    if not name.startswith("after_") and _text(value) != "0")


def _text(value: Any) -> str:
    """Write a number, or an array as `[0,1]`; an array of zeros is 0."""
    if isinstance(value, list):
        return f"[{','.join(map(str, value))}]" if any(value) else "0"
    return str(value)
