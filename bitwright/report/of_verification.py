"""Sections of verifications: codes, cycles and counters of every engine, and where they depart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bitwright.report.page import Bar, Bars, Page, Section, Table
from bitwright.report.runs import LayersRun, VerifyRun

__all__ = ["verification_sections", "verify_page"]


def verify_page(run: VerifyRun, name: str) -> Page:
    """Return the page of a verification; `name` is that of its file."""
    codes, wrong = sum(one.codes for one in run.comparisons), sum(one.mismatches for one in run.comparisons)
    return Page(f"Verification: {name}", "verify", (
        ("verdict", "equal" if run.ok else "NOT EQUAL"), ("codes compared", codes), ("codes that differ", wrong),
        ("cycles predicted", max((op.predicted for op in run.layers), default=0)),
        ("cycles counted", max((op.counted for op in run.layers), default=0))), tuple(verification_sections(run, "")))


def layers_page(run: LayersRun, name: str) -> Page:
    """Return the page of layers that the RTL has run, each by itself."""
    wrong = sum(bool(piece.found) for piece in run.pieces)
    pieces = Table("layers on the RTL", ("layer", "rows", "channels", "codes", "cycles", "differences"), tuple(
        (piece.op, "{}..{}".format(*piece.rows), "{}..{}".format(*piece.channels), piece.codes, piece.cycles,
         "; ".join(piece.found)) for piece in run.pieces))
    return Page(f"Verification of layers: {name}", "verify", (
        ("verdict", "equal" if run.ok else "NOT EQUAL"), ("parts on the RTL", len(run.pieces)),
        ("parts that differ", wrong), ("codes on the RTL", sum(piece.codes for piece in run.pieces)),
        ("cycles on the RTL", sum(piece.cycles for piece in run.pieces))), (
        Section("Layers", (f"Each on the codes that reach it in the network; simulated by {run.simulator}.",
                           "Rows and channels are counted from 0, without the end."), (pieces,)),
        Section("Whole network", (), (_engines(run, ""),))))


def verification_sections(run: VerifyRun, name: str) -> Iterator[Section]:
    """Yield the sections of a verification; `name` tells it from others, or is empty."""
    of = f" of {name}" if name else ""
    yield Section(f"Agreement{of}", tuple(_sentences(run)), (_engines(run, of),))
    if run.layers and run.failure is None:
        yield Section(f"Cycles on the RTL{of}", (
            "Where every op ends in one image: as predicted, and as the RTL's own counter says.",),
            (_ends(run, of), _counters(run, of)))
    divergence = run.divergence
    if divergence is not None:
        yield Section(f"Divergence{of}", (), (_divergence(divergence, of),))


def _sentences(run: VerifyRun) -> Iterator[str]:
    yield f"The RTL was simulated by {run.simulator}."
    if run.failure is not None:
        yield f"It did not end: {run.failure}"
    if run.skipped:
        yield f"Not compared: {run.skipped}."
    if run.unmet:
        yield f"{len(run.unmet)} situations that the Program can meet were met by no image."


def _engines(run: VerifyRun | LayersRun, of: str) -> Table:
    return Table(f"codes in two engines{of}", ("engines", "tensor", "codes", "mismatches", "undefined"), tuple(
        (" = ".join(one.engines), tensor.name, tensor.codes, tensor.mismatches, tensor.undefined)
        for one in run.comparisons for tensor in one.by_tensor))


def _ends(run: VerifyRun, of: str) -> Bars:
    return Bars(f"end of every op{of}", "Predicted and counted cycle in which every op ends; equal bars are equal "
                "cycles.", "cycles", ("predicted", "counted"),
                tuple(Bar(op.name, (float(op.predicted), float(op.counted))) for op in run.layers), stacked=False)


def _counters(run: VerifyRun, of: str) -> Table:
    return Table(f"counters of one image{of}", ("counter", "predicted", "counted", "difference"), tuple(
        (name, right, counted, counted - right) for name, right in run.predicted.items()
        for counted in [max((counters.get(name, 0) for counters in run.counted), key=lambda one: abs(one - right),
                            default=0)]))


def _divergence(found: dict[str, Any], of: str) -> Table:
    """Return what has been found out, field by field."""
    return Table(f"what is wrong{of}", ("", "found"), tuple(_fields("", found)))


def _fields(path: str, value: Any) -> Iterator[tuple[str, str]]:
    """Yield the fields of nested data that hold something, by their paths."""
    match value:
        case dict():
            for name, inner in value.items():
                yield from _fields(f"{path}.{name}" if path else str(name), inner)
        case list() if value and all(not isinstance(inner, dict | list) for inner in value):
            yield path, ", ".join(map(str, value))
        case list():
            for number, inner in enumerate(value):
                yield from _fields(f"{path}.{number}", inner)
        case None:
            return
        case _:
            yield path, str(value)
