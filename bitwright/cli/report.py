"""`bitwright report`: what a run has found, as a page to look at."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from bitwright.cli.console import Report, show
from bitwright.cli.options import AsJson, TechnologyName
from bitwright.cli.origin import origin
from bitwright.cli.parameter_types import file_argument, path_option
from sim.errors import InputError

if TYPE_CHECKING:
    from bitwright.report.page import Page

__all__ = ["report"]

FORMATS = "html", "md", "json", "csv", "svg"


def report(
    run: Annotated[Path, file_argument(
        "A folder that demo, train, quantize or explore has written, the JSON of estimate, verify or compare, or with "
        "--machine a Program, *.safetensors, or another network as estimate takes it.")],
    format: Annotated[Literal["html", "md", "json", "csv", "svg"] | None, typer.Option(
        "--format", "-f", help="A page that needs no other file and no network; Markdown; all numbers as JSON or CSV; "
        "or the figures alone. Default: by the name of the file, else html.")] = None,
    out: Annotated[Path | None, path_option("File to write; default: report.html, or as the format is called.",
                                            "--out", "-o")] = None,
    machine: Annotated[str | None, typer.Option(
        "--machine", "-m", help="The machine on which a network is estimated for the report.")] = None,
    technology: TechnologyName = None,
    as_json: AsJson = False,
) -> None:
    """Write what a run has found as one page: tables, figures, and where the numbers come from."""
    from bitwright.cli.output_guard import check_apart
    from bitwright.report.read_run import run_file
    from bitwright.report.write import write

    kind = format or _kind_of(out)
    target = out or Path(f"report.{kind}")
    source = run if machine is not None else run_file(run)
    check_apart([target], [source, machine, technology])
    page = _page(run, machine, technology)
    write(page, kind, target)
    told = Report({"report": str(target), "format": kind, "kind": page.kind, "title": page.title,
                   "sections": [section.title for section in page.sections]})
    told.lines.append(f"wrote {target}: {page.title}; {len(page.sections)} sections, {len(page.figures)} figures")
    show(told, as_json)


def _kind_of(out: Path | None) -> str:
    """Return the format that the name of a file says."""
    kind = "html" if out is None or not out.suffix else out.suffix[1:].lower()
    if kind not in FORMATS:
        raise InputError(f"a report is *.{', *.'.join(FORMATS)}, not '{out}'; --format says what to write")
    return kind


def _page(run: Path, machine: str | None, technology: str | None) -> Page:
    from bitwright.report.make_page import make_page
    from bitwright.report.read_run import read_run

    if machine is not None:
        from bitwright.cli.read_network import read_network
        from bitwright.report.estimated import estimated
        from sim.arch.machine import load_machine

        target = load_machine(machine)
        return make_page(estimated(run.stem, read_network(run, target), target, technology), run.stem, origin())
    if run.suffix.lower() in (".safetensors", ".onnx", ".pt2"):
        raise InputError(f"'{run}' is a network: --machine says on which machine it is to be estimated")
    found, provenance = read_run(run)
    return make_page(found, run.stem, provenance)
