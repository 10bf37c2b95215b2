"""Turn a Program into what ONNX Runtime's int8 kernels run fastest: the same shapes and MACs, codes that are close.

Tensors of up to 8 bits are uint8 here: the lowest code is 0, the highest 255, so that the clamp of an activation, a
ReLU included, is the saturation of uint8 and costs nothing. Scales are M / 2**n of each channel. ONNX Runtime
requantizes in float, so its codes are near those of the Program, not equal. Linear layers are QGemm, which is as fast
as a QLinearConv of one pixel for one image and many times faster for a batch on several threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from sim.ir.ops import Conv, Pool, Tensor, Transfer
from sim.ir.program import Program
from sim.ir.signed_digits import multipliers

__all__ = ["codes_of", "qlinear_model", "stored"]

OPSET = 21
MICROSOFT = "com.microsoft"
LARGEST_BIAS = (1 << 31) - 1


def qlinear_model(program: Program) -> onnx.ModelProto:
    """Build the model.

    Tensors keep their names and shapes (N, C, H, W), as uint8 (`stored`), or float32 codes if they are wider.

    Raises
    ------
    ValueError
        If the Program wraps, concatenates or moves tensors, which this peer does not do.
    """
    moves = any(isinstance(op, Transfer) for op in program.ops)
    if program.arithmetic.wrap or moves or any(len(tensor.parts) > 1 for tensor in program.tensors):
        raise ValueError("the int8 peer needs a Program that neither wraps nor concatenates nor moves tensors")
    graph = _Graph(program)
    for op in program.ops:
        if isinstance(op, Conv):
            graph.conv(op)
        elif isinstance(op, Pool):
            graph.pool(op)
    made = helper.make_graph(graph.nodes, "program", [_value(t) for t in program.inputs],
                             [_value(t) for t in program.outputs], graph.constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(MICROSOFT, 1)],
                              ir_version=10)
    onnx.checker.check_model(model)
    return model


def stored(tensor: Tensor, codes: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Return what the model reads for `codes` of a tensor of up to 8 bits."""
    return np.rint((codes - tensor.format.low) / _step(tensor)).astype(np.uint8)


def codes_of(tensor: Tensor, array: NDArray[np.generic]) -> NDArray[np.float64]:
    """Return what an array that the model gives means in codes of the tensor, not rounded."""
    values = array.astype(np.float64)
    return values if _wide(tensor) else values * _step(tensor) + tensor.format.low


def _wide(tensor: Tensor) -> bool:
    return tensor.format.bits > 8


def _step(tensor: Tensor) -> float:
    """Return how many codes of the tensor lie from one uint8 to the next."""
    return (tensor.format.high - tensor.format.low) / 255


def _zero(tensor: Tensor) -> int:
    return round((tensor.format.zero_point - tensor.format.low) / _step(tensor))


def _value(tensor: Tensor) -> onnx.ValueInfoProto:
    kind = TensorProto.FLOAT if _wide(tensor) else TensorProto.UINT8
    return helper.make_tensor_value_info(tensor.name, kind, ["N", *tensor.shape])


class _Graph:
    def __init__(self, program: Program) -> None:
        self.program = program
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def node(self, kind: str, inputs: list[str], output: str, domain: str = "", **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], domain=domain, **attributes))
        return output

    def constant(self, name: str, array: NDArray[np.generic] | np.generic) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def quantization(self, name: str, step: float | NDArray[np.float64], zero: int) -> list[str]:
        """Return the names of a scale and of the uint8 that means 0."""
        return [self.constant(f"{name}.scale", np.float32(step)), self.constant(f"{name}.zero", np.uint8(zero))]

    def conv(self, conv: Conv) -> None:
        source, target = self.program.tensor(conv.input), self.program.tensor(conv.output)
        scale, unit = _scale(conv), conv.weight_format.kind == "unit"
        if _wide(target):
            self.wide(conv, source, target)
            return
        clamps = (conv.low, conv.high) != (target.format.low, target.format.high)
        name = f"{conv.name}.unclamped" if clamps else target.name
        out = self.quantization(f"{conv.name}.out", _step(target), _zero(target))
        if unit and conv.residual is not None and conv.kernel == (1, 1):
            first = self.quantization(f"{conv.name}.x", float(np.median(scale)) * _step(source), _zero(source))
            self.add(conv, [source.name, *first], out, name)
        elif unit and conv.residual is None and _whole(conv, source):
            pixels = source.height * source.width
            first = self.quantization(f"{conv.name}.x", float(np.median(scale)) * pixels * _step(source),
                                      _zero(source))
            self.node("QLinearGlobalAveragePool", [source.name, *first, *out], name, MICROSOFT, channels_last=0)
        elif conv.residual is None:
            self.product(conv, source, out, name)
        else:
            twice = self.quantization(f"{conv.name}.sum", 2 * _step(target), 128)
            self.product(conv, source, twice, f"{conv.name}.sum")
            self.add(conv, [f"{conv.name}.sum", *twice], out, name)
        if clamps:
            bounds = [self.constant(f"{conv.name}.{end}", stored(target, np.asarray(getattr(conv, end))))
                      for end in ("low", "high")]
            self.node("Clip", [name, *bounds], target.name)

    def product(self, conv: Conv, source: Tensor, out: list[str], output: str) -> None:
        """Add QLinearConv, or QGemm where the window is the whole map: both in uint8, or float32 if `out` is empty."""
        weights, bias = self.operands(conv, source)
        first = [source.name, *self.quantization(f"{conv.name}.x", _step(source), _zero(source))]
        second = [self.constant(f"{conv.name}.w.scale", np.abs(_scale(conv)).astype(np.float32)),
                  self.constant(f"{conv.name}.w.zero", np.zeros(conv.channels, np.int8))]
        biases = self.constant(f"{conv.name}.bias", bias)
        if not conv.depthwise and _whole(conv, source):
            first[0] = self.node("Flatten", [source.name], f"{conv.name}.flat")
            columns = np.ascontiguousarray(weights.reshape(conv.channels, -1).T)
            made = self.node("QGemm", [*first, self.constant(f"{conv.name}.w", columns), *second, biases, *out],
                             f"{conv.name}.product", MICROSOFT)
            shape = self.constant(f"{conv.name}.shape", np.array([-1, conv.channels, 1, 1], np.int64))
            self.node("Reshape", [made, shape], output)
        else:
            top, left, bottom, right = conv.pads
            self.node("QLinearConv", [*first, self.constant(f"{conv.name}.w", weights), *second, *out, biases], output,
                      kernel_shape=list(conv.kernel), strides=list(conv.stride), dilations=list(conv.dilation),
                      pads=[top, left, bottom, right], group=conv.groups)

    def operands(self, conv: Conv, source: Tensor) -> tuple[NDArray[np.int8], NDArray[np.int32]]:
        """Return weights with the sign of M, and everything constant in units of |M| and uint8 steps of the source."""
        m = multipliers(conv.multiplier)
        sign = np.where(m < 0, -1, (m != 0).astype(np.int64))
        weights = conv.weight_values * sign.reshape(-1, 1, 1, 1)
        offset = conv.offset + m * source.format.zero_point * conv.weight_values.sum(axis=(1, 2, 3))
        if conv.residual is not None:
            zero = self.program.tensor(conv.residual).format.zero_point
            offset = offset + multipliers(conv.residual_multiplier) * zero
        bias = np.rint(offset / np.maximum(np.abs(m), 1) / _step(source))
        return weights.clip(-128, 127).astype(np.int8), bias.clip(-LARGEST_BIAS, LARGEST_BIAS).astype(np.int32)

    def add(self, conv: Conv, first: list[str], out: list[str], output: str) -> None:
        """Add a residual with one scale for all channels: the median of R / 2**n."""
        assert conv.residual is not None
        other = self.program.tensor(conv.residual)
        ratio = float(np.median(multipliers(conv.residual_multiplier) * 2.0 ** -conv.shift))
        second = self.quantization(f"{conv.name}.r", ratio * _step(other), _zero(other))
        self.node("QLinearAdd", [*first, other.name, *second, *out], output, MICROSOFT)

    def wide(self, conv: Conv, source: Tensor, target: Tensor) -> None:
        """Add sums of a last layer, scaled in float32."""
        if conv.residual is not None or conv.depthwise or not _whole(conv, source) or target.format.zero_point:
            raise ValueError(f"layer '{conv.name}': of the int8 peer's wide outputs only plain Linear ones are written")
        self.product(conv, source, [], target.name)

    def pool(self, pool: Pool) -> None:
        top, left, bottom, right = pool.pads
        self.node("MaxPool", [pool.input], pool.output, kernel_shape=list(pool.kernel), strides=list(pool.stride),
                  pads=[top, left, bottom, right])


def _whole(conv: Conv, source: Tensor) -> bool:
    """Tell whether the window is the whole map."""
    return conv.kernel == (source.height, source.width) and not any(conv.pads)


def _scale(conv: Conv) -> NDArray[np.float64]:
    """Return M / 2**n of every channel; 1 / 2**n, for a constant, where M is 0."""
    m = multipliers(conv.multiplier)
    return np.asarray(np.where(m == 0, 1, m) * 2.0 ** -conv.shift, np.float64)
