"""Shapes of what has no counterpart in the typed graph, as ONNX infers them, so that what follows can still be read."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from onnx import NodeProto, TensorProto, helper, numpy_helper
from onnx.shape_inference import infer_node_outputs

from quant.frontends.onnx.structure import schema_of
from quant.frontends.onnx.values import BATCH, Known, Number, Value
from sim.io.bounds import MAX_CODES

__all__ = ["inferred_shapes"]

MOST_NUMBERS = 1 << 10
"""Of a constant whose numbers are told: shapes and axes are short."""


def inferred_shapes(node: NodeProto, opset: int, inputs: Mapping[str, Known]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of one image of those outputs of a node for which ONNX knows them."""
    schema = schema_of(node, opset)
    if schema is None or any(isinstance(value, Value) and value.shape is None for value in inputs.values()):
        return {}
    types, numbers = {}, {}
    for name, value in inputs.items():
        if isinstance(value, Number):
            kind = helper.np_dtype_to_tensor_dtype(value.array.dtype)
            types[name] = helper.make_tensor_type_proto(kind, value.array.shape)
            if value.array.size <= MOST_NUMBERS:
                numbers[name] = numpy_helper.from_array(value.array, name)
        else:
            types[name] = helper.make_tensor_type_proto(TensorProto.FLOAT, value.shape)
    try:
        found = infer_node_outputs(schema, node, types, numbers, None, [helper.make_opsetid("", opset)])
    except Exception:  # of C++, of several types: then nothing is known
        return {}
    return {name: shape for name, kind in found.items()
            if (shape := tuple(axis.dim_value for axis in kind.tensor_type.shape.dim))[:1] == (BATCH,)
            and 0 < min(shape) and prod(shape[1:]) <= MAX_CODES}
