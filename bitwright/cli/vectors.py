"""`bitwright vectors`: golden vectors of a Program."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bitwright.cli.console import Report, show
from bitwright.cli.options import AsJson, Images, InputFile, ProgramFile, Seed
from bitwright.cli.output_guard import check_apart
from bitwright.cli.parameter_types import path_option

__all__ = ["vectors"]


def vectors(
    program: ProgramFile,
    out: Annotated[Path, path_option("Folder for the files.", "--out", "-o")],
    input_file: InputFile = None,
    images: Images = 1,
    seed: Seed = 0,
    machine: Annotated[str | None, typer.Option(
        "--machine", "-m", help="Write memories and streams of this machine, too: built-in or a YAML file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write the codes of every tensor and the partial results of every layer, as .npz and for $readmemh, with hashes.

    With --machine also what its memories hold and its streams carry. A module of SystemVerilog reads all of it.
    """
    from bitwright.cli.parse_inputs import input_codes
    from bitwright.interop.vectors import ACCUMULATORS, CODES, MANIFEST, READER, VALUES, write_vectors
    from sim.arch.machine import load_machine
    from sim.ir.serialize import load_program
    from sim.plan.plan import plan

    check_apart([out / name for name in (CODES, ACCUMULATORS, VALUES, READER, MANIFEST)],
                [program, input_file, machine])
    loaded = load_program(program)
    inputs = input_codes(loaded, input_file, images, seed, program)
    source = {"seed": seed} if input_file is None else {"file": input_file.name}
    planned = None if machine is None else plan(loaded, load_machine(machine))
    manifest = write_vectors(loaded, inputs, out, source, planned)
    report = Report({"folder": str(out), **manifest})
    rows = [("tensor", row["name"], row) for row in manifest["tensors"]]
    rows += [(kind, row["op"], row) for kind, rows_of in (("accumulator", "accumulators"), ("value", "values"),
                                                         ("requantized", "requantized")) for row in manifest[rows_of]]
    report.table(f"golden vectors in {out}", ["holds", "of", "shape", "bits", "words", "$readmemh file"],
                 [[kind, name, " x ".join(map(str, row["shape"])), row["bits"], row["words"], row["hex"]]
                  for kind, name, row in rows])
    if planned is not None:
        report.table(f"memories and streams of '{planned.machine.name}'", ["$readmemh file", "bits", "words", "holds"],
                     [[row["hex"], row["bits"], row["words"], row["holds"]] for row in manifest["machine"]["files"]])
    report.lines.append(f"also {CODES}, {ACCUMULATORS}, {VALUES}, {READER}, which reads all others, and {MANIFEST}, "
                        f"which has the SHA-256 of each file; program {manifest['program_sha256']}")
    show(report, as_json)
