"""What can be computed before the network runs: nodes whose inputs are all known numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, ValueInfoProto, helper
from onnx.reference import ReferenceEvaluator

from quant.frontends.onnx.structure import STANDARD
from quant.frontends.onnx.tensors import Array, array_of
from quant.frontends.onnx.values import Number
from sim.errors import InputError
from sim.io.bounds import shown

__all__ = ["Folder"]

MOST_NUMBERS = 1 << 26
"""That all folded nodes of a model may make."""
MOST_PRODUCTS = 1 << 30
"""Of one matrix product."""

KEEP_NAMES = ("Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze")
"""Numbers that they move keep their name."""


def _together(*arrays: Array) -> int:
    """Return how many numbers a function of numbers at the same places makes."""
    return prod(np.broadcast_shapes(*(array.shape for array in arrays)))


def _at_most_all(*arrays: Array) -> int:
    return sum(array.size for array in arrays)


def _listed(array: Array) -> int:
    return prod(int(size) for size in array.reshape(-1))


def _expanded(array: Array, shape: Array) -> int:
    return prod(np.broadcast_shapes(array.shape, tuple(int(size) for size in shape.reshape(-1))))


def _range(start: Array, limit: Array, step: Array) -> int:
    return max(int((limit.item() - start.item()) / step.item()) + 1, 0)


def _gathered(array: Array, indices: Array) -> int:
    return array.size * indices.size


def _tiled(array: Array, repeats: Array) -> int:
    return array.size * prod(int(count) for count in repeats.reshape(-1))


def _product(x: Array, y: Array) -> int:
    """Return how many products a matrix product takes, if they are not too many for its time."""
    count = x.size * (y.shape[-1] if y.ndim > 1 else 1)
    return 0 if count <= MOST_PRODUCTS and y.size <= MOST_PRODUCTS else MOST_NUMBERS + 1


SIZES: Mapping[str, Callable[..., int]] = {
    **dict.fromkeys((
        "Abs", "Add", "And", "Ceil", "Cos", "Div", "Equal", "Erf", "Exp", "Floor", "Greater", "GreaterOrEqual", "Less",
        "LessOrEqual", "Log", "Max", "Mean", "Min", "Mod", "Mul", "Neg", "Not", "Or", "Pow", "Reciprocal", "Relu",
        "Round", "Sigmoid", "Sign", "Sin", "Sqrt", "Sub", "Sum", "Tanh", "Where"), _together),
    **dict.fromkeys((
        "Cast", "Clip", "Concat", "Flatten", "Identity", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd",
        "ReduceSum", "Reshape", "Shape", "Size", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze"), _at_most_all),
    "ConstantOfShape": _listed, "Expand": _expanded, "Gather": _gathered, "MatMul": _product, "Range": _range,
    "Tile": _tiled}
"""Operators that are folded, and a bound on the numbers that they make of their inputs."""


class Folder:
    """Computes nodes of one model by ONNX's own reference implementation, up to a bound for all of them."""

    def __init__(self, opset: int) -> None:
        self._opset = opset
        self._left = MOST_NUMBERS

    def folds(self, node: NodeProto) -> bool:
        """Return whether the operator of a node is one that is computed."""
        return node.domain in STANDARD and (node.op_type in SIZES or node.op_type == "Constant")

    def fold(self, node: NodeProto, inputs: Sequence[Number | None]) -> list[Number]:
        """Return what a node makes of known numbers.

        Raises
        ------
        InputError
            If it cannot be computed, or makes too many numbers.
        """
        if node.op_type == "Constant":
            return [Number(_constant(node), node.output[0])]
        arrays = [None if number is None else number.array for number in inputs]
        found = iter(self._computed(node, arrays))
        moved = inputs[0] if node.op_type in KEEP_NAMES and inputs else None
        return [Number(next(found) if name else np.zeros(0), name if moved is None else moved.name)
                for name in node.output]

    def _computed(self, node: NodeProto, arrays: Sequence[Array | None]) -> list[Array]:
        try:
            with np.errstate(all="ignore"):
                size = SIZES[node.op_type](*(array for array in arrays if array is not None))
                self._left -= size
                if not 0 <= size <= MOST_NUMBERS or self._left < 0:
                    raise InputError(f"constants of more than {MOST_NUMBERS:,} numbers are not computed")
                feeds = {name: array for name, array in zip(node.input, arrays, strict=True) if array is not None}
                found: Any = ReferenceEvaluator(_model(node, self._opset)).run(None, feeds)
        except InputError:
            raise
        except Exception as error:  # of NumPy and of the evaluator, of many types
            raise InputError(f"its numbers cannot be computed: {shown(error)}") from None
        return [np.asarray(array) for array in found]


def _model(node: NodeProto, opset: int) -> ModelProto:
    """Return a model of one node."""
    graph = GraphProto(name="folded", node=[node], input=[ValueInfoProto(name=name) for name in node.input if name],
                       output=[ValueInfoProto(name=name) for name in node.output if name])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])


def _constant(node: NodeProto) -> Array:
    """Return the numbers of a Constant."""
    if len(node.attribute) != 1:
        raise InputError(f"a constant must have one attribute, not {len(node.attribute)}")
    (attribute,) = node.attribute
    value = helper.get_attribute_value(attribute)
    match attribute.name:
        case "value":
            return array_of(value)
        case "value_float" | "value_floats":
            return np.array(value, np.float32)
        case "value_int" | "value_ints":
            return np.array(value, np.int64)
    raise InputError(f"constants of kind {shown(attribute.name)} are not read")
