"""ATen's convolutions, products of matrices and normalisations."""

from __future__ import annotations

from string import ascii_letters
from typing import Any

import torch

from quant.frontends.aten.builder import Builder
from quant.frontends.aten.call import Call
from quant.frontends.aten.handler import Arguments, Handler, Made
from quant.graph.ops.einsum import read_equation
from quant.graph.ops.linear import BatchNorm, Conv, ConvTranspose, Linear, MatMul
from quant.graph.reasons import OWN_SUMS
from sim.errors import InputError

__all__ = ["HANDLERS", "spread"]


def spread(value: Any, axes: int) -> tuple[int, ...]:
    """Return one number for each axis: what torch takes is a number, a list of one, or a list of all.

    >>> spread(2, 2), spread([3], 2), spread([1, 2], 2)
    ((2, 2), (3, 3), (1, 2))
    """
    given = tuple(value) if isinstance(value, list | tuple) else (value,)
    return tuple(int(number) for number in (given * axes if len(given) == 1 else given))


def _conv(builder: Builder, call: Call, given: Arguments) -> Made:
    kernel = builder.shape(given["weight"])[2:]
    axes = len(kernel)
    dilation = spread(given["dilation"], axes)
    pads = _pads(given["padding"], kernel, dilation)
    operator = Conv(spread(given["stride"], axes), dilation, pads, given["groups"])
    return builder.add(operator, _operands(given, "input", "weight", "bias"), call)


def _pads(padding: Any, kernel: tuple[int, ...], dilation: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    """Return the pads of a convolution; torch puts the odd one of "same" behind."""
    if padding == "valid":
        return ((0, 0),) * len(kernel)
    if padding == "same":
        whole = [step * (size - 1) for step, size in zip(dilation, kernel, strict=True)]
        return tuple((pads // 2, pads - pads // 2) for pads in whole)
    return tuple((pad, pad) for pad in spread(padding, len(kernel)))


def _any_conv(builder: Builder, call: Call, given: Arguments) -> Made:
    """Read `aten.convolution`, which decompositions make of all convolutions."""
    if not given["transposed"]:
        return _conv(builder, call, given)
    return _conv_transpose(builder, call, given)


def _conv_transpose(builder: Builder, call: Call, given: Arguments) -> Made:
    axes = len(builder.shape(given["weight"])) - 2
    pads = tuple((pad, pad) for pad in spread(given["padding"], axes))
    operator = ConvTranspose(spread(given["stride"], axes), spread(given["dilation"], axes), pads,
                             spread(given["output_padding"], axes), given["groups"])
    return builder.add(operator, _operands(given, "input", "weight", "bias"), call)


def _linear(builder: Builder, call: Call, given: Arguments) -> Made:
    return builder.add(Linear(), _operands(given, "input", "weight", "bias"), call)


def _matmul(builder: Builder, call: Call, given: Arguments) -> Made:
    names = ("self", "mat2") if "mat2" in given else ("self", "other")
    return builder.add(MatMul(), _operands(given, *names), call)


def _einsum(builder: Builder, call: Call, given: Arguments) -> Made:
    values = given["tensors"]
    return builder.add(read_equation(given["equation"], [not builder.is_constant(value) for value in values]), values,
                       call)


def _tensordot(builder: Builder, call: Call, given: Arguments) -> Made:
    """Read a sum over axes of both operands as an `Einsum`."""
    values = [given["self"], given["other"]]
    ranks = [builder.rank(value) for value in values]
    letters = [list(ascii_letters[:ranks[0]]), list(ascii_letters[ranks[0]:sum(ranks)])]
    for axis, other in zip(given["dims_self"], given["dims_other"], strict=True):
        letters[1][other] = letters[0][axis]
    summed = {letters[0][axis] for axis in given["dims_self"]}
    kept = "".join(letter for letter in (*letters[0], *letters[1]) if letter not in summed)
    return _einsum(builder, call, {"equation": f"{''.join(letters[0])},{''.join(letters[1])}->{kept}",
                                   "tensors": values})


def _addmm(builder: Builder, call: Call, given: Arguments) -> Made:
    if (given["alpha"], given["beta"]) != (1, 1) or not builder.is_constant(given["mat2"]):
        raise InputError("its matrix must be a constant, and alpha and beta 1")
    weight = builder.constant(f"{call.outputs[0]}.weight", builder.graph.constants[given["mat2"]].t().contiguous())
    return builder.add(Linear(), [given["mat1"], weight, given["self"]], call)


def _batch_norm(builder: Builder, call: Call, given: Arguments) -> Made:
    """Read BatchNorm with the statistics that it has; missing gains are 1 and missing shifts 0."""
    if given.get("training"):
        raise InputError("it stays in training mode, where it has no fixed gain")
    mean, variance = given["running_mean"], given["running_var"]
    if mean is None or variance is None:
        raise InputError("it has no running statistics, so no fixed gain")
    like = builder.graph.constants[mean]
    gain = given["weight"] or builder.constant(f"{call.outputs[0]}.gain", torch.ones_like(like))
    shift = given["bias"] or builder.constant(f"{call.outputs[0]}.shift", torch.zeros_like(like))
    made = builder.add(BatchNorm(float(given["eps"])), [given["input"], gain, shift, mean, variance], call)
    return made if len(call.outputs) == 1 else (made, *("" for _ in call.outputs[1:]))


def _instance_norm(builder: Builder, call: Call, given: Arguments) -> Made:
    if given["use_input_stats"]:
        raise InputError(OWN_SUMS)
    return _batch_norm(builder, call, {**given, "training": False})


def _operands(given: Arguments, *names: str) -> list[str]:
    return [given[name] for name in names if given[name] is not None]


HANDLERS: dict[str, Handler] = {
    **{f"aten.conv{axes}d.{overload}": _conv for axes in (1, 2, 3) for overload in ("default", "padding")},
    "aten.convolution.default": _any_conv,
    "aten.conv_transpose1d.default": _conv_transpose, "aten.conv_transpose2d.input": _conv_transpose,
    "aten.linear.default": _linear, "aten.addmm.default": _addmm,
    **dict.fromkeys(("aten.matmul.default", "aten.mm.default", "aten.bmm.default"), _matmul),
    "aten.mv.default": lambda builder, call, given: builder.add(MatMul(), _operands(given, "self", "vec"), call),
    "aten.einsum.default": _einsum, "aten.tensordot.default": _tensordot,
    "aten.instance_norm.default": _instance_norm,
    "aten.batch_norm.default": _batch_norm, "aten._native_batch_norm_legit_no_training.default": _batch_norm,
}
