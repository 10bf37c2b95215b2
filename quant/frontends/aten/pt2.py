"""What torch.export lists in a file: the `.pt2` archives that torch.export.save writes.

The archive is read here, not by `torch.export.load`, which unpickles and evaluates what the file says. Its graph is
JSON and its weights are plain bytes; whatever else it holds is left alone, and weights that are pickled are refused.
"""

from __future__ import annotations

import json
import zipfile
from math import prod
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import BaseModel, Field, ValidationError
from torch import Tensor

from quant.frontends.aten.call import SYMBOL, Call, Listing, Ref, bound
from quant.frontends.aten.read import graph_of_listing
from quant.graph.graph import Graph
from sim.errors import InputError
from sim.io.bounds import shown, shown_path
from sim.io.regular_file import open_regular

__all__ = ["load_pt2"]

MOST_BYTES = 1 << 31
"""Largest archive, and most bytes in all its members."""
MOST_JSON_BYTES = 1 << 27
"""Largest description of a graph."""
DTYPES = {1: torch.uint8, 2: torch.int8, 3: torch.int16, 4: torch.int32, 5: torch.int64, 6: torch.float16,
          7: torch.float32, 8: torch.float64, 12: torch.bool, 13: torch.bfloat16}
"""Types by their numbers in the file, as in torch/_export/serde/schema.py, schema version 8."""
SCHEMA = 8

Size = Annotated[int, Field(ge=0, le=1 << 48)]


class _Named(BaseModel):
    name: str


class _Symbol(BaseModel):
    as_int: Size | None = None


class _TensorMeta(BaseModel):
    dtype: int
    sizes: list[_Symbol]
    strides: list[_Symbol] = []
    storage_offset: _Symbol = _Symbol(as_int=0)


class _Payload(BaseModel):
    path_name: str
    use_pickle: bool
    tensor_meta: _TensorMeta | None


class _Payloads(BaseModel):
    config: dict[str, _Payload]


class _Given(BaseModel):
    name: str
    arg: dict[str, Any]


class _Node(BaseModel):
    target: str
    inputs: list[_Given]
    outputs: list[dict[str, Any]]
    metadata: dict[str, str] = {}


class _Graph(BaseModel):
    nodes: list[_Node]
    tensor_values: dict[str, _TensorMeta]


class _Signature(BaseModel):
    input_specs: list[dict[str, dict[str, Any]]]
    output_specs: list[dict[str, dict[str, Any]]]


class _Module(BaseModel):
    graph: _Graph
    signature: _Signature


class _Version(BaseModel):
    major: int


class _Model(BaseModel):
    graph_module: _Module
    schema_version: _Version


def load_pt2(path: str | Path) -> Graph:
    """Return the typed graph of a file that torch.export.save has written.

    Parameters
    ----------
    path : str or Path

    Raises
    ------
    InputError
        If the file is missing, larger than 2 GiB or damaged, was written by a torch whose files look otherwise, holds
        pickled weights, or its model reads or returns something else than tensors.
    """
    with open_regular(path, "model", MOST_BYTES) as file:
        try:
            if not file.read(1):
                raise InputError("it is empty")
            with zipfile.ZipFile(file) as archive:
                return graph_of_listing(_listing(_Archive(archive)))
        except InputError as error:
            reason = str(error)
        except ValidationError as error:
            first = error.errors()[0]
            reason = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, KeyError, TypeError, ValueError, OSError,
                RecursionError, EOFError, IndexError) as error:
            reason = f"it is damaged ({type(error).__name__}: {shown(error)})"
    raise InputError(f"cannot read model '{shown_path(path)}': {reason}")


class _Archive:
    """The members of an archive by their names behind its own top folder."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._members = {info.filename.partition("/")[2]: info for info in archive.infolist()}
        total = sum(info.file_size for info in self._members.values())
        if total > MOST_BYTES:
            raise InputError(f"its members may have {MOST_BYTES} bytes, not {total}")

    def read(self, name: str, most: int = MOST_BYTES) -> bytes:
        if name not in self._members:
            raise InputError(f"it has no member '{shown(name)}'; only what torch.export.save writes can be read")
        if self._members[name].file_size > most:
            raise InputError(f"its member '{shown(name)}' may have {most} bytes, not {self._members[name].file_size}")
        return self._archive.read(self._members[name])


def _listing(archive: _Archive) -> Listing:
    model = _Model.model_validate(json.loads(archive.read("models/model.json", MOST_JSON_BYTES)))
    if (version := model.schema_version.major) != SCHEMA:
        raise InputError(f"its schema version must be {SCHEMA}, not {version}; export the model again")
    graph, signature = model.graph_module.graph, model.graph_module.signature
    inputs: dict[str, tuple[int, ...]] = {}
    paths: dict[str, str] = {}
    for spec in signature.input_specs:
        (kind, given), = spec.items()
        if kind == "user_input":
            name = _tensor_name(given["arg"])
            inputs[name] = tuple(-1 if size.as_int is None else size.as_int for size in graph.tensor_values[name].sizes)
        elif kind in ("parameter", "buffer", "tensor_constant"):
            paths[_Named.model_validate(given["arg"]).name] = str(given[f"{kind}_name"])
        else:
            raise InputError(f"its model reads a {shown(kind)}; only tensors can be read")
    outputs = tuple(_tensor_name(spec["user_output"]["arg"]) for spec in signature.output_specs
                    if "user_output" in spec and "as_none" not in spec["user_output"]["arg"])
    held = _tensors(archive, "weights") | _tensors(archive, "constants")
    if missing := [path for path in paths.values() if path not in held]:
        raise InputError(f"it has no values of '{shown(missing[0])}'")
    constants = {name: (path, held[path]) for name, path in paths.items()}
    return Listing(inputs, constants, [call for node in graph.nodes if (call := _call(node, graph))], outputs)


def _tensor_name(argument: dict[str, Any]) -> str:
    (kind, value), = argument.items()
    if kind != "as_tensor":
        raise InputError(f"its model takes or returns {shown(kind.removeprefix('as_'))}; only tensors are taken")
    return _Named.model_validate(value).name


def _tensors(archive: _Archive, kind: str) -> dict[str, Tensor]:
    """Return the weights or constants by their paths in the model."""
    config = json.loads(archive.read(f"data/{kind}/model_{kind}_config.json", MOST_JSON_BYTES))
    return {path: _tensor(archive, kind, path, payload)
            for path, payload in _Payloads.model_validate(config).config.items()}


def _tensor(archive: _Archive, kind: str, path: str, payload: _Payload) -> Tensor:
    if payload.use_pickle or payload.tensor_meta is None:
        raise InputError(f"'{shown(path)}' is pickled, and pickled values are not read; save plain tensors")
    meta = payload.tensor_meta
    if meta.dtype not in DTYPES:
        raise InputError(f"'{shown(path)}' is of type {meta.dtype}, which cannot be read")
    sizes, strides, (start,) = (_numbers(given) for given in (meta.sizes, meta.strides, [meta.storage_offset]))
    data, kind_of_number = archive.read(f"data/{kind}/{payload.path_name}"), DTYPES[meta.dtype]
    held = len(data) // kind_of_number.itemsize
    if prod(sizes) > held or len(sizes) != len(strides):
        raise InputError(f"'{shown(path)}' of shape {shown(sizes)} has {held} numbers in the file")
    if not prod(sizes):
        return torch.empty(sizes, dtype=kind_of_number)
    flat = torch.frombuffer(bytearray(data), dtype=kind_of_number, count=held)
    return torch.as_strided(flat, sizes, strides, start).contiguous()


def _numbers(given: list[_Symbol]) -> list[int]:
    if any(number.as_int is None for number in given):
        raise InputError("its weights must have fixed shapes")
    return [int(number.as_int or 0) for number in given]


def _call(node: _Node, graph: _Graph) -> Call | None:
    """Return a call; None if it gives numbers about shapes, which calls that need them name as symbols."""
    target = node.target.removeprefix("torch.ops.")
    outputs = [part for output in node.outputs for part in _outputs(output)]
    if target.startswith("higher_order."):
        raise InputError("its model has a graph inside another; export it without torch.no_grad, torch.autocast and "
                         f"control flow in forward ({shown(target)})")
    if not outputs or target.count(".") != 2:
        return None
    *_, last = (node.metadata.get("nn_module_stack") or ",,").split(";")
    path, _, kind = last.partition(",")[2].partition(",")
    leaf = kind.startswith("torch.nn.modules.") and "container" not in kind
    given = {argument.name: _value(argument.arg) for argument in node.inputs}
    return Call(target, bound(target, (), given), tuple(outputs),
                tuple(_shape(graph.tensor_values.get(name)) for name in outputs), path, leaf)


def _outputs(output: dict[str, Any]) -> list[str]:
    (kind, value), = output.items()
    return [_Named.model_validate(part).name for part in {"as_tensor": [value], "as_tensors": value}.get(kind, [])]


def _shape(meta: _TensorMeta | None) -> tuple[int, ...] | None:
    if meta is None or any(size.as_int is None for size in meta.sizes[1:]):
        return None
    return tuple(int(size.as_int or 0) for size in meta.sizes[1:])


def _value(argument: dict[str, Any]) -> Any:
    """Return an argument: a number, a text, a list, a `Ref`, `SYMBOL`, or None for what changes no number."""
    (kind, value), = argument.items()
    if kind in ("as_int", "as_ints", "as_float", "as_floats", "as_bool", "as_bools", "as_string"):
        return value
    if kind in ("as_tensor", "as_optional_tensor"):
        return _reference(value)
    if kind in ("as_tensors", "as_optional_tensors"):
        return [_reference(part) for part in value]
    if kind == "as_scalar_type":
        if value not in DTYPES:
            raise InputError(f"its model uses numbers of a type that cannot be read ({shown(value)})")
        return DTYPES[value]
    if kind.startswith("as_sym"):
        return [_symbol(part) for part in value] if isinstance(value, list) else _symbol(value)
    return None


def _reference(value: dict[str, Any]) -> Ref | None:
    if "as_none" in value:
        return None
    return Ref(_Named.model_validate(value.get("as_tensor", value)).name)


def _symbol(value: dict[str, Any]) -> Any:
    return value.get("as_int", SYMBOL)
