"""The typed graph of an ONNX model."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import replace
from math import prod
from pathlib import Path

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto

from quant.frontends.onnx import elementwise, places, quantized, resize, sums, windows
from quant.frontends.onnx.builder import Builder
from quant.frontends.onnx.call import Call, Made, Reader
from quant.frontends.onnx.folding import Folder
from quant.frontends.onnx.inference import inferred_shapes
from quant.frontends.onnx.read import load_onnx_model
from quant.frontends.onnx.structure import STANDARD, leave_out_unread, names_read, opset_of, place_of
from quant.frontends.onnx.tensors import FLOATS, MAX_RANK, array_of
from quant.frontends.onnx.values import Known, Number, Value
from quant.graph.graph import Graph, Input
from quant.graph.ops.operator import Unknown
from sim.errors import InputError
from sim.io.bounds import MAX_CODES, MAX_EXTENT, check_range, listed, shown

__all__ = ["READERS", "graph_of_model", "read_onnx"]

OWN: Mapping[str, Reader] = {**sums.READERS, **elementwise.READERS, **windows.READERS, **places.READERS,
                             **resize.READERS, **quantized.READERS}

READERS: Mapping[str, Mapping[str, Reader]] = {
    "": OWN, "ai.onnx": OWN, "com.microsoft": quantized.MICROSOFT_READERS,
    **dict.fromkeys(("qonnx.custom_op.general", "finn.custom_op.general", "onnx.brevitas"), quantized.QONNX_READERS)}
"""Readers of operators by domain and name."""

Names = MutableMapping[str, Known]
Sizes = Mapping[str, Sequence[int]]


def read_onnx(path: str | Path, sizes: Sizes | Sequence[int] | None = None) -> Graph:
    """Read an ONNX file as a typed graph; parameters and errors as for `load_onnx_model` and `graph_of_model`."""
    return graph_of_model(load_onnx_model(path), sizes)


def graph_of_model(model: ModelProto, sizes: Sizes | Sequence[int] | None = None) -> Graph:
    """Return the typed graph of a model that `load_onnx_model` has read.

    Parameters
    ----------
    model : ModelProto
        Names of outputs that nothing reads are taken out of it.
    sizes : mapping of str to sequence of int, or sequence of int, optional
        Shape of one image of each input whose own shape the model leaves open; the shape itself if there is one input.

    Returns
    -------
    Graph
        Operators without a counterpart are `Unknown`, with the reason.

    Raises
    ------
    InputError
        If an input has no known shape, or an output does not depend on any input.
    """
    graph = model.graph
    initial = {tensor.name for tensor in graph.initializer}
    leave_out_unread(graph, names_read(graph))
    given = [value for value in graph.input if value.name not in initial]
    if sizes is not None and not isinstance(sizes, Mapping):
        if len(given) != 1:
            raise InputError(f"the model has {len(given)} inputs; give the shape of one image of each by name")
        sizes = {given[0].name: sizes}
    reader = _Reader(opset_of(model.opset_import), given, sizes or {})
    reader.take_graph(graph, reader.names)
    result = reader.builder.graph
    outputs: list[str] = []
    for output in graph.output:
        found = reader.names[output.name]
        if isinstance(found, Number) or not found.batched:
            raise InputError(f"output '{shown(output.name)}' does not depend on any input")
        outputs += [found.name] if found.shape is not None else sorted(found.after)
    result.outputs = tuple(outputs)
    result.drop_unread()
    return result


class _Reader:
    """Reads one node after the other. `names` tells what each name of the model stands for."""

    def __init__(self, opset: int, given: Sequence[ValueInfoProto], sizes: Sizes) -> None:
        if unknown := sizes.keys() - {value.name for value in given}:
            raise InputError(f"sizes are given for {listed(sorted(unknown))}; the inputs are "
                             f"{listed([value.name for value in given])}")
        shapes = [_shape(value, sizes.get(value.name)) for value in given]
        batches = {shape[0] for shape in shapes if shape[0] > 0}
        if len(batches) > 1:
            raise InputError(f"the inputs have batches of different sizes: {listed(sorted(batches))}")
        inputs = [Input(value.name, shape[1:]) for value, shape in zip(given, shapes, strict=True)]
        self.builder = Builder(inputs, next(iter(batches), None))
        self.names: Names = {one.name: self.builder.input(one, value.type.tensor_type.elem_type not in FLOATS)
                             for one, value in zip(inputs, given, strict=True)}
        self._opset, self._folder = opset, Folder(opset)

    def take_graph(self, graph: GraphProto, names: Names) -> None:
        """Read a graph, and add what its names stand for to `names`."""
        for tensor in graph.initializer:
            names[tensor.name] = Number(array_of(tensor), tensor.name)
        for node in graph.node:
            for name, value in zip(node.output, self._take(node, names), strict=False):
                if name:
                    names[name] = value

    def _take(self, node: NodeProto, names: Names) -> Sequence[Known]:
        inputs = tuple(names[name] if name else None for name in node.input)
        after = frozenset().union(*(value.after for value in inputs if isinstance(value, Value)))
        if not self._is_read(node):
            made: Made = self._unknown(node, inputs, "")
        elif after:
            after |= {value.name for value in inputs if isinstance(value, Value) and value.shape is not None}
            made = [Value(name, None, after=after) for name in node.output]
        else:
            try:
                made = self._made(node, inputs, names)
            except InputError as error:
                made = self._unknown(node, inputs, str(error))
        values = [made] if isinstance(made, Known) else made
        if any(node.output[len(values) :]):
            return self._unknown(node, inputs, f"only {len(values)} of its outputs are computed")
        return values

    def _is_read(self, node: NodeProto) -> bool:
        """Return whether an operator has a reader, whatever becomes of this node."""
        return (node.op_type in READERS.get(node.domain, {}) or self._folder.folds(node)
                or (node.domain in STANDARD and node.op_type == "If"))

    def _made(self, node: NodeProto, inputs: tuple[Known | None, ...], names: Names) -> Made:
        numbers = [value for value in inputs if value is None or isinstance(value, Number)]
        if len(numbers) == len(inputs) and self._folder.folds(node):
            return self._folder.fold(node, numbers)
        call = Call(node, self._opset, inputs, self.builder)
        if node.op_type == "Shape":
            first, last = call.attribute("start", 0), call.attribute("end", None)
            return Number(np.array(call.shape[first:last], np.int64), node.output[0])
        if node.op_type == "If":
            return self._branch(call, names)
        reader = READERS.get(node.domain, {}).get(node.op_type)
        if reader is None:
            raise InputError("")
        return reader(call)

    def _branch(self, call: Call, names: Names) -> list[Known]:
        """Read that graph of an If which its constant condition chooses."""
        chosen = call.number(0, "its condition")
        if chosen.size != 1:
            raise InputError("its condition must be one number")
        branch: GraphProto = call.attribute("then_branch" if chosen.item() else "else_branch")
        inner: Names = ChainMap({}, names)
        self.take_graph(branch, inner)
        return [inner[output.name] for output in branch.output]

    def _unknown(self, node: NodeProto, inputs: Sequence[Known | None], reason: str) -> list[Known]:
        """Add nodes for one that has no counterpart; shapes that ONNX knows let those after it be read."""
        known = {name: value for name, value in zip(node.input, inputs, strict=True) if value is not None}
        shapes = inferred_shapes(node, self._opset, known)
        values = [value for value in known.values() if isinstance(value, Value) and value.shape is not None]
        before = frozenset().union(*(value.after for value in known.values() if isinstance(value, Value)))
        made: list[Known] = []
        for name in node.output:
            operator = Unknown(shown(node.op_type), reason, shapes.get(name, (0,))[1:] or None)
            value = self.builder.unknown(operator, values, name, place_of(node))
            made.append(value if value.shape is not None else replace(value, after=value.after | before))
        return made


def _shape(value: ValueInfoProto, size: Sequence[int] | None) -> tuple[int, ...]:
    """Return the shape of an input, the batch first: 0 if it is open.

    Raises
    ------
    InputError
        If it is no tensor, or the rest of its shape is open, too large, or another than `size`.
    """
    what = f"input '{shown(value.name)}'"
    if not value.type.HasField("tensor_type"):
        raise InputError(f"{what} must be a tensor")
    tensor = value.type.tensor_type
    if tensor.elem_type == TensorProto.STRING:
        raise InputError(f"{what} is of type STRING, which is not read")
    if len(tensor.shape.dim) > MAX_RANK:
        raise InputError(f"{what} must have at most {MAX_RANK} axes, not {len(tensor.shape.dim)}")
    axes = [axis.dim_value if axis.dim_value > 0 else None for axis in tensor.shape.dim]
    if tensor.HasField("shape") and not axes:
        raise InputError(f"{what} must have the batch as its first axis, and has no axes")
    texts = [str(number or axis.dim_param or "?") for number, axis in zip(axes, tensor.shape.dim, strict=True)]
    shape = f"({', '.join(map(shown, texts))})" if tensor.HasField("shape") else "that is not known"
    if size is None:
        if not axes or None in axes[1:]:
            raise InputError(f"{what} has a shape {shape}: give the shape of one image, such as sizes="
                             f"{{'{shown(value.name)}': (3, 224, 224)}}")
        size = [axis or 0 for axis in axes[1:]]
    elif axes and (len(axes) - 1 != len(size) or any(axis not in (None, extent) for axis, extent in zip(
            axes[1:], size, strict=True))):
        raise InputError(f"{what} has a shape {shape}, which images of shape {tuple(size)} do not fit")
    for extent in size:
        check_range(extent, 1, MAX_EXTENT, f"{what}: an axis")
    if prod(size) > MAX_CODES:
        raise InputError(f"{what} must have at most {MAX_CODES:,} numbers for each image, not {prod(size):,}")
    return ((axes[0] or 0) if axes else 0, *size)
