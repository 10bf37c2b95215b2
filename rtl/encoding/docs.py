"""The tables of a program for people: every field, its bits and its meaning, as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from rtl.encoding.geometry import Geometry
from rtl.encoding.program_image import HEADER
from sim.hardware.fields import Field, Fields, compute_fields, inward_fields, outward_fields

__all__ = ["encoding_markdown"]

HEAD = """\
# Encoding of programs

A program image is a header, the words of three tables, and a checksum: see [interface](interface.md#program-image).
These are all fields of all words, lowest bits first. A count marked "less one" is stored minus 1. Addresses are words
of an activation bank, calculated modulo its size. Fields that an op does not use are 0. Widths that depend on the
machine are given for the built-in ones. `bitwright generate` writes the offsets for a machine as JSON, `bitwright
disassemble` shows an image by these names. The page is made from `sim.hardware.fields`, like the hardware.
"""
TABLES = {
    "Compute table": ("The table has a word for every Conv and Pool, in order.", compute_fields),
    "Inward table": ("The table has a word for every Conv and Load, in order, then a word of zeros, which ends it.",
                     inward_fields),
    "Outward table": ("The table has a word for every Store, in order, then a word of zeros, which ends it.",
                      outward_fields),
}


def encoding_markdown(geometries: Sequence[Geometry]) -> str:
    """Return a page with the fields of every table and their widths on some machines.

    Parameters
    ----------
    geometries : sequence of Geometry
        A column each.
    """
    lines = [HEAD, "## Header", "", "| field | bits |", "|---|---|"]
    lines += [f"| `{name}` | {field.width} |" for name, field in HEADER]
    names = [geometry.machine.name for geometry in geometries]
    for title, (text, fields) in TABLES.items():
        lines += ["", f"## {title}", "", text, "", f"| field | bits: {', '.join(names)} | meaning |", "|---|---|---|"]
        lines += _rows([fields(geometry) for geometry in geometries])
    return "\n".join(lines) + "\n"


def _rows(machines: list[Fields]) -> list[str]:
    return [f"| `{name}` | {_widths([fields[name] for fields in machines])} | {field.meaning} |"
            for name, field in machines[0].items()]


def _widths(fields: list[Field]) -> str:
    """Return one width if all machines have the same, else one for each; arrays as count × width."""
    widths = [_width(field) for field in fields]
    return widths[0] if len(set(widths)) == 1 else ", ".join(widths)


def _width(field: Field) -> str:
    return f"{field.length} × {field.bits}" if field.length else str(field.bits)
