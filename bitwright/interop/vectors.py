"""Golden vectors: the codes of every tensor and the partial results of every Conv, for whoever implements a Program.

A folder holds `codes.npz`, `accumulators.npz` and `values.npz`, a `$readmemh` file for each array in them, for a
machine also for each of its memories and streams, `vectors.sv`, which reads them all, and `manifest.json`, which says
what is in each file and has its SHA-256. It is written last: files that do not fit it are from another run.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitwright.interop.hex_words import bit_lines, hex_lines
from bitwright.interop.machine_vectors import machine_files, row_tiles
from sim.functional.reference import accumulators, simulate
from sim.io.atomic_write import atomic_write, atomic_write_text, ensure_folder
from sim.ir.formats import Format
from sim.ir.program import Program
from sim.ir.serialize import program_digest, save_vectors
from sim.plan.plan import Plan
from sim.testing.coverage.conv_values import conv_values

__all__ = ["ACCUMULATORS", "CODES", "MANIFEST", "READER", "VALUES", "write_vectors"]

CODES, ACCUMULATORS, VALUES, MANIFEST = "codes.npz", "accumulators.npz", "values.npz", "manifest.json"
READER = "vectors.sv"
VERSION = 1
"""Of the manifest."""
NAME_LENGTH = 60
"""Most characters of a tensor's or an op's name in the name of a file."""

Row = dict[str, Any]


def write_vectors(program: Program, inputs: Mapping[str, NDArray[np.integer]], folder: str | Path,
                  source: Mapping[str, object], plan: Plan | None = None) -> Row:
    """Run a Program by plain loops, write its golden vectors, and return the manifest.

    Parameters
    ----------
    program : Program
    inputs : mapping of str to integer array, shape (N, channels, height, width)
        Codes of its inputs.
    folder : str or Path
        Made if it is not there; files of the same names in it are replaced.
    source : mapping of str to object
        Where the inputs come from, for the manifest; plain data.
    plan : Plan or None
        The Program on a machine whose memories and streams are written, too.

    Raises
    ------
    InputError
        If the inputs are not codes of the Program's, or the place cannot be written.
    """
    codes = simulate(program, inputs)
    sums, place = accumulators(program, codes), ensure_folder(folder)
    values = {conv.name: conv_values(program, conv, codes) for conv in program.convs}
    totals = {name: one.totals for name, one in values.items()}
    for name, arrays in ((CODES, codes), (ACCUMULATORS, sums), (VALUES, totals)):
        save_vectors(place / name, arrays)
    roles = {tensor.name: "input" for tensor in program.inputs} | {tensor.name: "output" for tensor in program.outputs}
    manifest: Row = {
        "version": VERSION, "program_sha256": program_digest(program), "arithmetic": asdict(program.arithmetic),
        "images": len(next(iter(codes.values()))), "inputs": dict(source),
        "tensors": [{"name": tensor.name, "role": roles.get(tensor.name, "inner"), "parts": tensor.parts,
                     "format": asdict(tensor.format),
                     **_write_hex(place, f"tensor{index}", tensor.name, codes[tensor.name], tensor.format)}
                    for index, tensor in enumerate(program.tensors)],
        "accumulators": [{"op": conv.name, "output": conv.output, "output_part": conv.output_part,
                          **_write_hex(place, f"accumulator{index}", conv.name, sums[conv.name],
                                       Format(program.arithmetic.acc_bits, "signed"))}
                         for index, conv in enumerate(program.convs)],
        "values": [{"op": conv.name, **_write_hex(place, f"value{index}", conv.name, values[conv.name].totals,
                                                  Format(program.arithmetic.requant_bits, "signed"))}
                   for index, conv in enumerate(program.convs)],
        "requantized": [{"op": conv.name, "format": asdict(conv.table.index), **_write_hex(
            place, f"requantized{index}", conv.name, values[conv.name].requantized, conv.table.index)}
                        for index, conv in enumerate(program.convs) if conv.table is not None]}
    if plan is not None:
        manifest["machine"] = _write_machine(plan, simulate(plan.program, inputs), place)
    rows = [row for kind in ("tensors", "accumulators", "values", "requantized") for row in manifest[kind]]
    rows += manifest["machine"]["files"] if plan is not None else []
    atomic_write_text(place / READER, _reader(rows))
    names = [CODES, ACCUMULATORS, VALUES, READER, *(row["hex"] for row in rows)]
    manifest["sha256"] = {name: _digest(place / name) for name in names}
    atomic_write_text(place / MANIFEST, json.dumps(manifest, indent=1) + "\n")
    return manifest


def _write_hex(place: Path, kind: str, name: str, codes: NDArray[Any], fmt: Format) -> Row:
    """Write the `$readmemh` file of an array, and describe it."""
    file = f"{kind}.{re.sub('[^A-Za-z0-9_-]', '_', name)[:NAME_LENGTH]}.hex"
    with atomic_write(place / file) as stream:
        for lines in hex_lines(codes, fmt.bits):
            stream.write(lines)
    return {"shape": codes.shape, "hex": file, "bits": fmt.bits, "words": codes.size}


def _write_machine(plan: Plan, codes: Mapping[str, NDArray[np.int32]], place: Path) -> Row:
    """Write memories and streams, and describe them."""
    rows = []
    for one in machine_files(plan, codes):
        file = f"{one.name}.hex"
        with atomic_write(place / file) as stream:
            stream.write(f"@{one.address:x}\n".encode() if one.address else b"")
            for lines in bit_lines(one.bits):
                stream.write(lines)
        rows.append({"hex": file, "holds": one.holds, "bits": one.bits.shape[1], "words": len(one.bits),
                     "address": one.address, **one.facts})
    return {"name": plan.machine.name, "parameters": plan.machine.model_dump(mode="json"),
            "row_tiles": [asdict(tile) for tile in row_tiles(plan)], "files": rows}


def _reader(rows: Sequence[Row]) -> str:
    """Return a SystemVerilog module with an array for each file that has a word, filled from it."""
    lines = ["// Every file of this folder in an array of its name; simulate in this folder.",
             "module bitwright_vectors;"]
    filled = [(re.sub("[^A-Za-z0-9_]", "_", row["hex"].removesuffix(".hex")), row) for row in rows if row["words"]]
    for name, row in filled:
        first = row.get("address", 0)
        lines.append(f"  logic [{row['bits'] - 1}:0] {name} [{first}:{first + row['words'] - 1}];")
    lines += ["  initial begin", *(f'    $readmemh("{row["hex"]}", {name});' for name, row in filled), "  end",
              "endmodule", ""]
    return "\n".join(lines)


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
