"""Turn a Program into an ONNX model that gives the same codes: ConvInteger for the sums, float64 for the requantizer.

float64 is exact here: every sum of a requantizer fits 53 bits, and scaling by a power of two rounds nothing.
"""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from sim.ir.ops import Conv, Pool, Tensor
from sim.ir.program import Program
from sim.ir.signed_digits import multipliers

__all__ = ["onnx_model"]

OPSET = 21


def onnx_model(program: Program) -> onnx.ModelProto:
    """Build the model.

    Inputs and outputs are int32 codes of shape (N, C, H, W) under the Program's tensor names.

    Raises
    ------
    ValueError
        If the Program wraps its accumulators or reads a concatenated tensor, which this peer does not do.
    """
    if program.arithmetic.wrap or any(len(t.parts) > 1 for t in program.tensors):
        raise ValueError("the ONNX peer needs a Program that neither wraps nor concatenates")
    graph = _Graph(program)
    for tensor in program.inputs:
        graph.cast(tensor.name, tensor)
    for op in program.ops:
        graph.conv(op) if isinstance(op, Conv) else graph.pool(op)
    for tensor in program.outputs:
        raised = graph.node("Cast", [f"{tensor.name}.codes"], f"{tensor.name}.int32", to=TensorProto.INT32)
        graph.node("Sub", [raised, graph.constant(f"{tensor.name}.by", np.int32(_raise(tensor)))], tensor.name)
    value = helper.make_tensor_value_info
    made = helper.make_graph(
        graph.nodes, "program",
        [value(t.name, TensorProto.INT32, ["N", *t.shape]) for t in program.inputs],
        [value(t.name, TensorProto.INT32, ["N", *t.shape]) for t in program.outputs], graph.constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
    onnx.checker.check_model(model)
    return model


class _Graph:
    """Stored codes are uint8 `<tensor>.codes`: signed ones 128 higher, since ConvInteger reads uint8."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def node(self, kind: str, inputs: list[str], output: str, **attributes: object) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def constant(self, name: str, array: NDArray[np.generic]) -> str:
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def cast(self, source: str, tensor: Tensor) -> None:
        """Store float64 or int32 codes as uint8, or wide ones as they are."""
        kind = TensorProto.UINT8 if tensor.format.bits <= 8 else TensorProto.DOUBLE
        raised = self.node("Cast", [source], f"{tensor.name}.wide", to=TensorProto.DOUBLE)
        if _raise(tensor):
            raised = self.node("Add", [raised, self.constant(f"{tensor.name}.128", np.float64(128))],
                               f"{tensor.name}.raised")
        self.node("Cast", [raised], f"{tensor.name}.codes", to=kind)

    def conv(self, conv: Conv) -> None:
        source, target = self.program.tensor(conv.input), self.program.tensor(conv.output)
        name, m = conv.name, multipliers(conv.multiplier).astype(np.float64)
        zero = source.format.zero_point
        top, left, bottom, right = conv.pads
        acc = self.node(
            "ConvInteger",
            [f"{source.name}.codes", self.constant(f"{name}.w", conv.weight_values.astype(np.int8)),
             self.constant(f"{name}.z", np.uint8(zero + _raise(source)))],
            f"{name}.acc", kernel_shape=list(conv.kernel), strides=[conv.stride] * 2, dilations=[conv.dilation] * 2,
            pads=[top, left, bottom, right], group=conv.groups)
        offset = conv.offset + multipliers(conv.multiplier) * zero * conv.weight_values.sum(axis=(1, 2, 3))
        value = self.scaled(acc, f"{name}.m", m)
        if conv.residual is not None:
            other = self.program.tensor(conv.residual)
            r = multipliers(conv.residual_multiplier)
            offset = offset - r * _raise(other)
            value = self.node("Add", [value, self.scaled(f"{other.name}.codes", f"{name}.r", r)], f"{name}.sum")
        self.round(conv, value, offset, target)

    def scaled(self, source: str, name: str, factors: NDArray[np.generic]) -> str:
        wide = self.node("Cast", [source], f"{name}.wide", to=TensorProto.DOUBLE)
        return self.node("Mul", [wide, self.constant(f"{name}.by", _per_channel(factors))], f"{name}.scaled")

    def round(self, conv: Conv, value: str, offset: NDArray[np.int64], target: Tensor) -> None:
        """Return (value + offset) / 2**n, rounded, plus the zero point, clamped."""
        name, rounding = conv.name, self.program.arithmetic.rounding
        value = self.node("Add", [value, self.constant(f"{name}.offset", _per_channel(offset))], f"{name}.v")
        value = self.node("Mul", [value, self.constant(f"{name}.2^-n", _per_channel(2.0 ** -conv.shift))],
                          f"{name}.shifted")
        if rounding == "half_up":
            half = _per_channel(np.where(conv.shift > 0, 0.5, 0.0))
            value = self.node("Add", [value, self.constant(f"{name}.half", half)], f"{name}.half_up")
        value = self.node("Round" if rounding == "half_even" else "Floor", [value], f"{name}.rounded")
        zero = self.constant(f"{name}.z_out", np.float64(target.format.zero_point))
        value = self.node("Add", [value, zero], f"{name}.code")
        bounds = [self.constant(f"{name}.{end}", np.float64(getattr(conv, end))) for end in ("low", "high")]
        self.cast(self.node("Clip", [value, *bounds], f"{name}.clamped"), target)

    def pool(self, pool: Pool) -> None:
        top, left, bottom, right = pool.pads
        self.node("MaxPool", [f"{pool.input}.codes"], f"{pool.output}.codes", kernel_shape=list(pool.kernel),
                  strides=[pool.stride] * 2, pads=[top, left, bottom, right])


def _raise(tensor: Tensor) -> int:
    return 128 if tensor.format.kind == "signed" and tensor.format.bits <= 8 else 0


def _per_channel(values: NDArray[np.generic]) -> NDArray[np.float64]:
    return np.asarray(values, np.float64).reshape(-1, 1, 1)
