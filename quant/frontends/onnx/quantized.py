"""Readers of quantized operators: what QOperator and QONNX spell in one node becomes codes and values in several."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
from onnx import TensorProto

from quant.frontends.onnx.call import Call, Made, Reader
from quant.frontends.onnx.elementwise import pairwise
from quant.frontends.onnx.places import joined
from quant.frontends.onnx.sums import convolution, product
from quant.frontends.onnx.tensors import Array, type_name
from quant.frontends.onnx.values import Number, Value, shape_of
from quant.frontends.onnx.windows import average, global_average
from quant.graph.ops.answers import Softmax
from quant.graph.ops.elementwise import LeakyRelu, Unary
from quant.graph.ops.linear import MatMul
from quant.graph.ops.quantization import (
    BipolarQuantize,
    Dequantize,
    FakeQuantize,
    Quantize,
    Rounding,
    Truncate,
)
from quant.graph.ops.views import Transpose
from sim.errors import InputError
from sim.io.bounds import check_range

__all__ = ["MICROSOFT_READERS", "QONNX_READERS", "READERS"]

RANGES: Mapping[int, tuple[int, int]] = {
    TensorProto.INT4: (-8, 7), TensorProto.UINT4: (0, 15), TensorProto.INT8: (-128, 127), TensorProto.UINT8: (0, 255),
    TensorProto.INT16: (-32768, 32767), TensorProto.UINT16: (0, 65535)}
"""Codes of each type."""
TYPES = {np.dtype(np.int8): TensorProto.INT8, np.dtype(np.uint8): TensorProto.UINT8,
         np.dtype(np.int16): TensorProto.INT16, np.dtype(np.uint16): TensorProto.UINT16}
ROUNDINGS: Mapping[str, Rounding] = {
    "ROUND": "half_even", "HALF_EVEN": "half_even", "CEIL": "ceil", "FLOOR": "floor", "DOWN": "toward_zero",
    "ROUND_TO_ZERO": "toward_zero"}
MAX_BITS = 32

Unit = Number(np.array(1, np.float32), "")
Zero = Number(np.array(0, np.int32), "")


def _parameters(call: Call, scale: int, zero: int) -> tuple[Number, Number]:
    """Return a scale and a zero point by the places of the inputs; where there is no zero point, 0."""
    found = call.number(scale, "its scale")
    kept = call.given(scale)
    assert isinstance(kept, Number)
    if not np.isfinite(found).all() or (found <= 0).any():
        raise InputError("its scale must be above 0")
    if not call.has(zero):
        return kept, Zero
    call.number(zero, "its zero point")
    point = call.given(zero)
    assert isinstance(point, Number)
    return kept, point


def _axis(call: Call, scale: Array, rank: int) -> int | None:
    """Return along which axis scales differ."""
    if call.attribute("block_size", 0):
        raise InputError("scales of blocks are not computed")
    if scale.size == 1:
        return None
    if scale.ndim != 1:
        raise InputError(f"its scale must be one number, or one for each place of an axis, not of shape {scale.shape}")
    axis = call.attribute("axis", 1)
    check_range(axis, -rank, rank - 1, "axis")
    return int(axis % rank)


def _quantize(call: Call) -> Made:
    scale, zero = _parameters(call, 1, 2)
    x = call.given(0)
    kind = call.attribute("output_dtype", 0) or (TYPES.get(zero.array.dtype, 0) if call.has(2) else TensorProto.UINT8)
    if kind not in RANGES:
        raise InputError(f"codes of type {type_name(kind)} are not computed")
    axis = _axis(call, scale.array, len(shape_of(x)))
    return call.add(Quantize(*RANGES[kind], axis), x, scale, zero)


def _dequantize(call: Call) -> Made:
    scale, zero = _parameters(call, 1, 2)
    codes = call.given(0)
    return call.add(Dequantize(_axis(call, scale.array, len(shape_of(codes)))), codes, scale, zero)


def _values(call: Call, place: int, part: str, axis: int | None = None) -> Value:
    """Add the values of codes, whose scale and zero point are the two inputs after them."""
    codes, (scale, zero) = call.given(place), _parameters(call, place + 1, place + 2)
    if axis is None and scale.array.size > 1:
        raise InputError("its scale must be one number")
    return call.add(Dequantize(None if scale.array.size == 1 else axis), codes, scale, zero, part=part)


def _codes(call: Call, x: Value, scale: int) -> Value:
    """Add the codes of what comes out, whose scale and zero point are two inputs."""
    step, zero = _parameters(call, scale, scale + 1)
    kind = TYPES.get(zero.array.dtype, 0) if call.has(scale + 1) else TensorProto.UINT8
    if kind not in RANGES or step.array.size != 1:
        raise InputError("what comes out must have one scale, and codes of 8 or 16 bits")
    return call.add(Quantize(*RANGES[kind]), x, step, zero)


def _bias(call: Call, place: int, scales: tuple[int, int]) -> Value | None:
    """Add the values of a bias of int32, whose scale is that of the products."""
    if not call.has(place):
        return None
    steps, weight = call.constant(place, "its bias"), call.number(scales[1], "its scale")
    (x, _), (each, _) = (_parameters(call, scale, len(call.inputs)) for scale in scales)
    codes = call.add(Dequantize(), steps, x, Zero, part="bias_of_x")
    return call.add(Dequantize(0 if weight.size > 1 else None), codes, each, Zero, part="bias")


def _qlinear_conv(call: Call) -> Made:
    x, weight = _values(call, 0, "x"), _values(call, 3, "weight", 0)
    return _codes(call, convolution(call, x, weight, _bias(call, 8, (1, 4)), "sum"), 6)


def _qlinear_matmul(call: Call) -> Made:
    weight = _values(call, 3, "weight", len(shape_of(call.given(3))) - 1)
    return _codes(call, product(call, _values(call, 0, "x"), weight, "sum"), 6)


def _qgemm(call: Call) -> Made:
    if call.attribute("transA", 0) or call.attribute("alpha", 1.0) != 1:
        raise InputError("transA must be 0 and alpha 1")
    turned = bool(call.attribute("transB", 0))
    weight = _values(call, 3, "weight", 0 if turned else 1)
    if turned:
        weight = call.add(Transpose((1, 0)), weight, part="turned")
    whole, bias = call.add(MatMul(), _values(call, 0, "x"), weight, part="product"), _bias(call, 6, (1, 4))
    if bias is not None:
        whole = pairwise(call, "add", whole, bias, "sum")
    return _codes(call, whole, 7) if call.has(7) else call.add(Unary("identity"), whole)


def _qlinear_add(call: Call) -> Made:
    kind: Literal["add", "mul"] = "add" if call.node.op_type == "QLinearAdd" else "mul"
    return _codes(call, pairwise(call, kind, _values(call, 0, "x"), _values(call, 3, "y"), kind), 6)


def _qlinear_concat(call: Call) -> Made:
    values = [_values(call, place, f"x{place}") for place in range(2, len(call.inputs), 3)]
    if not values or not all(value.batched for value in values):
        raise InputError("it joins a constant to every image")
    return _codes(call, joined(call, values, "joined"), 0)


def _qlinear_of(function: Callable[[Call, Value], Value]) -> Reader:
    """Return the reader of a function of one value, from codes to codes."""
    def read(call: Call) -> Made:
        if call.attribute("channels_last", 0):
            raise InputError("channels_last must be 0")
        return _codes(call, function(call, _values(call, 0, "x")), 3)
    return read


def _convolution_of_integers(call: Call) -> Made:
    return convolution(call, _integers(call, 0, 2, None, "x"), _integers(call, 1, 3, 0, "weight"), None)


def _product_of_integers(call: Call) -> Made:
    return product(call, _integers(call, 0, 2, None, "x"), _integers(call, 1, 3, 1, "weight"))


def _integers(call: Call, place: int, zero: int, axis: int | None, part: str) -> Value:
    """Add codes without their zero points."""
    codes = call.given(place)
    point = Zero
    if call.has(zero):
        call.number(zero, "its zero point")
        given = call.given(zero)
        assert isinstance(given, Number)
        point = given
    if point.array.size > 1 and axis is None:
        raise InputError("its zero point must be one number")
    return call.add(Dequantize(None if point.array.size == 1 else axis), codes, Unit, point, part=part)


def _dynamic(call: Call) -> Made:
    raise InputError("its step depends on the input; steps must be constant")


def _qonnx_constant(call: Call, place: int, what: str) -> Number:
    """Return scales or zero points of QONNX, which broadcast to the value without another batch."""
    array = call.number(place, what)
    if array.ndim > len(shape_of(call.given(0))):
        raise InputError(f"{what} must not have more axes than its value")
    given = call.given(place)
    assert isinstance(given, Number)
    return given


def _bits(call: Call, place: int, what: str) -> int:
    array = call.number(place, what)
    if array.size != 1 or not np.isfinite(array).all() or array.item() != np.floor(array.item()):
        raise InputError(f"{what} must be one whole number")
    check_range(int(array.item()), 1, MAX_BITS, what)
    return int(array.item())


def _rounding(call: Call, default: str) -> Rounding:
    mode = str(call.attribute("rounding_mode", default)).upper()
    if mode not in ROUNDINGS:
        raise InputError(f"rounding_mode must be one of {', '.join(ROUNDINGS)}, not {mode}")
    return ROUNDINGS[mode]


def _limits(bits: int, signed: bool, narrow: bool) -> tuple[int, int]:
    if signed:
        return -(1 << bits - 1) + narrow, (1 << bits - 1) - 1
    return 0, (1 << bits) - 1 - narrow


def _quant(call: Call) -> Made:
    x, scale, zero = call.given(0), _qonnx_constant(call, 1, "its scale"), _qonnx_constant(call, 2, "its zero point")
    bits, signed = _bits(call, 3, "its number of bits"), bool(call.attribute("signed", 1))
    if bits == 1 and signed:
        return call.add(BipolarQuantize(), x, scale)
    limits = _limits(bits, signed, bool(call.attribute("narrow", 0)))
    return call.add(FakeQuantize(*limits, _rounding(call, "ROUND")), x, scale, zero)


def _bipolar_quant(call: Call) -> Made:
    x = call.given(0)
    return call.add(BipolarQuantize(), x, _qonnx_constant(call, 1, "its scale"))


def _trunc(call: Call) -> Made:
    if len(call.inputs) != 5:
        raise InputError("it must have 5 inputs: those of version 1")
    before, after = _bits(call, 3, "its number of bits"), _bits(call, 4, "its number of bits after")
    check_range(after, 1, before, "its number of bits after")
    operator = Truncate(before - after, _rounding(call, "FLOOR"))
    return call.add(operator, call.given(0), _qonnx_constant(call, 1, "its scale"),
                    _qonnx_constant(call, 2, "its zero point"))


def _leaky(call: Call, x: Value) -> Value:
    return call.add(LeakyRelu(float(call.attribute("alpha", 0.01))), x, part="leaky")


def _shares(call: Call, x: Value) -> Value:
    if call.attribute("opset", 13) < 13:
        raise InputError(f"its opset must be 13 or above, not {call.attribute('opset')}")
    return call.add(Softmax(call.axis(call.attribute("axis", -1), len(shape_of(x)))), x, part="shares")


READERS: Mapping[str, Reader] = {
    "ConvInteger": _convolution_of_integers, "DequantizeLinear": _dequantize, "DynamicQuantizeLinear": _dynamic,
    "MatMulInteger": _product_of_integers, "QLinearConv": _qlinear_conv, "QLinearMatMul": _qlinear_matmul,
    "QuantizeLinear": _quantize}
"""Of ONNX's own domain."""

MICROSOFT_READERS: Mapping[str, Reader] = {
    "DequantizeLinear": _dequantize, "QGemm": _qgemm, "QLinearAdd": _qlinear_add,
    "QLinearAveragePool": _qlinear_of(lambda call, x: average(call, x, "average")), "QLinearConcat": _qlinear_concat,
    "QLinearGlobalAveragePool": _qlinear_of(lambda call, x: global_average(call, x, "average")),
    "QLinearLeakyRelu": _qlinear_of(_leaky), "QLinearMul": _qlinear_add,
    "QLinearSigmoid": _qlinear_of(lambda call, x: call.add(Unary("sigmoid"), x, part="sigmoid")),
    "QLinearSoftmax": _qlinear_of(_shares),
    "QuantizeLinear": _quantize}
"""Of ONNX Runtime's own domain, com.microsoft."""

QONNX_READERS: Mapping[str, Reader] = {
    "BipolarQuant": _bipolar_quant, "IntQuant": _quant, "Quant": _quant, "Trunc": _trunc}
"""Of QONNX."""
