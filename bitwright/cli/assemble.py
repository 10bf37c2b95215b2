"""`bitwright assemble` and `bitwright disasm`: Programs as a machine takes them, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bitwright.cli.output_guard import check_apart
from bitwright.console import Report, show
from rtl.encoding.fields import Fields, compute_fields, inward_fields, outward_fields
from rtl.encoding.geometry import Geometry
from rtl.encoding.program_image import TABLES, load_image
from rtl.host.assembler import MANIFEST, PROGRAM, STREAM, write_assembly
from sim.arch.machine import load_machine
from sim.ir.serialize import load_program
from sim.plan.plan import plan

__all__ = ["run_assemble", "run_disasm"]

Words = dict[str, int | list[int]]


def run_assemble(path: Path, machine: str, out: Path, as_json: bool) -> None:
    """`bitwright assemble`."""
    check_apart([out / name for name in (PROGRAM, STREAM, MANIFEST)], [path, machine])
    target = load_machine(machine)
    written = write_assembly(plan(load_program(path), target), out)
    report = Report({"machine": target.name, "files": [str(file) for file in written]})
    report.table(f"{path} for machine '{target.name}'", ["file", "bytes"],
                 [[str(file), file.stat().st_size] for file in written])
    show(report, as_json)


def run_disasm(path: Path, machine: str, as_json: bool) -> None:
    """`bitwright disasm`."""
    target = load_machine(machine)
    geometry = Geometry(target)
    image = load_image(path, geometry)
    tables = {name: [dict(word) for word in getattr(image, name)] for name in TABLES}
    report = Report({"machine": target.name, "header": dict(image.header), **tables, "meanings": _meanings(geometry)})
    report.lines += [f"{table} {index}: {_kind(table, word)}, op {word['op']}, after {_waits(word)}: "
                     f"{_others(word)}" for table, words in tables.items() for index, word in enumerate(words)]
    report.lines.append("fields that are 0 are left out; --json has all, and what they mean")
    show(report, as_json)


def _meanings(geometry: Geometry) -> dict[str, dict[str, str]]:
    fields: dict[str, Fields] = {"compute": compute_fields(geometry), "inward": inward_fields(geometry),
                                 "outward": outward_fields(geometry)}
    return {table: {name: field.meaning for name, field in fields[table].items()} for table in TABLES}


def _kind(table: str, word: Words) -> str:
    match table:
        case "compute":
            return "Pool" if word["pool"] else "Conv"
        case "inward":
            return "Load" if word["load"] else "row tiles"
        case _:
            return "Store"


def _waits(word: Words) -> str:
    waits = [f"{count} {name.removeprefix('after_')}" for name, count in word.items()
             if name.startswith("after_") and count]
    return ", ".join(waits) or "nothing"


def _others(word: Words) -> str:
    shown = {name: value for name, value in word.items() if name not in ("valid", "load", "pool", "op")}
    return " ".join(f"{name}={_text(value)}" for name, value in shown.items()
                    if not name.startswith("after_") and _text(value) != "0")


def _text(value: Any) -> str:
    """A number, or an array as `[0,1]`; an array of zeros is 0."""
    if isinstance(value, list):
        return f"[{','.join(map(str, value))}]" if any(value) else "0"
    return str(value)
