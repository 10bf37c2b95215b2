"""Readers of what moves numbers to other places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Literal

import numpy as np

from quant.frontends.onnx.call import Call, Made, Reader
from quant.frontends.onnx.tensors import MAX_RANK
from quant.frontends.onnx.values import BATCH, Number, Value, shape_of
from quant.graph.ops.elementwise import Unary
from quant.graph.ops.operator import Operator
from quant.graph.ops.views import Concat, Gather, Pad, Reshape, Slice, Spread, Transpose
from sim.errors import InputError
from sim.io.bounds import MAX_EXTENT, check_range

__all__ = ["READERS", "joined"]

MIXES = "it mixes the images of a batch"
PAD_MODES: Mapping[str, Literal["constant", "reflect", "replicate", "circular"]] = {
    "constant": "constant", "reflect": "reflect", "edge": "replicate", "wrap": "circular"}
PAD_OF_NUMPY: Mapping[str, Literal["reflect", "edge", "wrap"]] = {"reflect": "reflect", "edge": "edge", "wrap": "wrap"}


def _reshape(call: Call) -> Made:
    return call.add(Reshape(_image_shape(call, call.numbers("shape", 1, 1) or [])), call.x)


def _image_shape(call: Call, wanted: Sequence[int]) -> tuple[int, ...]:
    """Return what a target shape makes of one image."""
    if not call.attribute("allowzero", 0):
        if any(size == 0 and place >= len(call.shape) for place, size in enumerate(wanted)):
            raise InputError("its shape keeps an axis that there is not")
        wanted = [call.shape[place] if size == 0 else size for place, size in enumerate(wanted)]
    if len(wanted) > MAX_RANK:
        raise InputError(f"what it makes must have at most {MAX_RANK} axes, not {len(wanted)}")
    if not wanted or min(wanted) < -1 or wanted.count(-1) > 1:
        raise InputError("its shape must be sizes, one of which may be -1")
    first, rest, count = wanted[0], list(wanted[1:]), prod(call.shape[1:])
    if first not in (-1, BATCH, call.builder.declared) and not (first == 1 and -1 not in rest):
        raise InputError(MIXES)
    if -1 in rest:
        others = prod(size for size in rest if size != -1)
        rest[rest.index(-1)] = count // others if others else 0
    if prod(rest) != count or BATCH in rest:
        raise InputError(MIXES)
    return tuple(rest)


def _flatten(call: Call) -> Made:
    rank = len(call.shape)
    axis = call.attribute("axis", 1)
    check_range(axis, -rank, rank, "axis")
    axis = axis + rank if axis < 0 else axis
    if axis == 0 or prod(call.shape[1:axis]) != 1:
        raise InputError(MIXES)
    return call.add(Reshape((prod(call.shape[axis:]),)), call.x)


def _squeeze(call: Call) -> Made:
    rank, axes = len(call.shape), call.numbers("axes", 1, 13)
    if axes is None and call.builder.declared == 1:
        raise InputError(f"{MIXES}: give it the axes that it takes out")
    gone = {call.axis(axis, rank) for axis in axes} if axes is not None else {
        place for place, size in enumerate(call.shape) if size == 1}
    if any(call.shape[place] != 1 for place in gone):
        raise InputError("an axis that is taken out must have size 1")
    return call.add(Reshape(tuple(size for place, size in enumerate(call.shape) if place not in gone)[1:]), call.x)


def _unsqueeze(call: Call) -> Made:
    axes = call.numbers("axes", 1, 13) or []
    rank = len(call.shape) + len(axes)
    if rank > MAX_RANK:
        raise InputError(f"what it makes must have at most {MAX_RANK} axes, not {rank}")
    places = {call.axis(axis, rank) for axis in axes}
    if len(places) != len(axes):
        raise InputError("axes must differ")
    sizes = iter(call.shape)
    return call.add(Reshape(tuple(1 if place in places else next(sizes) for place in range(rank))[1:]), call.x)


def _transpose(call: Call) -> Made:
    x = call.given(0)
    rank = len(shape_of(x))
    order = tuple(call.attribute("perm", range(rank)[::-1]))
    if sorted(order) != list(range(rank)):
        raise InputError(f"perm must have every axis of {rank} once")
    if order[0] != 0 and isinstance(x, Value) and x.batched:
        raise InputError(MIXES)
    return call.add(Transpose(order), x)


def joined(call: Call, values: Sequence[Value], part: str = "") -> Value:
    """Add values that are joined along the axis of a node."""
    rank = len(values[0].shape or ())
    if any(len(value.shape or ()) != rank for value in values):
        raise InputError("what it joins must have equally many axes")
    return call.add(Concat(call.axis(call.attribute("axis", 1), rank)), *values, part=part)


def _concat(call: Call) -> Made:
    for place in range(len(call.inputs)):
        if isinstance(call.given(place), Number):
            raise InputError("it joins a constant to every image")
    return joined(call, [call.value(place) for place in range(len(call.inputs))])


def _slice(call: Call) -> Made:
    starts, ends = call.numbers("starts", 1, 10), call.numbers("ends", 2, 10)
    if starts is None or ends is None or len(starts) != len(ends):
        raise InputError("starts and ends must be lists of the same length")
    axes = call.numbers("axes", 3, 10) if call.opset < 10 or call.has(3) else list(range(len(starts)))
    axes = list(range(len(starts))) if axes is None else axes
    steps = call.numbers("steps", 4, 10) if call.opset >= 10 and call.has(4) else [1] * len(starts)
    if steps is None or len(axes) != len(starts) or len(steps) != len(starts) or 0 in steps:
        raise InputError("axes and steps must be lists of the length of starts, without steps of 0")
    cuts = []
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        check_range(axis, -len(call.shape), len(call.shape) - 1, "axis")
        place = axis % len(call.shape)
        taken = range(*slice(start, None if step < 0 and end < -call.shape[place] else end, step).indices(
            call.shape[place]))
        if taken != range(call.shape[place]):
            cuts.append((call.axis(place, len(call.shape)), taken))
    return _chain(call, [_part(axis, taken) for axis, taken in cuts])


def _part(axis: int, taken: range) -> Operator:
    """Return what takes places of an axis at equal distances."""
    if not taken:
        raise InputError("it takes nothing")
    if taken.step < 0:
        return Gather(axis, tuple(taken))
    return Slice(axis, taken.start, taken[-1] + 1, taken.step)


def _chain(call: Call, operators: Sequence[Operator], x: Value | None = None, output: int = 0) -> Value:
    """Add operators one after the other; the identity if there is none."""
    whole = call.x if x is None else x
    for place, operator in enumerate(operators or [Unary("identity")]):
        last = place == max(len(operators), 1) - 1
        whole = call.add(operator, whole, output=output, part="" if last else f"{place}")
    return whole


def _split(call: Call) -> Made:
    axis = call.axis(call.attribute("axis", 0), len(call.shape))
    size, parts = call.shape[axis], len(call.node.output)
    given = call.numbers("split", 1, 13)
    each = -(-size // parts)
    sizes = given if given is not None else [min(each, size - each * place) for place in range(parts)]
    if len(sizes) != parts or sum(sizes) != size or min(sizes) < 1:
        raise InputError(f"it must make {parts} parts of an axis of {size}")
    ends = [sum(sizes[: place + 1]) for place in range(parts)]
    return [call.add(Slice(axis, end - extent, end), call.x, output=place)
            for place, (end, extent) in enumerate(zip(ends, sizes, strict=True))]


def _gather(call: Call) -> Made:
    indices = call.number(1, "what it takes")
    axis = call.axis(call.attribute("axis", 0), len(call.shape))
    size = call.shape[axis]
    if indices.ndim > 1 or not indices.size or indices.dtype.kind not in "iu":
        raise InputError(f"what it takes must be one place or a list of places, not of shape {indices.shape}")
    places = [int(place) for place in indices.reshape(-1)]
    for place in places:
        check_range(place, -size, size - 1, "places that it takes")
    taken = Gather(axis, tuple(place % size for place in places))
    if indices.ndim:
        return call.add(taken, call.x)
    rest = tuple(size for place, size in enumerate(call.shape) if place != axis)
    return _chain(call, [taken, Reshape(rest[1:])])


def _pad(call: Call) -> Made:
    rank, mode = len(call.shape), call.attribute("mode", "constant")
    pads = call.numbers("pads", 1, 11) or []
    axes = (call.numbers("axes", 3, 18) if call.opset >= 18 and call.has(3) else None) or list(range(rank))
    if mode not in PAD_MODES or len(pads) != 2 * len(axes):
        raise InputError(f"mode must be one of {', '.join(PAD_MODES)}, with two pads for each axis")
    around = [(0, 0)] * rank
    for place, axis in enumerate(axes):
        check_range(axis, -rank, rank - 1, "axis")
        around[axis] = pads[place], pads[place + len(axes)]
    for amount in pads:
        check_range(amount, -MAX_EXTENT, MAX_EXTENT, "pads")
    if any(around[0]):
        raise InputError(MIXES)
    value = call.scalar("value" if call.opset < 11 else "constant_value", 2, 11, 0.0)
    if mode != "constant" and any(around[1]):
        return _chain(call, [_around(call, axis, pads, mode) for axis, pads in enumerate(around) if any(pads)])
    return call.add(Pad(tuple(around[1:]), PAD_MODES[mode], value), call.x)


def _around(call: Call, axis: int, pads: tuple[int, int], mode: str) -> Gather:
    """Return what takes the places of an axis that pads repeat."""
    size = call.shape[axis]
    if mode == "reflect" and not -size < max(pads) < size:
        raise InputError(f"reflected pads must be smaller than the axis of {size}")
    numbers = np.pad(np.arange(size), [max(amount, 0) for amount in pads], PAD_OF_NUMPY[mode])
    last = len(numbers) + min(pads[1], 0)
    return Gather(axis, tuple(int(place) for place in numbers[max(-pads[0], 0) : last]))


def _expand(call: Call) -> Made:
    wanted, rank = call.numbers("shape", 1, 1) or [], len(call.shape)
    wanted = [1] * (rank - len(wanted)) + wanted
    if len(wanted) > rank or wanted[0] not in (1, BATCH, call.builder.declared):
        raise InputError(MIXES)
    for size in wanted:
        check_range(size, 1, MAX_EXTENT, "sizes of its shape")
    grown = [(place, size) for place, size in enumerate(wanted) if place and call.shape[place] == 1 < size]
    if any(size not in (1, call.shape[place]) for place, size in enumerate(wanted) if place and (place, size)
           not in grown):
        raise InputError(f"an image of shape {call.shape[1:]} cannot become {tuple(wanted[1:])}")
    return _chain(call, [Gather(place, (0,) * size) for place, size in grown])


def _tile(call: Call) -> Made:
    repeats = call.numbers("repeats", 1, 1) or []
    if len(repeats) != len(call.shape) or repeats[0] != 1:
        raise InputError(MIXES)
    for count, size in zip(repeats, call.shape, strict=True):
        check_range(count, 1, max(MAX_EXTENT // max(size, 1), 1), "repeats")
    return _chain(call, [Gather(place, tuple(range(call.shape[place])) * count)
                         for place, count in enumerate(repeats) if count > 1])


def _depth_to_space(call: Call) -> Made:
    channels, rows, columns = _map(call)
    block, mode = call.attribute("blocksize"), call.attribute("mode", "DCR")
    check_range(block, 1, MAX_EXTENT, "blocksize")
    if channels % block**2 or mode not in ("DCR", "CRD"):
        raise InputError(f"{channels} channels must be a multiple of {block} squared, and mode DCR or CRD")
    depth = channels // block**2
    spread = Spread((block, block), (rows * block, columns * block), shuffles=True)
    if mode == "CRD":
        return _chain(call, [spread])
    order = [place * depth + channel for channel in range(depth) for place in range(block**2)]
    return _chain(call, [Gather(1, tuple(order)), spread])


def _space_to_depth(call: Call) -> Made:
    channels, rows, columns = _map(call)
    block = call.attribute("blocksize")
    check_range(block, 1, MAX_EXTENT, "blocksize")
    if rows % block or columns % block:
        raise InputError(f"a map of {rows} x {columns} must be a multiple of {block}")
    order = (0, 3, 5, 1, 2, 4) if call.attribute("mode", "DCR") == "DCR" else (0, 1, 3, 5, 2, 4)
    return _chain(call, [Reshape((channels, rows // block, block, columns // block, block)), Transpose(order),
                         Reshape((channels * block**2, rows // block, columns // block))])


def _map(call: Call) -> tuple[int, ...]:
    if len(call.shape) != 4:
        raise InputError(f"it must read maps (N, C, H, W), not a value of {len(call.shape)} axes")
    return call.shape[1:]


READERS: Mapping[str, Reader] = {
    "Concat": _concat, "DepthToSpace": _depth_to_space, "Expand": _expand, "Flatten": _flatten, "Gather": _gather,
    "Pad": _pad, "Reshape": _reshape, "Slice": _slice, "SpaceToDepth": _space_to_depth, "Split": _split,
    "Squeeze": _squeeze, "Tile": _tile, "Transpose": _transpose, "Unsqueeze": _unsqueeze}
