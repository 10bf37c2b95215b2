"""ATen's functions of single numbers and of pairs."""

from __future__ import annotations

from math import inf

from quant.frontends.aten.builder import Builder
from quant.frontends.aten.call import Call
from quant.frontends.aten.handler import Arguments, Handler, Made, axis_of, operand, passed, single
from quant.frontends.aten.truths import is_truth
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
from quant.graph.ops.quantization import Dequantize, Quantize
from quant.graph.ops.views import Slice
from quant.graph.reasons import OWN_SUMS
from sim.errors import InputError

__all__ = ["HANDLERS"]

_SAME_NAME: tuple[UnaryKind, ...] = ("abs", "ceil", "cos", "erf", "exp", "floor", "hardswish", "log", "mish", "neg",
                                     "reciprocal", "round", "sigmoid", "sign", "silu", "sin", "sqrt", "tanh")
"""Functions that have the same name on both sides."""


def _unary(kind: UnaryKind) -> Handler:
    return single(lambda given: Unary(kind))


def _gelu(given: Arguments) -> Unary:
    return Unary("gelu_tanh" if given["approximate"] == "tanh" else "gelu")


def _clamp(builder: Builder, call: Call, given: Arguments) -> Made:
    low, high = given.get("min"), given.get("max")
    ends = [end for end in (low, high) if end is not None]
    if any(isinstance(end, str) for end in ends):
        raise InputError("its ends must be numbers")
    return builder.add(Clip(-inf if low is None else float(low), inf if high is None else float(high)),
                       [given["self"]], call)


def _prelu(builder: Builder, call: Call, given: Arguments) -> Made:
    slope = builder.graph.constants.get(given["weight"])
    if slope is None:
        raise InputError("its slopes must be constants")
    after = builder.rank(given["self"]) - 2
    shaped = builder.constant(f"{call.outputs[0]}.slope", slope.reshape(-1, *(1,) * max(after, 0)))
    return builder.add(PRelu(), [given["self"], shaped], call)


def _binary(kind: BinaryKind) -> Handler:
    def handler(builder: Builder, call: Call, given: Arguments) -> Made:
        if given.get("rounding_mode") is not None:
            raise InputError(f"rounding_mode={given['rounding_mode']} has no counterpart")
        left, right = (operand(builder, given[name], call) for name in ("self", "other"))
        if given.get("alpha", 1) != 1:
            factor = operand(builder, given["alpha"], call)
            right = builder.add(Binary("mul"), [right, factor], call)
        both = kind == "add" and is_truth(builder, left) and is_truth(builder, right)
        return builder.add(Binary("max" if both else kind), [left, right], call)  # true + true is true
    return handler


def _lerp(builder: Builder, call: Call, given: Arguments) -> Made:
    """Read start + weight * (end - start) as (1 - weight) * start + weight * end."""
    start, end, weight = (operand(builder, given[name], call) for name in ("self", "end", "weight"))
    rest = builder.add(Binary("sub"), [operand(builder, 1.0, call), weight], call)
    parts = [builder.add(Binary("mul"), [value, share], call) for value, share in ((start, rest), (end, weight))]
    return builder.add(Binary("add"), parts, call)


def _threshold(builder: Builder, call: Call, given: Arguments) -> Made:
    above = builder.add(Binary("gt"), [given["self"], operand(builder, given["threshold"], call)], call)
    return builder.add(Where(), [above, given["self"], operand(builder, given["value"], call)], call)


def _rrelu(given: Arguments) -> LeakyRelu:
    if given["training"]:
        raise InputError("it draws random numbers in training mode")
    return LeakyRelu((float(given["lower"]) + float(given["upper"])) / 2)


def _reversed_sub(builder: Builder, call: Call, given: Arguments) -> Made:
    if given.get("alpha", 1) != 1:
        raise InputError(f"alpha={given['alpha']} has no counterpart")
    return builder.add(Binary("sub"), [operand(builder, given["other"], call), given["self"]], call)


def _power(builder: Builder, call: Call, given: Arguments) -> Made:
    return builder.add(Binary("pow"), [given["self"], operand(builder, given["exponent"], call)], call)


def _softmax(builder: Builder, call: Call, given: Arguments) -> Made:
    kind = LogSoftmax if "log_softmax" in call.target else Softmax
    return builder.add(kind(axis_of(given["dim"], builder.rank(given["self"]))), [given["self"]], call)


def _argmax(builder: Builder, call: Call, given: Arguments) -> Made:
    value = given["self"]
    rank = builder.rank(value)
    if given["dim"] is None:
        raise InputError("it mixes the images of a batch")
    return builder.add(ArgMax(axis_of(given["dim"], rank), given["keepdim"]), [value], call)


def _quantize(builder: Builder, call: Call, given: Arguments) -> Made:
    """Read PT2E's rounding to codes: scale and zero point are numbers, or tensors of one for each channel."""
    return builder.add(Quantize(int(given["quant_min"]), int(given["quant_max"]), _channels(given)),
                       [given["input"], *_scale(builder, call, given)], call)


def _dequantize(builder: Builder, call: Call, given: Arguments) -> Made:
    return builder.add(Dequantize(_channels(given)), [given["input"], *_scale(builder, call, given)], call)


def _channels(given: Arguments) -> int | None:
    return int(given["axis"]) if "axis" in given else None


def _scale(builder: Builder, call: Call, given: Arguments) -> list[str]:
    names = ("scales", "zero_points") if "scales" in given else ("scale", "zero_point")
    return [operand(builder, given[name], call) for name in names]


def _refused(reason: str) -> Handler:
    def handler(builder: Builder, call: Call, given: Arguments) -> Made:
        raise InputError(reason)
    return handler


def _chained(first: UnaryKind, second: UnaryKind) -> Handler:
    def handler(builder: Builder, call: Call, given: Arguments) -> Made:
        return builder.add(Unary(second), [builder.add(Unary(first), [given["self"]], call)], call)
    return handler


def _softplus(builder: Builder, call: Call, given: Arguments) -> Made:
    if given["beta"] != 1:
        raise InputError(f"beta={given['beta']} has no counterpart")
    return builder.add(Unary("softplus"), [given["self"]], call)


def _glu(builder: Builder, call: Call, given: Arguments) -> Made:
    """Read one half of an axis times the sigmoid of the other."""
    value = given["self"]
    axis = axis_of(given["dim"], builder.rank(value))
    half = builder.shape(value)[axis - 1] // 2
    parts = [builder.add(Slice(axis, start, start + half, 1), [value], call) for start in (0, half)]
    return builder.add(Binary("mul"), [parts[0], builder.add(Unary("sigmoid"), [parts[1]], call)], call)


HANDLERS: dict[str, Handler] = {
    **{f"aten.{kind}.default": _unary(kind) for kind in _SAME_NAME},
    "aten.gelu.default": single(_gelu),
    "aten.elu.default": single(lambda given: Elu(float(given["alpha"]), float(given["scale"]),
                                                 float(given["input_scale"]))),
    "aten.softplus.default": _softplus,
    "aten.rsqrt.default": _chained("sqrt", "reciprocal"),
    "aten.glu.default": _glu,
    "aten.hardsigmoid.default": single(lambda given: HardSigmoid()),
    "aten.leaky_relu.default": single(lambda given: LeakyRelu(float(given["negative_slope"]))),
    **dict.fromkeys(("aten.prelu.default", "aten._prelu_kernel.default"), _prelu),
    "aten.relu.default": single(lambda given: Clip(0.0)),
    "aten.relu6.default": single(lambda given: Clip(0.0, 6.0)),
    "aten.hardtanh.default": single(lambda given: Clip(float(given["min_val"]), float(given["max_val"]))),
    **dict.fromkeys(("aten.clamp.default", "aten.clamp.Tensor", "aten.clip.default", "aten.clamp_min.default",
                     "aten.clamp_max.default"), _clamp),
    **{f"aten.{kind}.{overload}": _binary(kind) for kind in ("add", "sub", "mul", "div")
       for overload in ("Tensor", "Scalar")},
    **dict.fromkeys(("aten.subtract.Tensor", "aten.subtract.Scalar"), _binary("sub")),
    **dict.fromkeys(("aten.multiply.Tensor", "aten.multiply.Scalar"), _binary("mul")),
    **dict.fromkeys(("aten.divide.Tensor", "aten.true_divide.Tensor"), _binary("div")),
    "aten.maximum.default": _binary("max"), "aten.minimum.default": _binary("min"),
    "aten.max.other": _binary("max"), "aten.min.other": _binary("min"),
    **dict.fromkeys(("aten.rsub.Scalar", "aten.rsub.Tensor"), _reversed_sub),
    "aten.pow.Tensor_Scalar": _power,
    **{f"aten.lerp.{overload}": _lerp for overload in ("Scalar", "Tensor")},
    "aten.threshold.default": _threshold, "aten.rrelu.default": single(_rrelu),
    **dict.fromkeys(("aten.softmax.int", "aten._softmax.default", "aten.log_softmax.int", "aten._log_softmax.default"),
                    _softmax),
    "aten.argmax.default": _argmax,
    **dict.fromkeys(("aten.dropout.default", "aten.feature_dropout.default", "aten.alpha_dropout.default",
                     "aten.feature_alpha_dropout.default", "aten.clone.default", "aten.contiguous.default",
                     "aten.detach.default", "aten.alias.default", "aten.lift_fresh_copy.default",
                     "aten.positive.default"), passed),
    **{f"quantized_decomposed.quantize_per_{what}": _quantize for what in
       ("tensor.default", "tensor.tensor", "channel.default")},
    **{f"quantized_decomposed.dequantize_per_{what}": _dequantize for what in
       ("tensor.default", "tensor.tensor", "channel.default")},
    **dict.fromkeys(("aten.layer_norm.default", "aten.group_norm.default", "aten.rms_norm.default",
                     "aten.native_layer_norm.default", "aten.native_group_norm.default",
                     "aten.scaled_dot_product_attention.default"), _refused(OWN_SUMS)),
    "higher_order.wrap_with_autocast.default": _refused("it computes in another precision; take torch.autocast out"),
}
