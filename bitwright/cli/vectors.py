"""`bitwright vectors`: golden vectors of a Program."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

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
    as_json: AsJson = False,
) -> None:
    """Write the codes of every tensor and the accumulators of every layer, as .npz and for $readmemh, with hashes."""
    from bitwright.cli.parse_inputs import input_codes
    from bitwright.interop.vectors import ACCUMULATORS, CODES, MANIFEST, write_vectors
    from sim.ir.serialize import load_program

    check_apart([out / CODES, out / ACCUMULATORS, out / MANIFEST], [program, input_file])
    loaded = load_program(program)
    inputs = input_codes(loaded, input_file, images, seed, program)
    source = {"seed": seed} if input_file is None else {"file": input_file.name}
    manifest = write_vectors(loaded, inputs, out, source)
    report = Report({"folder": str(out), **manifest})
    rows = [("tensor", row["name"], row) for row in manifest["tensors"]]
    rows += [("accumulator", row["op"], row) for row in manifest["accumulators"]]
    report.table(f"golden vectors in {out}", ["holds", "of", "shape", "bits", "words", "$readmemh file"],
                 [[kind, name, " x ".join(map(str, row["shape"])), row["bits"], row["words"], row["hex"]]
                  for kind, name, row in rows])
    report.lines.append(f"also {CODES}, {ACCUMULATORS} and {MANIFEST}, which has the SHA-256 of each file; "
                        f"program {manifest['program_sha256']}")
    show(report, as_json)
