"""Golden vectors: the codes of every tensor and the accumulator of every Conv, for whoever implements a Program.

A folder holds `codes.npz` and `accumulators.npz`, a `$readmemh` file for each array in them, and `manifest.json`, which
says what is in each file and has its SHA-256. It is written last: files that do not fit it are from another run.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitwright.interop.hex_words import hex_lines
from sim.functional.reference import accumulators, simulate
from sim.io.atomic_write import atomic_write, atomic_write_text, ensure_folder
from sim.ir.formats import Format
from sim.ir.program import Program
from sim.ir.serialize import program_digest, save_vectors

__all__ = ["ACCUMULATORS", "CODES", "MANIFEST", "write_vectors"]

CODES, ACCUMULATORS, MANIFEST = "codes.npz", "accumulators.npz", "manifest.json"
VERSION = 1
"""Of the manifest."""
NAME_LENGTH = 60
"""Most characters of a tensor's or an op's name in the name of a file."""

Arrays = Mapping[str, NDArray[np.int32]]
Row = dict[str, Any]


def write_vectors(program: Program, inputs: Mapping[str, NDArray[np.integer]], folder: str | Path,
                  source: Mapping[str, object]) -> Row:
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

    Raises
    ------
    InputError
        If the inputs are not codes of the Program's, or the place cannot be written.
    """
    codes = simulate(program, inputs)
    sums, place = accumulators(program, codes), ensure_folder(folder)
    for name, arrays in ((CODES, codes), (ACCUMULATORS, sums)):
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
                         for index, conv in enumerate(program.convs)]}
    names = [CODES, ACCUMULATORS, *(row["hex"] for kind in ("tensors", "accumulators") for row in manifest[kind])]
    manifest["sha256"] = {name: _digest(place / name) for name in names}
    atomic_write_text(place / MANIFEST, json.dumps(manifest, indent=1) + "\n")
    return manifest


def _write_hex(place: Path, kind: str, name: str, codes: NDArray[np.int32], fmt: Format) -> Row:
    """Write the `$readmemh` file of an array, and describe it."""
    file = f"{kind}.{re.sub('[^A-Za-z0-9_-]', '_', name)[:NAME_LENGTH]}.hex"
    with atomic_write(place / file) as stream:
        for lines in hex_lines(codes, fmt.bits):
            stream.write(lines)
    return {"shape": codes.shape, "hex": file, "bits": fmt.bits, "words": codes.size}


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
