"""Programs and golden vectors on disk.

A Program is one safetensors file: its arrays under `records.<i>.<field>`, and as metadata the `graph` (JSON, see
`sim.schema`) and a `sha256` over graph and arrays. Nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, assert_never

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors import SafetensorError, deserialize

from sim.atomic import atomic_write, atomic_write_text
from sim.errors import InputError
from sim.formats import Format
from sim.program import Program
from sim.records import Conv, Load, Pool, Record, Store, Tensor
from sim.schema import (
    READABLE_VERSIONS,
    SCHEMA_VERSION,
    ConvFields,
    Graph,
    LoadFields,
    PoolFields,
    RecordFields,
    StoreFields,
    Version,
)

__all__ = ["atomic_write", "atomic_write_text", "load_program", "save_program", "save_vectors"]

CONV_ARRAYS = {"weights": "I8", "multiplier": "I8", "residual_multiplier": "I8", "shift": "I64", "offset": "I64"}
"""Arrays of a Conv and their types in safetensors' words."""
DTYPES: dict[str, np.dtype[Any]] = {"I8": np.dtype(np.int8), "I64": np.dtype(np.int64)}

Arrays = dict[str, NDArray[Any]]

_deserialize: Callable[[bytes], list[tuple[str, dict[str, Any]]]] = deserialize


def save_program(program: Program, path: str | Path) -> None:
    """Write `program` to `path`, whole or not at all.

    Raises
    ------
    InputError
        If the place cannot be written; an old file is then still there.
    """
    arrays = {f"records.{i}.{name}": np.ascontiguousarray(getattr(record, name))
              for i, record in enumerate(program.records) if isinstance(record, Conv) for name in CONV_ARRAYS}
    graph = _graph(program)
    metadata = {"graph": graph, "sha256": _digest(graph, arrays)}
    with atomic_write(path) as stream:
        stream.write(safetensors.numpy.save(arrays, metadata))


def load_program(path: str | Path) -> Program:
    """Read a Program that `save_program` wrote.

    Raises
    ------
    InputError
        If the file cannot be read, is damaged, has another schema version, lacks or adds a field or an array, or
        holds a Program that breaks the contract; the message names the file and the field.
    """
    try:
        return _parsed(Path(path).read_bytes())
    except OSError as error:
        raise InputError(f"cannot read program {path}: {error.strerror}") from error
    except InputError as error:
        raise InputError(f"program {path}: {error}") from error


def save_vectors(path: str | Path, codes: Mapping[str, NDArray[np.int32]]) -> None:
    """Write golden vectors, an array per tensor, as an `.npz` that `numpy.load` reads without pickle."""
    with atomic_write(path) as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in codes.items():
            with archive.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def _graph(program: Program) -> str:
    """The JSON of everything but the arrays."""
    records = [{"record": _kind(record)}
               | {f.name: getattr(record, f.name) for f in fields(record) if f.name not in CONV_ARRAYS}
               for record in program.records]
    for record in records:
        if "weight_format" in record:
            record["weight_format"] = asdict(record["weight_format"])
    graph = {"schema_version": SCHEMA_VERSION, "rounding": program.rounding, "acc_bits": program.acc_bits,
             "window": program.window, "terms": program.terms, "wrap": program.wrap,
             "tensors": [asdict(tensor) for tensor in program.tensors], "records": records}
    return json.dumps(graph, default=lambda scalar: scalar.item())


def _kind(record: Record) -> str:
    match record:
        case Conv():
            return "conv"
        case Pool():
            return "pool"
        case Load():
            return "load"
        case Store():
            return "store"
        case _:
            assert_never(record)


def _digest(graph: str, arrays: Arrays) -> str:
    """SHA-256 of the graph and of every array's name, shape and bytes."""
    digest = hashlib.sha256(graph.encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"{name}{array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _parsed(data: bytes) -> Program:
    try:
        stored = dict(_deserialize(data))
    except SafetensorError as error:
        raise InputError(f"not a whole safetensors file ({error})") from error
    length = int.from_bytes(data[:8], "little")
    metadata = json.loads(data[8 : 8 + length]).get("__metadata__", {})
    for field in ("graph", "sha256"):
        if field not in metadata:
            raise InputError(f"metadata '{field}' is missing; this is no Bitwright program")
    graph = _checked_graph(metadata["graph"])
    arrays = _checked_arrays(graph, stored)
    if _digest(metadata["graph"], arrays) != metadata["sha256"]:
        raise InputError("graph and arrays do not match their sha256; the file is damaged")
    tensors = tuple(Tensor(**tensor.model_dump() | {"format": Format(**tensor.format.model_dump())})
                    for tensor in graph.tensors)
    records = tuple(_record(i, record, arrays) for i, record in enumerate(graph.records))
    return Program(tensors, records, graph.rounding, graph.acc_bits, graph.window, graph.terms, graph.wrap)


def _checked_graph(text: str) -> Graph:
    try:
        version = Version.model_validate_json(text).schema_version
        if version not in READABLE_VERSIONS:
            raise InputError(f"schema_version must be {' or '.join(map(str, READABLE_VERSIONS))}, not {version}")
        return Graph.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in ("graph", *first["loc"]))
        raise InputError(f"{where}: {first['msg']}") from error


def _checked_arrays(graph: Graph, stored: dict[str, Any]) -> Arrays:
    """The arrays that the graph asks for, and no others."""
    expected = {f"records.{i}.{name}": dtype for i, record in enumerate(graph.records)
                if isinstance(record, ConvFields) for name, dtype in CONV_ARRAYS.items()}
    for name in stored:
        if name not in expected:
            raise InputError(f"array '{name}' belongs to no record")
    arrays = {}
    for name, dtype in expected.items():
        if name not in stored:
            raise InputError(f"array '{name}' is missing")
        if stored[name]["dtype"] != dtype:
            raise InputError(f"array '{name}' must have type {dtype}, not {stored[name]['dtype']}")
        flat = np.frombuffer(stored[name]["data"], DTYPES[dtype])
        arrays[name] = flat.reshape(stored[name]["shape"])
    return arrays


def _record(index: int, record: RecordFields, arrays: Arrays) -> Record:
    values = record.model_dump(exclude={"record"})
    match record:
        case ConvFields():
            values["weight_format"] = Format(**record.weight_format.model_dump())
            values |= {name: arrays[f"records.{index}.{name}"] for name in CONV_ARRAYS}
            return Conv(**values)
        case PoolFields():
            return Pool(**values)
        case LoadFields():
            return Load(**values)
        case StoreFields():
            return Store(**values)
        case _:
            assert_never(record)
