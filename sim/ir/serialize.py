"""Programs and golden vectors on disk.

A Program is one safetensors file: its arrays under `records.<i>.<field>`, and as metadata the `graph` (JSON, see
`sim.ir.schema`) and a `sha256` over graph and arrays. Nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors import SafetensorError, deserialize

from sim.errors import InputError
from sim.io.atomic_write import atomic_write
from sim.io.bounds import MAX_EXTENT, check_name, check_range, shown, shown_path
from sim.io.regular_file import MIB, read_regular
from sim.ir.arithmetic import Arithmetic
from sim.ir.formats import Format
from sim.ir.ops import Lattice, Table
from sim.ir.program import Program
from sim.ir.schema import (
    OP_FIELDS,
    PLAIN_VERSION,
    READABLE_VERSIONS,
    SCHEMA_VERSION,
    Arrays,
    Graph,
    StoredArray,
    Version,
)

__all__ = ["load_program", "metadata_of", "program_digest", "save_program", "save_vectors"]

MAX_PROGRAM_BYTES = 1024 * MIB
"""Largest Program file [bytes]."""
DTYPES: dict[str, np.dtype[Any]] = {
    "I8": np.dtype(np.int8), "I16": np.dtype(np.int16), "I64": np.dtype(np.int64)}

_deserialize: Callable[[bytes], list[tuple[str, dict[str, Any]]]] = deserialize


def save_program(program: Program, path: str | Path) -> None:
    """Write `program` to `path`, whole or not at all.

    Raises
    ------
    InputError
        If the place cannot be written; an old file is then still there.
    """
    arrays, graph = _arrays(program), _graph(program)
    metadata = {"graph": graph, "sha256": _digest(graph, arrays)}
    with atomic_write(path) as stream:
        stream.write(safetensors.numpy.save(arrays, metadata))


def program_digest(program: Program) -> str:
    """Return the SHA-256 of everything in a Program, which its file has as metadata `sha256`, in hex."""
    return _digest(_graph(program), _arrays(program))


def load_program(path: str | Path) -> Program:
    """Read a Program that `save_program` wrote.

    Raises
    ------
    InputError
        If there is no regular file of at most MAX_PROGRAM_BYTES, or it is damaged, has another schema version, lacks or
        adds a field or an array, or holds a Program that breaks the contract; the message names the file and the field.
    """
    data = read_regular(path, "program", MAX_PROGRAM_BYTES)
    try:
        return _parsed(data)
    except InputError as error:
        raise InputError(f"program {shown_path(path)}: {error}") from error


def save_vectors(path: str | Path, codes: Mapping[str, NDArray[np.integer]]) -> None:
    """Write golden vectors, an array per tensor, as an `.npz` that `numpy.load` reads without pickle.

    Raises
    ------
    InputError
        If the place cannot be written, a name is none that a tensor may have, or one is another with `.npy` behind it:
        `numpy.load` takes them for one.
    """
    for name in codes:
        check_name(name, "a tensor's name")
        if f"{name}.npy" in codes:
            raise InputError(f"an .npz cannot tell tensor '{name}' from '{name}.npy'")
    with atomic_write(path) as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in codes.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def metadata_of(data: bytes) -> dict[str, str]:
    """Return the metadata of a safetensors file that safetensors itself has taken, empty if it has none."""
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]).get("__metadata__") or {}


def _arrays(program: Program) -> Arrays:
    """Return the arrays of all ops, by their names in the file."""
    return {f"records.{i}.{name}": np.ascontiguousarray(array)
            for i, op in enumerate(program.ops) for name, array in OP_FIELDS[op.kind].arrays_of(op).items()}


def _graph(program: Program) -> str:
    """Return the JSON of everything but the arrays."""
    ops = [OP_FIELDS[op.kind].values_of(op) for op in program.ops]
    plain = all(OP_FIELDS[op.kind].model_fields[name].is_required()
                for op, values in zip(program.ops, ops, strict=True) for name in values)
    arithmetic = program.arithmetic
    graph = {"schema_version": PLAIN_VERSION if plain else SCHEMA_VERSION, "rounding": arithmetic.rounding,
             "acc_bits": arithmetic.acc_bits, "window": arithmetic.window, "terms": arithmetic.terms,
             "wrap": arithmetic.wrap, "tensors": [asdict(tensor) for tensor in program.tensors], "records": ops}
    return json.dumps(graph, default=_plain)


def _plain(value: Any) -> Any:
    """Return the JSON of what `json` does not know: a Format, a Table's index, a Lattice, or a scalar of NumPy."""
    if isinstance(value, Table):
        return asdict(value.index)
    return asdict(value) if isinstance(value, Format | Lattice) else value.item()


def _digest(graph: str, arrays: Arrays) -> str:
    """Return the SHA-256 of the graph and of every array's name, shape and bytes."""
    digest = hashlib.sha256(graph.encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"{name}{array.shape}".encode())
        digest.update(array.data)
    return digest.hexdigest()


def _parsed(data: bytes) -> Program:
    try:
        stored = dict(_deserialize(data))
    except SafetensorError as error:
        raise InputError(f"not a whole safetensors file ({shown(error)})") from error
    metadata = metadata_of(data)
    for field in ("graph", "sha256"):
        if field not in metadata:
            raise InputError(f"metadata '{field}' is missing; this is no Bitwright program")
    graph = _checked_graph(metadata["graph"])
    arrays = _checked_arrays(graph, stored)
    if _digest(metadata["graph"], arrays) != metadata["sha256"]:
        raise InputError("graph and arrays do not match their sha256; the file is damaged")
    tensors = tuple(tensor.build() for tensor in graph.tensors)
    ops = tuple(op.build({name: arrays[f"records.{i}.{name}"] for name in op.stored_arrays})
                for i, op in enumerate(graph.records))
    return Program(tensors, ops, Arithmetic(graph.acc_bits, graph.window, graph.terms, graph.rounding, graph.wrap))


def _checked_graph(text: str) -> Graph:
    try:
        version = Version.model_validate_json(text).schema_version
        if version not in READABLE_VERSIONS:
            readable = f"{READABLE_VERSIONS[0]}..{READABLE_VERSIONS[-1]}"
            raise InputError(f"schema_version must be in {readable}, not {shown(version)}")
        return Graph.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(shown(part) for part in ("graph", *first["loc"]))
        raise InputError(f"{where}: {shown(first['msg'])}") from error


def _checked_arrays(graph: Graph, stored: dict[str, Any]) -> Arrays:
    """Return the arrays that the graph asks for, and no others."""
    expected = {f"records.{i}.{name}": stored_as for i, op in enumerate(graph.records)
                for name, stored_as in op.stored_arrays.items()}
    for name in stored:
        if name not in expected:
            raise InputError(f"array '{shown(name)}' belongs to no op")
    arrays = {}
    for name, stored_as in expected.items():
        if name not in stored:
            raise InputError(f"array '{name}' is missing")
        arrays[name] = _checked_array(stored[name], stored_as, f"array '{name}'")
    return arrays


def _checked_array(stored: dict[str, Any], stored_as: StoredArray, where: str) -> NDArray[Any]:
    dtype, shape = stored["dtype"], stored["shape"]
    if dtype != stored_as.dtype:
        raise InputError(f"{where} must have type {stored_as.dtype}, not {dtype}")
    if len(shape) != stored_as.dimensions:
        raise InputError(f"{where} must have {stored_as.dimensions} dimensions, not {len(shape)}")
    for extent in shape:
        check_range(extent, 0, MAX_EXTENT, f"{where}: an extent")
    return np.frombuffer(stored["data"], DTYPES[dtype]).reshape(shape)
