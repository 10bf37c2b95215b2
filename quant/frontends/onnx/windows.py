"""Readers of pools and of reductions over whole axes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from quant.frontends.onnx.call import Call, Made, Reader
from quant.frontends.onnx.geometry import windows_of
from quant.frontends.onnx.values import Value
from quant.graph.ops.elementwise import Unary
from quant.graph.ops.pools import AveragePool, MaxPool, Reduce
from sim.errors import InputError

__all__ = ["READERS", "average", "global_average"]

REDUCE: Mapping[str, Literal["mean", "sum", "max", "min"]] = {
    "ReduceMax": "max", "ReduceMean": "mean", "ReduceMin": "min", "ReduceSum": "sum"}
INPUT_SINCE = {"ReduceSum": 13}
"""Opset from which the axes are an input; 18 for all others."""


def _kernel(call: Call) -> tuple[int, ...]:
    return call.integers("kernel_shape", (1,) * len(call.shape[2:]))


def _max_pool(call: Call) -> Made:
    call.refuse_outputs(1, "the places of the maxima")
    windows = windows_of(call, _kernel(call))
    even = call.attribute("auto_pad", "NOTSET") == "NOTSET" and all(one == other for one, other in windows.pads)
    ceil = bool(call.attribute("ceil_mode", 0)) and even
    return call.add(MaxPool(windows.kernel, windows.stride, windows.dilation, windows.all_pads, ceil), call.x)


def average(call: Call, x: Value, part: str = "") -> Value:
    """Add an average over windows with the attributes of a node."""
    windows = windows_of(call, _kernel(call))
    if any(step != 1 for step in windows.dilation):
        raise InputError("dilations of averages must be 1")
    counted = windows.pads if call.attribute("count_include_pad", 0) else ((0, 0),) * len(windows.kernel)
    return call.add(AveragePool(windows.kernel, windows.stride, windows.all_pads, None, counted), x, part=part)


def _average_pool(call: Call) -> Made:
    return average(call, call.x)


def global_average(call: Call, x: Value, part: str = "") -> Value:
    """Add the averages over whole maps."""
    return call.add(Reduce("mean", tuple(range(2, len(call.shape))), True), x, part=part)


def _global_average_pool(call: Call) -> Made:
    return global_average(call, call.x)


def _global_max_pool(call: Call) -> Made:
    return call.add(Reduce("max", tuple(range(2, len(call.shape))), True), call.x)


def _reduce(call: Call) -> Made:
    kind, rank = REDUCE[call.node.op_type], len(call.shape)
    axes = call.numbers("axes", 1, INPUT_SINCE.get(call.node.op_type, 18))
    if not axes and call.attribute("noop_with_empty_axes", 0):
        return call.add(Unary("identity"), call.x)
    places = sorted(call.axis(axis, rank) for axis in (axes or range(rank)))
    if len({*places}) != len(places):
        raise InputError("axes must differ")
    return call.add(Reduce(kind, tuple(places), bool(call.attribute("keepdims", 1))), call.x)


READERS: Mapping[str, Reader] = {
    **dict.fromkeys(REDUCE, _reduce), "AveragePool": _average_pool, "GlobalAveragePool": _global_average_pool,
    "GlobalMaxPool": _global_max_pool, "MaxPool": _max_pool}
