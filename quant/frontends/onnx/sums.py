"""Readers of convolutions, matrix products and BatchNorms."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from quant.frontends.onnx.call import Call, Made, Reader
from quant.frontends.onnx.geometry import Pads, windows_of
from quant.frontends.onnx.values import Known, Number, Value, shape_of
from quant.graph.ops.einsum import read_equation
from quant.graph.ops.elementwise import Binary, Unary
from quant.graph.ops.linear import BatchNorm, Conv, ConvTranspose, Linear, MatMul
from quant.graph.ops.views import Transpose
from sim.errors import InputError
from sim.io.bounds import MAX_EXTENT, check_range

__all__ = ["READERS", "convolution", "product"]


def convolution(call: Call, x: Value, weight: Known, bias: Known | None, part: str = "") -> Value:
    """Add a convolution with the attributes of a node."""
    shape = shape_of(weight)
    kernel = call.integers("kernel_shape", shape[2:])
    if kernel != shape[2:]:
        raise InputError(f"kernel_shape says {kernel}, and its weights have {shape[2:]}")
    windows = windows_of(call, kernel)
    groups = call.attribute("group", 1)
    check_range(groups, 1, MAX_EXTENT, "group")
    operator = Conv(windows.stride, windows.dilation, windows.pads, groups)
    return call.add(operator, x, weight, *([] if bias is None else [bias]), weight=weight, part=part)


def _conv(call: Call) -> Made:
    bias = call.constant(2, "its bias") if call.has(2) else None
    return convolution(call, call.x, call.constant(1, "its weights"), bias)


def _conv_transpose(call: Call) -> Made:
    weight = call.constant(1, "its weights")
    kernel = call.integers("kernel_shape", shape_of(weight)[2:])
    if kernel != shape_of(weight)[2:]:
        raise InputError(f"kernel_shape says {kernel}, and its weights have {shape_of(weight)[2:]}")
    if len(kernel) != len(call.shape) - 2:
        raise InputError(f"a kernel of {len(kernel)} axes reads a value of {len(call.shape)}")
    ones = (1,) * len(kernel)
    stride, dilation = call.integers("strides", ones), call.integers("dilations", ones)
    more = call.integers("output_padding", (0,) * len(kernel), 0)
    groups = call.attribute("group", 1)
    check_range(groups, 1, MAX_EXTENT, "group")
    whole = [(size - 1) * step + (extent - 1) * hole + 1 + rest for size, step, extent, hole, rest in zip(
        call.shape[2:], stride, kernel, dilation, more, strict=True)]
    bias = [call.constant(2, "its bias")] if call.has(2) else []
    return call.add(ConvTranspose(stride, dilation, _cuts(call, stride, whole), more, groups), call.x, weight, *bias,
                    weight=weight)


def _cuts(call: Call, stride: tuple[int, ...], whole: list[int]) -> Pads:
    """Return what a transposed convolution cuts from the ends of its output."""
    size, kind = call.shape[2:], call.attribute("auto_pad", "NOTSET")
    if call.attribute("output_shape") is not None:
        wanted = call.integers("output_shape", size)
    elif kind in ("SAME_UPPER", "SAME_LOWER"):
        wanted = tuple(extent * step for extent, step in zip(size, stride, strict=True))
    elif kind == "VALID":
        return ((0, 0),) * len(size)
    else:
        given = call.integers("pads", (0,) * 2 * len(size), 0)
        return tuple(zip(given[: len(size)], given[len(size) :], strict=True))
    totals = [extent - target for extent, target in zip(whole, wanted, strict=True)]
    if min(totals) < 0:
        raise InputError(f"its output must be at most {tuple(whole)}, not {wanted}")
    return tuple((total // 2, total - total // 2) if kind == "SAME_UPPER" else (total - total // 2, total // 2)
                 for total in totals)


def _gemm(call: Call) -> Made:
    """Read alpha * A @ B + beta * C, where A is a value and the others are constant."""
    x, weight = call.x, call.constant(1, "its weights")
    if call.attribute("transA", 0):
        raise InputError("it mixes the images of a batch")
    alpha, beta = call.attribute("alpha", 1.0), call.attribute("beta", 1.0)
    bias = call.constant(2, "its bias") if call.has(2) and beta != 0 else None
    if isinstance(weight, Value):
        return _product_of_codes(call, x, weight, bias, alpha, beta)
    array = weight.array if call.attribute("transB", 0) else weight.array.T
    if array.ndim != 2:
        raise InputError(f"its weights must have 2 axes, not {array.ndim}")
    scaled = weight if alpha == 1 and array is weight.array else call.renamed(
        array if alpha == 1 else array * np.float32(alpha), weight)
    biases = [] if bias is None else [_row(call, bias, array.shape[0], beta)]
    return call.add(Linear(), x, scaled, *biases, weight=weight)


def _row(call: Call, bias: Known, size: int, beta: float) -> Number:
    """Return a bias as one number for each output."""
    if isinstance(bias, Value):
        raise InputError("its bias is made of codes, and its weights are not")
    array = bias.array
    if array.ndim > 2 or (array.ndim == 2 and array.shape[0] != 1) or array.shape[-1:] not in ((), (1,), (size,)):
        raise InputError(f"its bias must be one number for each of {size} outputs, not of shape {array.shape}")
    if beta == 1 and array.shape == (size,):
        return bias
    row = np.broadcast_to(array.reshape(-1), (size,))
    return call.renamed(row if beta == 1 else row * np.float32(beta), bias)


def _product_of_codes(call: Call, x: Value, weight: Value, bias: Known | None, alpha: float, beta: float) -> Value:
    """Read a Gemm whose weights are made of codes."""
    if alpha != 1 or (bias is not None and beta != 1):
        raise InputError("alpha and beta of quantized weights must be 1")
    if call.attribute("transB", 0):
        weight = call.add(Transpose((1, 0)), weight, part="weight")
    if bias is None:
        return call.add(MatMul(), x, weight)
    return call.add(Binary("add"), call.add(MatMul(), x, weight, part="product"), bias)


def product(call: Call, x: Known, y: Known, part: str = "") -> Value:
    """Add the product of two values as matrices, of which at least one depends on the inputs."""
    if isinstance(x, Number) or not x.batched:
        rank = len(shape_of(y))
        if len(shape_of(x)) > rank or rank < 3 or (len(shape_of(x)) == rank and shape_of(x)[0] != 1):
            raise InputError("it mixes the images of a batch")
    elif isinstance(y, Number) and y.array.ndim == 2 and len(shape_of(x)) >= 2:
        return call.add(Linear(), x, call.renamed(y.array.T, y), weight=y, part=part)
    elif isinstance(y, Value) and y.batched and (len(shape_of(x)) != len(shape_of(y)) or len(shape_of(x)) < 3):
        raise InputError("it mixes the images of a batch")
    elif len(shape_of(x)) < max(len(shape_of(y)), 2) or (isinstance(y, Number) and y.array.ndim > 2
                                                        and y.array.ndim == len(shape_of(x)) and len(y.array) != 1):
        raise InputError("it mixes the images of a batch")
    return call.add(MatMul(), x, y, weight=x if isinstance(y, Value) and y.batched else y, part=part)


def _matmul(call: Call) -> Made:
    return product(call, call.given(0), call.given(1))


def _einsum(call: Call) -> Made:
    values = [call.given(place) for place in range(len(call.inputs))]
    batched = [isinstance(value, Value) and value.batched for value in values]
    weight = next((value for value, depends in zip(values, batched, strict=True) if not depends), None)
    return call.add(read_equation(call.attribute("equation", ""), batched), *values, weight=weight)


def _batch_norm(call: Call) -> Made:
    if call.attribute("training_mode", 0) or call.attribute("spatial", 1) != 1:
        raise InputError("it must have the statistics of training, one for each channel")
    call.refuse_outputs(1, "what training needs of it")
    values = [call.constant(place, "its parameters") for place in range(1, 5)]
    if any(shape_of(value) != call.shape[1:2] for value in values):
        raise InputError(f"its parameters must be {call.shape[1] if len(call.shape) > 1 else 1} numbers each")
    return call.add(BatchNorm(float(call.attribute("epsilon", 1e-5))), call.x, *values, weight=values[0])


def _dropout(call: Call) -> Made:
    call.refuse_outputs(1, "its mask")
    training = call.number(2, "training_mode") if call.has(2) else np.zeros(1)
    if call.opset >= 12 and training.any() and (not call.has(1) or call.number(1, "ratio").any()):
        raise InputError("it is in training mode")
    return call.add(Unary("identity"), call.x)


READERS: Mapping[str, Reader] = {
    "BatchNormalization": _batch_norm, "Conv": _conv, "ConvTranspose": _conv_transpose, "Dropout": _dropout,
    "Einsum": _einsum, "Gemm": _gemm, "MatMul": _matmul}
