"""`bitwright import`: a model that another tool has quantized, as a Program."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bitwright.cli.console import Report, show
from bitwright.cli.options import AsJson, Images, MachineName, Seed
from bitwright.cli.output_guard import check_apart
from bitwright.cli.parameter_types import file_argument, path_option

__all__ = ["import_model"]


def import_model(
    model: Annotated[Path, file_argument("A quantized model: *.onnx with QDQ, QOperator or QONNX nodes, or *.pt2.")],
    out: Annotated[Path, path_option("Folder for the results.", "--out", "-o")],
    input_codes: Annotated[str | None, typer.Option(
        "--input-codes", help="How the host gives an input for which the model has no quantizer: signed:8:-5 is codes "
        "of 8 signed bits that mean code * 2**-5.")] = None,
    data: Annotated[Path | None, path_option(
        "Inputs to compare on, .npz with an array for each input of the model, or .npy; default: random.",
        "--data", "-d")] = None,
    images: Images = 64,
    machine: MachineName = "edge",
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Make the Program of a model that another tool has quantized, and compare every stored tensor with the model's."""
    from bitwright.codesign import import_model as importing
    from bitwright.codesign.json_text import to_json
    from bitwright.codesign.real_inputs import load_inputs
    from sim.arch.machine import load_machine
    from sim.io.atomic_write import atomic_write_text, ensure_folder
    from sim.ir.serialize import save_program

    program_file, summary_file = out / "program.safetensors", out / "summary.json"
    check_apart([program_file, summary_file], [model, machine, data])
    given = None if input_codes is None else importing.parse_input_codes(input_codes)
    imported = importing.import_model(model, load_machine(machine), inputs=given)
    inputs = (importing.random_inputs(imported, images, seed) if data is None else
              load_inputs(data, [given.name for given in imported.graph.inputs]))
    found = importing.differences(imported, inputs)
    summary = {"model": str(model), "machine": str(machine), "data": str(data) if data else f"{images} random inputs",
               **importing.summary_of(imported, found)}
    ensure_folder(out)
    save_program(imported.lowered.program, program_file)
    atomic_write_text(summary_file, to_json(summary))
    report = Report({**summary, "files": [str(program_file), str(summary_file)]})
    report.table(f"stored tensors of {model.name}, compared with the model on {summary['data']}",
                 ["tensor", "codes", "differ", "%", "by at most"],
                 [[each.name, each.codes, each.differing, 100 * each.share, each.largest] for each in found])
    report.lines.append("every code is the model's" if summary["exact"] else
                        "codes differ where a scale is no power of two: a machine with more terms and a wider window "
                        "comes nearer")
    if imported.lowered.host:
        report.lines.append(f"left to the host: {', '.join(imported.lowered.host)}")
    report.lines.append(f"written to {out}")
    show(report, as_json)
