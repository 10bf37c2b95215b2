"""Readers of functions of single numbers, and of pairs of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import inf

import numpy as np

from quant.frontends.onnx.call import Call, Made, Reader
from quant.frontends.onnx.tensors import FLOATS, type_name
from quant.frontends.onnx.values import Known, Number, Value, shape_of
from quant.graph.ops.answers import ArgMax, LogSoftmax, Softmax
from quant.graph.ops.elementwise import (
    Binary,
    BinaryKind,
    Clip,
    Elu,
    HardSigmoid,
    LeakyRelu,
    PRelu,
    Unary,
    UnaryKind,
    Where,
)
from quant.graph.ops.views import Reshape
from quant.graph.reasons import NEIGHBOURS, OWN_SUMS
from sim.errors import InputError

__all__ = ["READERS", "pairwise"]

UNARY: Mapping[str, UnaryKind] = {
    "Abs": "abs", "Ceil": "ceil", "Cos": "cos", "Erf": "erf", "Exp": "exp", "Floor": "floor", "HardSwish": "hardswish",
    "Identity": "identity", "Log": "log", "Mish": "mish", "Neg": "neg", "Reciprocal": "reciprocal", "Round": "round",
    "Sigmoid": "sigmoid", "Sign": "sign", "Sin": "sin", "Softplus": "softplus", "Softsign": "softsign", "Sqrt": "sqrt",
    "Tanh": "tanh"}
BINARY: Mapping[str, BinaryKind] = {
    "Add": "add", "Div": "div", "Max": "max", "Mean": "add", "Min": "min", "Mul": "mul", "Pow": "pow", "Sub": "sub",
    "Sum": "add", "Greater": "gt", "GreaterOrEqual": "ge", "Less": "lt", "LessOrEqual": "le",
    "Equal": "eq", "And": "mul", "Or": "max"}
SELU = {"alpha": 1.67326319217681884765625, "gamma": 1.05070102214813232421875}


def pairwise(call: Call, kind: BinaryKind, x: Known, y: Known, part: str = "") -> Value:
    """Add a function of two values.

    Raises
    ------
    InputError
        If the batch of one stands where another axis of the other does.
    """
    _check_aligned(x, y)
    return call.add(Binary(kind), x, y, part=part)


def _check_aligned(*values: Known) -> None:
    batched = [value for value in values if isinstance(value, Value) and value.batched]
    if any(value.integers for value in batched):
        raise InputError("integers that depend on the input must become floats before arithmetic")
    rank = max((_rank(value) for value in batched), default=0)
    for value in values if batched else ():
        aligned = _rank(value) == rank if value in batched else _rank(value) < rank or _first(value) == 1
        if not aligned or _rank(value) > rank:
            raise InputError("it mixes the images of a batch")
    try:
        np.broadcast_shapes(*map(shape_of, values))
    except ValueError:
        images = [value.shape[1:] if isinstance(value, Value) and value.shape and value.batched else shape_of(value)
                  for value in values]
        raise InputError(f"values of shapes {' and '.join(map(str, images))} do not fit together") from None


def _rank(value: Known) -> int:
    return len(shape_of(value))


def _first(value: Known) -> int:
    return shape_of(value)[0]


def _unary(call: Call) -> Made:
    return call.add(Unary(UNARY[call.node.op_type]), call.x)


def _elu(call: Call) -> Made:
    return call.add(Elu(float(call.attribute("alpha", 1.0))), call.x)


def _selu(call: Call) -> Made:
    return call.add(Elu(*(float(call.attribute(name, value)) for name, value in SELU.items())), call.x)


def _celu(call: Call) -> Made:
    alpha = float(call.attribute("alpha", 1.0))
    if not alpha > 0:
        raise InputError(f"alpha must be above 0, not {alpha:g}")
    return call.add(Elu(alpha, 1.0, 1 / alpha), call.x)


def _thresholded_relu(call: Call) -> Made:
    """Read x where it is above alpha, 0 elsewhere."""
    above = call.add(Binary("gt"), call.x, Number(np.array(call.attribute("alpha", 1.0), np.float32), ""), part="above")
    return call.add(Where(), above, call.x, Number(np.array(0, np.float32), ""))


def _gelu(call: Call) -> Made:
    kind = call.attribute("approximate", "none")
    if kind not in ("none", "tanh"):
        raise InputError(f"approximate must be none or tanh, not {kind}")
    return call.add(Unary("gelu" if kind == "none" else "gelu_tanh"), call.x)


def _swish(call: Call) -> Made:
    _require(call, "alpha", 1.0)
    return call.add(Unary("silu"), call.x)


def _require(call: Call, name: str, value: float) -> None:
    """Refuse an attribute that has another value than the one that is computed."""
    found = call.attribute(name, value)
    if np.float32(found) != np.float32(value):
        raise InputError(f"{name} must be {value:g}, not {found:g}")


def _cast(call: Call) -> Made:
    kind = call.attribute("to")
    if kind not in FLOATS:
        raise InputError(f"a value that depends on the input cannot become {type_name(kind)}")
    return replace(call.add(Unary("identity"), call.x), integers=False)


def _relu(call: Call) -> Made:
    return call.add(Clip(0.0, inf), call.x)


def _clip(call: Call) -> Made:
    return call.add(Clip(call.scalar("min", 1, 11, -inf), call.scalar("max", 2, 11, inf)), call.x)


def _hard_sigmoid(call: Call) -> Made:
    return call.add(HardSigmoid(float(call.attribute("alpha", 0.2)), float(call.attribute("beta", 0.5))), call.x)


def _leaky_relu(call: Call) -> Made:
    return call.add(LeakyRelu(float(call.attribute("alpha", 0.01))), call.x)


def _prelu(call: Call) -> Made:
    slope = call.constant(1, "its slopes")
    if isinstance(slope, Number) and call.opset < 7 and slope.array.ndim == 1 and len(call.shape) > 2:
        slope = call.renamed(slope.array.reshape(-1, *(1,) * (len(call.shape) - 2)), slope)
    if _rank(slope) > len(call.shape) or (_rank(slope) == len(call.shape) and _first(slope) != 1):
        raise InputError("it mixes the images of a batch")
    return call.add(PRelu(), call.x, slope, weight=slope)


def _binary(call: Call) -> Made:
    kind = BINARY[call.node.op_type]
    values = [call.given(place) for place in range(len(call.inputs))]
    if call.opset < 7 and call.attribute("broadcast", 0):
        values[1] = _broadcast(call, values[1])
    mean = call.node.op_type == "Mean"
    if len(values) == 1 or mean:
        first = call.value(0)
        whole: Known = call.add(Unary("identity"), first, part="only" if mean else "") if len(values) == 1 else first
    else:
        whole = values[0]
    for place, value in enumerate(values[1:], 2):
        last = place == len(values) and not mean
        whole = pairwise(call, kind, whole, value, "" if last else f"{place}")
    if mean:
        whole = pairwise(call, "mul", whole, Number(np.array(1 / len(values), np.float32), ""))
    assert isinstance(whole, Value)
    return whole


def _broadcast(call: Call, value: Known) -> Known:
    """Return the second operand as the operators before opset 7 mean it: its axes begin at `axis` of the first."""
    axis, rank = call.attribute("axis"), len(call.shape)
    if axis is None or _rank(value) == 0:
        return value
    if isinstance(value, Value) or not 0 <= axis % rank <= rank - value.array.ndim:
        raise InputError("axis must be one at which a constant begins")
    return call.renamed(value.array.reshape(*value.array.shape, *(1,) * (rank - axis % rank - value.array.ndim)), value)


def _where(call: Call) -> Made:
    values = [call.given(place) for place in range(3)]
    _check_aligned(*values)
    return call.add(Where(), *values)


def _not(call: Call) -> Made:
    return call.add(Binary("sub"), Number(np.array(1, np.float32), ""), call.x)


def _refused(reason: str) -> Reader:
    def reader(call: Call) -> Made:
        raise InputError(reason)
    return reader


def _softmax(call: Call) -> Made:
    kind = Softmax if call.node.op_type == "Softmax" else LogSoftmax
    rank = len(call.shape)
    if call.opset >= 13:
        return call.add(kind(call.axis(call.attribute("axis", -1), rank)), call.x)
    axis = call.axis(call.attribute("axis", 1), rank)  # before, all axes from this one on are one
    if axis == rank - 1:
        return call.add(kind(axis), call.x)
    if axis > 1:
        raise InputError(f"axis of opset {call.opset} must be 1 or the last one, not {axis}")
    rows = call.add(Reshape((int(np.prod(call.shape[1:])),)), call.x, part="rows")
    return call.add(Reshape(call.shape[1:]), call.add(kind(1), rows, part="shares"))


def _argmax(call: Call) -> Made:
    if call.attribute("select_last_index", 0):
        raise InputError("select_last_index is not computed")
    return call.add(ArgMax(call.axis(call.attribute("axis", 0), len(call.shape)), bool(call.attribute("keepdims", 1))),
                    call.x)


READERS: Mapping[str, Reader] = {
    **dict.fromkeys(UNARY, _unary), **dict.fromkeys(BINARY, _binary), "ArgMax": _argmax, "Cast": _cast, "Clip": _clip,
    "Elu": _elu, "Gelu": _gelu, "HardSigmoid": _hard_sigmoid, "LeakyRelu": _leaky_relu, "LogSoftmax": _softmax,
    "PRelu": _prelu, "Relu": _relu, "Selu": _selu, "Softmax": _softmax, "Swish": _swish, "Where": _where,
    "Not": _not, "Celu": _celu, "ThresholdedRelu": _thresholded_relu, "LRN": _refused(NEIGHBOURS),
    **dict.fromkeys(("GroupNormalization", "InstanceNormalization", "LayerNormalization", "LpNormalization",
                     "MeanVarianceNormalization", "RMSNormalization"), _refused(OWN_SUMS))}
