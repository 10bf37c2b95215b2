"""ATen's pools, averages and reductions."""

from __future__ import annotations

from typing import Literal

from quant.frontends.aten.builder import Builder
from quant.frontends.aten.call import Call
from quant.frontends.aten.handler import Arguments, Handler, Made, axis_of, operand
from quant.frontends.aten.sums import spread
from quant.graph.ops.elementwise import Binary, Unary
from quant.graph.ops.pools import AdaptivePool, AveragePool, MaxPool, Reduce
from quant.graph.reasons import NEIGHBOURS
from sim.errors import InputError

__all__ = ["HANDLERS"]

Pads = tuple[tuple[int, int], ...]


def _window(builder: Builder, given: Arguments, axes: int) -> tuple[tuple[int, ...], tuple[int, ...], Pads, Pads]:
    """Return kernel, stride, pads with what ceil_mode adds, and the pads as written."""
    kernel = spread(given["kernel_size"], axes)
    stride = spread(given["stride"], axes) if given["stride"] not in (None, [], ()) else kernel
    dilation = spread(given.get("dilation", 1), axes)
    sizes = builder.shape(given["self"])[1:]
    written = tuple((pad, pad) for pad in spread(given["padding"], axes))
    if not given["ceil_mode"]:
        return kernel, stride, written, written
    pads = tuple((pad, pad + _beyond(size, pad, (reach - 1) * step + 1, by)) for size, (pad, _), reach, step, by in
                 zip(sizes, written, kernel, dilation, stride, strict=True))
    return kernel, stride, pads, written


def _beyond(size: int, pad: int, reach: int, stride: int) -> int:
    """Return how far the last window of ceil_mode reaches beyond the pads; it begins in the map or in the first pad.

    >>> _beyond(5, 0, 2, 2), _beyond(4, 0, 2, 2), _beyond(3, 1, 1, 4)
    (1, 0, 0)
    """
    count = -(-(size + 2 * pad - reach) // stride) + 1
    if (count - 1) * stride >= size + pad:
        count -= 1
    return max(0, (count - 1) * stride + reach - size - 2 * pad)


def _max(axes: int) -> Handler:
    def handler(builder: Builder, call: Call, given: Arguments) -> Made:
        kernel, stride, pads, _ = _window(builder, given, axes)
        operator = MaxPool(kernel, stride, spread(given["dilation"], axes), pads, bool(given["ceil_mode"]))
        made = builder.add(operator, [given["self"]], call)
        return made if len(call.outputs) == 1 else (made, "")
    return handler


def _average(axes: int) -> Handler:
    def handler(builder: Builder, call: Call, given: Arguments) -> Made:
        kernel, stride, pads, written = _window(builder, given, axes)
        if axes > 1 and kernel[0] > 1 and {*kernel[1:]} == {1}:  # what torch makes of a local response norm
            raise InputError(NEIGHBOURS)
        counted = written if given["count_include_pad"] else ((0, 0),) * axes
        operator = AveragePool(kernel, stride, pads, given.get("divisor_override"), counted)
        return builder.add(operator, [given["self"]], call)
    return handler


def _adaptive(kind: Literal["average", "max"], axes: int) -> Handler:
    def handler(builder: Builder, call: Call, given: Arguments) -> Made:
        made = builder.add(AdaptivePool(kind, spread(given["output_size"], axes)), [given["self"]], call)
        return made if len(call.outputs) == 1 else (made, "")
    return handler


def _reduce(kind: Literal["mean", "sum", "max", "min"]) -> Handler:
    def handler(builder: Builder, call: Call, given: Arguments) -> Made:
        value, dims = given["self"], given.get("dim")
        if dims is None or dims == []:
            raise InputError("it mixes the images of a batch")
        rank = builder.rank(value)
        axes = tuple(sorted(axis_of(axis, rank) for axis in (dims if isinstance(dims, list | tuple) else (dims,))))
        made = builder.add(Reduce(kind, axes, bool(given["keepdim"])), [value], call)
        return made if len(call.outputs) == 1 else (made, "")
    return handler


def _norm(builder: Builder, call: Call, given: Arguments) -> Made:
    """Read the square root of the sum of squares."""
    if given.get("ord", given.get("p")) != 2:
        raise InputError("only the norm of squares has a counterpart")
    squares = builder.add(Binary("pow"), [given["self"], operand(builder, 2.0, call)], call)
    sums = _reduce("sum")(builder, call, {**given, "self": squares})
    return builder.add(Unary("sqrt"), [str(sums)], call)


HANDLERS: dict[str, Handler] = {
    **{f"aten.max_pool{axes}d.default": _max(axes) for axes in (1, 2, 3)},
    **{f"aten.max_pool{axes}d_with_indices.default": _max(axes) for axes in (2, 3)},
    **{f"aten.avg_pool{axes}d.default": _average(axes) for axes in (1, 2, 3)},
    **{f"aten.adaptive_avg_pool{axes}d.default": _adaptive("average", axes) for axes in (1, 2)},
    "aten._adaptive_avg_pool2d.default": _adaptive("average", 2),
    **{f"aten.adaptive_max_pool{axes}d.default": _adaptive("max", axes) for axes in (1, 2)},
    "aten.mean.dim": _reduce("mean"), "aten.sum.dim_IntList": _reduce("sum"), "aten.amax.default": _reduce("max"),
    "aten.amin.default": _reduce("min"), "aten.max.dim": _reduce("max"), "aten.min.dim": _reduce("min"),
    "aten.linalg_vector_norm.default": _norm, "aten.norm.ScalarOpt_dim": _norm,
    "aten.mean.default": _reduce("mean"), "aten.sum.default": _reduce("sum"),
}
