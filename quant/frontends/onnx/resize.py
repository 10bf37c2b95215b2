"""Readers of what scales maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from quant.frontends.onnx.call import Call, Made, Reader
from quant.frontends.onnx.tensors import Array
from quant.frontends.onnx.values import BATCH
from quant.graph.ops.elementwise import Unary
from quant.graph.ops.views import Gather, Resize
from sim.errors import InputError
from sim.io.bounds import MAX_EXTENT, check_range

__all__ = ["READERS"]


def _resize(call: Call) -> Made:
    size, scales = _size(call)
    mode = call.attribute("mode", "nearest")
    if call.attribute("antialias", 0) or call.attribute("exclude_outside", 0):
        raise InputError("antialias and exclude_outside are not computed")
    if size == call.shape[2:]:
        return call.add(Unary("identity"), call.x)
    default = "asymmetric" if call.opset < 11 or call.node.op_type == "Upsample" else "half_pixel"
    transformation = call.attribute("coordinate_transformation_mode", default)
    if mode == "nearest":
        return _nearest(call, size, scales, transformation)
    return _smooth(call, size, scales, transformation, mode)


def _size(call: Call) -> tuple[tuple[int, ...], Array]:
    """Return the size of the map that comes out, and the scales after the channels."""
    rank, sizes_at = len(call.shape), 3
    axes = call.attribute("axes", range(rank)) if call.opset >= 18 else range(rank)
    if call.attribute("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise InputError("keep_aspect_ratio_policy must be stretch")
    before = np.array(call.shape)
    scales: Array = np.ones(rank, np.float32)
    for axis in axes:
        check_range(axis, -rank, rank - 1, "axes")
    places = [axis % rank for axis in axes]
    if call.node.op_type == "Resize" and call.opset >= 11 and call.has(sizes_at):
        after = before.copy()
        after[places] = _each(call.number(sizes_at, "its sizes"), places)
        if after[0] == call.builder.declared:
            after[0] = BATCH
        scales = after.astype(np.float32) / before.astype(np.float32)
    else:
        place = 2 if call.node.op_type == "Resize" and call.opset >= 11 else 1
        given = call.number(place, "its scales") if call.opset >= 9 else np.array(call.attribute("scales"))
        scales[places] = _each(given, places)
        if not (np.isfinite(scales).all() and 0 < scales.min() and scales.max() <= MAX_EXTENT):
            raise InputError("its scales must be above 0 and finite")
        after = np.floor(before * scales.astype(np.float64)).astype(np.int64)
    if tuple(after[:2]) != call.shape[:2]:
        raise InputError("only maps are scaled, no batches or channels")
    for extent in after[2:]:
        check_range(int(extent), 1, MAX_EXTENT, "sizes")
    return tuple(int(extent) for extent in after[2:]), scales[2:]


def _each(numbers: Array, places: Sequence[int]) -> Array:
    """Return numbers of which there must be one for each axis."""
    if numbers.shape != (len(places),):
        raise InputError(f"it must have one size or scale for each of {len(places)} axes, not {numbers.size}")
    return numbers


def _nearest(call: Call, size: tuple[int, ...], scales: Array, transformation: str) -> Made:
    rounding = call.attribute("nearest_mode", "round_prefer_floor")
    if call.opset < 11 or call.node.op_type == "Upsample":
        rounding = "floor"
    indices = [_indices(before, after, float(scale), transformation, rounding)
               for before, after, scale in zip(call.shape[2:], size, scales, strict=True)]
    torchs = [np.arange(after) * before // after for before, after in zip(call.shape[2:], size, strict=True)]
    if all(np.array_equal(own, other) for own, other in zip(indices, torchs, strict=True)) and len(size) <= 3:
        return call.add(Resize(size, "nearest"), call.x)
    whole = call.x
    for axis, places in enumerate(indices, 2):
        part = "" if axis == len(indices) + 1 else f"{axis}"
        whole = call.add(Gather(axis, tuple(int(place) for place in places)), whole, part=part)
    return whole


def _indices(before: int, after: int, scale: float, transformation: str, rounding: str) -> Array:
    """Return which place of an axis each place of the scaled axis takes."""
    places: Array = np.arange(after)
    found: Array
    rounded: Array
    match transformation:
        case "asymmetric":
            found = places / scale
        case "half_pixel":
            found = (places + 0.5) / scale - 0.5
        case "half_pixel_symmetric":
            found = before / 2 * (1 - after / (scale * before)) + (places + 0.5) / scale - 0.5
        case "pytorch_half_pixel":
            found = (places + 0.5) / scale - 0.5 if after > 1 else places * 0.0
        case "align_corners":
            found = places * ((before - 1) / (after - 1)) if after > 1 else places * 0.0
        case _:
            raise InputError(f"coordinate_transformation_mode {transformation} is not computed")
    match rounding:
        case "round_prefer_floor":
            rounded = np.ceil(found - 0.5)
        case "round_prefer_ceil":
            rounded = np.floor(found + 0.5)
        case "floor":
            rounded = np.floor(found)
        case "ceil":
            rounded = np.ceil(found)
        case _:
            raise InputError(f"nearest_mode {rounding} is not computed")
    return np.clip(rounded, 0, before - 1).astype(np.int64)


def _smooth(call: Call, size: tuple[int, ...], scales: Array, transformation: str, mode: str) -> Made:
    corners = transformation == "align_corners"
    if transformation not in ("half_pixel", "pytorch_half_pixel", "align_corners"):
        raise InputError(f"coordinate_transformation_mode {transformation} of mode {mode} is not computed")
    exact = np.allclose(np.array(call.shape[2:]) * scales.astype(np.float64), size, rtol=1e-6)
    if not exact or (transformation == "pytorch_half_pixel" and 1 in size):
        raise InputError("its scales must lead to whole sizes")
    if mode == "linear" and len(size) in (1, 2):
        return call.add(Resize(size, "linear" if len(size) == 1 else "bilinear", corners), call.x)
    if mode == "cubic" and len(size) == 2 and call.attribute("cubic_coeff_a", -0.75) == -0.75:
        return call.add(Resize(size, "bicubic", corners), call.x)
    raise InputError(f"mode {mode} for maps of {len(size)} axes is not computed")


READERS: Mapping[str, Reader] = {"Resize": _resize, "Upsample": _resize}
