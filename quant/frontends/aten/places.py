"""ATen's views, slices, joints and pads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any, Literal

from quant.frontends.aten.builder import Builder
from quant.frontends.aten.call import SYMBOL, Call
from quant.frontends.aten.handler import Arguments, Handler, Made, axis_of, operand, passed
from quant.graph.ops.elementwise import Binary
from quant.graph.ops.views import Concat, Gather, Pad, Reshape, Resize, ResizeMode, Slice, Spread, Transpose
from sim.errors import InputError

__all__ = ["HANDLERS"]

ANY_BATCH = 1 << 62
"""Stands for the size of a batch of any size, which only ends beyond it leave whole."""


def _view(builder: Builder, call: Call, given: Arguments) -> Made:
    value, size = given["self"], list(given["shape"] if "shape" in given else given["size"])
    return builder.add(Reshape(_image_shape(builder, value, size)), [value], call, views=value)


def _image_shape(builder: Builder, value: str, size: list[Any]) -> tuple[int, ...]:
    """Return the shape of one image after a view to `size`, whose first number must be the batch."""
    numbers = prod(builder.shape(value))
    first, *rest = size
    if any(number is SYMBOL for number in rest):
        raise InputError("its shape is known only when the model runs; give static sizes")
    if -1 in rest:
        others = prod(number for number in rest if number != -1)
        rest[rest.index(-1)] = numbers // max(others, 1)
    if (first is not SYMBOL and first not in (-1, builder.batch)) or prod(rest) != numbers:
        raise InputError("it mixes the images of a batch")
    return tuple(rest)


def _reshaped(change: Callable[[list[int], Arguments, int], Sequence[int]]) -> Handler:
    """Return the handler of a view whose shape `change` finds from the image's shape, the arguments and the rank."""
    def handler(builder: Builder, call: Call, given: Arguments) -> Made:
        value = given["self"]
        shape = change(list(builder.shape(value)), given, builder.rank(value))
        return builder.add(Reshape(tuple(shape)), [value], call, views=value)
    return handler


def _flat(shape: list[int], given: Arguments, rank: int) -> Sequence[int]:
    start, end = axis_of(given["start_dim"], rank) - 1, axis_of(given["end_dim"], rank) - 1
    return [*shape[:start], prod(shape[start:end + 1]), *shape[end + 1:]]


def _unflat(shape: list[int], given: Arguments, rank: int) -> Sequence[int]:
    axis, sizes = axis_of(given["dim"], rank) - 1, list(given["sizes"])
    if -1 in sizes:
        sizes[sizes.index(-1)] = shape[axis] // max(1, prod(size for size in sizes if size != -1))
    return [*shape[:axis], *sizes, *shape[axis + 1:]]


def _squeezed(shape: list[int], given: Arguments, rank: int) -> Sequence[int]:
    dims = given.get("dim")
    axes = range(1, rank) if dims is None else [axis % rank for axis in (dims if isinstance(dims, list) else [dims])]
    return [size for axis, size in enumerate(shape, 1) if size != 1 or axis not in axes]


def _unsqueezed(shape: list[int], given: Arguments, rank: int) -> Sequence[int]:
    axis = axis_of(given["dim"], rank + 1) - 1
    return [*shape[:axis], 1, *shape[axis:]]


def _permuted(builder: Builder, call: Call, given: Arguments) -> Made:
    value = given["self"]
    rank = builder.rank(value)
    order = tuple(axis % rank for axis in given["dims"])
    return _transpose(builder, call, value, order)


def _moved(builder: Builder, call: Call, given: Arguments) -> Made:
    value = given["self"]
    rank = builder.rank(value)
    sources, targets = ([axis % rank for axis in (axes if isinstance(axes, list) else [axes])]
                        for axes in (given["source"], given["destination"]))
    places = dict(zip(targets, sources, strict=True))
    rest = iter(axis for axis in range(rank) if axis not in sources)
    return _transpose(builder, call, value, tuple(places[axis] if axis in places else next(rest)
                                                  for axis in range(rank)))


def _rolled(builder: Builder, call: Call, given: Arguments) -> Made:
    value = given["self"]
    if not given["dims"]:
        raise InputError("it mixes the images of a batch")
    for shift, axis in zip(given["shifts"], given["dims"], strict=True):
        axis = axis_of(axis, builder.rank(value))
        size = builder.shape(value)[axis - 1]
        value = builder.add(Gather(axis, tuple((place - shift) % size for place in range(size))), [value], call)
    return str(value)


def _swapped(builder: Builder, call: Call, given: Arguments) -> Made:
    value = given["self"]
    order = list(range(builder.rank(value)))
    one, two = ((given["dim0"], given["dim1"]) if "dim0" in given else (0, 1))
    order[one], order[two] = order[two], order[one]
    return _transpose(builder, call, value, tuple(order))


def _transpose(builder: Builder, call: Call, value: str, order: tuple[int, ...]) -> str:
    if order[0] != 0:
        raise InputError("it mixes the images of a batch")
    return builder.add(Transpose(order), [value], call, views=value)


def _cat(builder: Builder, call: Call, given: Arguments) -> Made:
    values = given["tensors"]
    if any(map(builder.is_constant, values)):
        raise InputError("it joins a constant to what the network computes, which the machine does not store")
    return builder.add(Concat(axis_of(given["dim"], builder.rank(values[0]))), values, call)


def _stack(builder: Builder, call: Call, given: Arguments) -> Made:
    values = given["tensors"]
    axis = axis_of(given["dim"], builder.rank(values[0]) + 1)
    shape = builder.shape(values[0])
    wider = [builder.add(Reshape((*shape[:axis - 1], 1, *shape[axis - 1:])), [value], call) for value in values]
    return builder.add(Concat(axis), wider, call)


def _slice(builder: Builder, call: Call, given: Arguments) -> Made:
    value, rank = given["self"], builder.rank(given["self"])
    size = (builder.batch if builder.batch > 0 else ANY_BATCH, *builder.shape(value))[given["dim"] % rank]
    start, stop, step = slice(given["start"], given["end"], given["step"]).indices(size)
    if (start, stop, step) == (0, size, 1):
        return passed(builder, call, given)
    axis = axis_of(given["dim"], rank)
    if stop <= start:
        raise InputError("it leaves nothing")
    return builder.add(Slice(axis, start, stop, step), [value], call, views=value)


def _narrow(builder: Builder, call: Call, given: Arguments) -> Made:
    ends = {"dim": given["dim"], "start": given["start"], "end": given["start"] + given["length"], "step": 1}
    return _slice(builder, call, {"self": given["self"], **ends})


def _select(builder: Builder, call: Call, given: Arguments) -> Made:
    value = given["self"]
    return _place(builder, call, value, axis_of(given["dim"], builder.rank(value)), given["index"])


def _place(builder: Builder, call: Call, value: str, axis: int, index: int) -> str:
    shape = list(builder.shape(value))
    index %= shape[axis - 1]
    taken = value if shape[axis - 1] == 1 else builder.add(Slice(axis, index, index + 1), [value], call, views=value)
    del shape[axis - 1]
    return builder.add(Reshape(tuple(shape)), [taken], call, views=value)


def _unbind(builder: Builder, call: Call, given: Arguments) -> Made:
    value = given["self"]
    axis = axis_of(given["dim"], builder.rank(value))
    return tuple(_place(builder, call, value, axis, index) for index in range(builder.shape(value)[axis - 1]))


def _split(builder: Builder, call: Call, given: Arguments) -> Made:
    value = given["self"]
    axis = axis_of(given["dim"], builder.rank(value))
    size = builder.shape(value)[axis - 1]
    if "split_sizes" in given:
        lengths = list(given["split_sizes"])
    else:
        each = -(-size // given["chunks"]) if "chunks" in given else given["split_size"]
        lengths = [min(each, size - start) for start in range(0, size, each)]
    starts = [sum(lengths[:place]) for place in range(len(lengths))]
    return tuple(builder.add(Slice(axis, start, start + length), [value], call, views=value)
                 for start, length in zip(starts, lengths, strict=True))


def _flip(builder: Builder, call: Call, given: Arguments) -> Made:
    value = given["self"]
    for axis in given["dims"]:
        axis = axis_of(axis, builder.rank(value))
        value = builder.add(Gather(axis, tuple(reversed(range(builder.shape(value)[axis - 1])))), [value], call)
    return str(value)


def _gather(builder: Builder, call: Call, given: Arguments) -> Made:
    value, indices = given["self"], builder.graph.constants.get(given["index"])
    if indices is None:
        raise InputError("the places that it takes must be constants")
    return builder.add(Gather(axis_of(given["dim"], builder.rank(value)), tuple(map(int, indices))), [value], call)


def _index(builder: Builder, call: Call, given: Arguments) -> Made:
    """Read x[:, numbers]: one axis is taken by constant numbers."""
    value, indices = given["self"], given["indices"]
    places = [axis for axis, index in enumerate(indices) if index is not None]
    if len(places) != 1 or (numbers := builder.graph.constants.get(indices[places[0]])) is None or numbers.ndim != 1:
        raise InputError("it must take places of one axis by a constant list")
    axis = axis_of(places[0], builder.rank(value))
    return builder.add(Gather(axis, tuple(int(number) % builder.shape(value)[axis - 1] for number in numbers)),
                       [value], call)


def _expand(builder: Builder, call: Call, given: Arguments) -> Made:
    value = given["self"]
    size = given["size"][1:] if "size" in given else builder.shape(given["other"])
    if len(size) != len(builder.shape(value)):
        raise InputError("it repeats values along new axes")
    for axis, (number, own) in enumerate(zip(size, builder.shape(value), strict=True), 1):
        if number not in (-1, own):
            value = builder.add(Gather(axis, (0,) * number), [value], call)
    return str(value)


def _pad(mode: Literal["constant", "reflect", "replicate", "circular"] | None) -> Handler:
    def handler(builder: Builder, call: Call, given: Arguments) -> Made:
        value, ends = given["self"], list(given["pad"] if "pad" in given else given["padding"])
        axes = builder.rank(value) - 1
        if len(ends) > 2 * axes and any(ends[2 * axes:]):
            raise InputError("it mixes the images of a batch")
        pairs = [(ends[place], ends[place + 1]) for place in range(0, min(len(ends), 2 * axes), 2)]
        pads = ((0, 0),) * (axes - len(pairs)) + tuple(reversed(pairs))
        return builder.add(Pad(pads, mode or given["mode"], float(given.get("value") or 0.0)), [value], call)
    return handler


def _shuffled(builder: Builder, call: Call, given: Arguments) -> Made:
    value, groups = given["self"], given["groups"]
    shape = builder.shape(value)
    apart = builder.add(Reshape((groups, shape[0] // groups, *shape[1:])), [value], call)
    mixed = builder.add(Transpose((0, 2, 1, *range(3, len(shape) + 2))), [apart], call)
    return builder.add(Reshape(shape), [mixed], call)


def _pixel_shuffle(builder: Builder, call: Call, given: Arguments) -> Made:
    value, by = given["self"], given["upscale_factor"]
    _, height, width = builder.shape(value)
    return builder.add(Spread((by, by), (height * by, width * by), shuffles=True), [value], call)


def _pixel_unshuffle(builder: Builder, call: Call, given: Arguments) -> Made:
    value, by = given["self"], given["downscale_factor"]
    channels, height, width = builder.shape(value)
    apart = builder.add(Reshape((channels, height // by, by, width // by, by)), [value], call)
    mixed = builder.add(Transpose((0, 1, 3, 5, 2, 4)), [apart], call)
    return builder.add(Reshape((channels * by**2, height // by, width // by)), [mixed], call)


def _resized(mode: ResizeMode) -> Handler:
    def handler(builder: Builder, call: Call, given: Arguments) -> Made:
        value = given["input"] if "input" in given else given["self"]
        size = given.get("output_size")
        if not size:
            scaled = [number * by for number, by in zip(builder.shape(value)[1:], given["scale_factors"], strict=True)]
            size = [int(number) for number in scaled]
            if size != scaled:  # torch looks for pixels by the factor, not by the sizes
                raise InputError("its factors must lead to whole sizes")
        return builder.add(Resize(tuple(size), mode, bool(given.get("align_corners", False))), [value], call)
    return handler


def _unfolded(builder: Builder, call: Call, given: Arguments) -> Made:
    """Read windows of one axis, whose places become the last axis."""
    value = given["self"]
    axis = axis_of(given["dimension"], builder.rank(value))
    return _windows(builder, call, value, axis, (given["size"], given["step"], 1))


def _windows(builder: Builder, call: Call, value: str, axis: int, window: tuple[int, int, int]) -> str:
    """Add windows (size, step, dilation) of an axis, which then counts them; the last axis has the places of one."""
    shape, (size, step, dilation) = builder.shape(value), window
    count = (shape[axis - 1] - dilation * (size - 1) - 1) // step + 1
    taken = builder.add(Gather(axis, tuple(start * step + place * dilation for start in range(count)
                                           for place in range(size))), [value], call)
    apart = builder.add(Reshape((*shape[:axis - 1], count, size, *shape[axis:])), [taken], call)
    order = [place for place in range(len(shape) + 2) if place != axis + 1]
    return builder.add(Transpose((*order, axis + 1)), [apart], call)


def _im2col(builder: Builder, call: Call, given: Arguments) -> Made:
    """Read the windows of maps (n, C, H, W) as (n, C * kernel, windows)."""
    value = given["self"]
    channels = builder.shape(value)[0]
    if any(given["padding"]):
        value = builder.add(Pad(((0, 0), *((pad, pad) for pad in given["padding"]))), [value], call)
    for axis in (2, 3):
        value = _windows(builder, call, value, axis, tuple(given[name][axis - 2] for name in (
            "kernel_size", "stride", "dilation")))
    rows, columns = builder.shape(value)[1:3]
    turned = builder.add(Transpose((0, 1, 4, 5, 2, 3)), [value], call)
    return builder.add(Reshape((channels * given["kernel_size"][0] * given["kernel_size"][1], rows * columns)),
                       [turned], call)


def _zeros_like(builder: Builder, call: Call, given: Arguments) -> Made:
    return builder.add(Binary("mul"), [given["self"], operand(builder, 0.0, call)], call)


HANDLERS: dict[str, Handler] = {
    **dict.fromkeys(("aten.view.default", "aten.reshape.default", "aten._unsafe_view.default"), _view),
    "aten.flatten.using_ints": _reshaped(_flat), "aten.unflatten.int": _reshaped(_unflat),
    **dict.fromkeys(("aten.squeeze.default", "aten.squeeze.dim", "aten.squeeze.dims"), _reshaped(_squeezed)),
    "aten.unsqueeze.default": _reshaped(_unsqueezed),
    "aten.permute.default": _permuted, "aten.roll.default": _rolled,
    **dict.fromkeys(("aten.movedim.int", "aten.movedim.intlist", "aten.moveaxis.int", "aten.moveaxis.intlist"), _moved),
    **dict.fromkeys(("aten.transpose.int", "aten.swapaxes.default", "aten.swapdims.default", "aten.t.default"),
                    _swapped),
    "aten.slice.Tensor": _slice, "aten.narrow.default": _narrow, "aten.select.int": _select,
    "aten.unbind.int": _unbind, "aten.chunk.default": _split, "aten.split.Tensor": _split, "aten.split.sizes": _split,
    "aten.split_with_sizes.default": _split,
    **dict.fromkeys(("aten.expand.default", "aten.expand_as.default"), _expand),
    **dict.fromkeys(("aten.cat.default", "aten.concat.default"), _cat), "aten.stack.default": _stack,
    "aten.index_select.default": _gather, "aten.index.Tensor": _index,
    "aten.flip.default": _flip,
    "aten.pad.default": _pad(None), "aten.constant_pad_nd.default": _pad("constant"),
    **{f"aten.reflection_pad{axes}d.default": _pad("reflect") for axes in (1, 2)},
    **{f"aten.replication_pad{axes}d.default": _pad("replicate") for axes in (1, 2)},
    "aten.channel_shuffle.default": _shuffled, "aten.native_channel_shuffle.default": _shuffled,
    "aten.pixel_shuffle.default": _pixel_shuffle, "aten.pixel_unshuffle.default": _pixel_unshuffle,
    **dict.fromkeys(("aten.upsample_nearest2d.vec", "aten.upsample_nearest2d.default", "aten.upsample_nearest1d.vec"),
                    _resized("nearest")),
    **dict.fromkeys(("aten.upsample_bilinear2d.vec", "aten.upsample_bilinear2d.default"), _resized("bilinear")),
    **dict.fromkeys(("aten.upsample_bicubic2d.vec", "aten.upsample_bicubic2d.default"), _resized("bicubic")),
    **dict.fromkeys(("aten._upsample_nearest_exact2d.vec", "aten._upsample_nearest_exact2d.default"),
                    _resized("nearest-exact")),
    "aten.unfold.default": _unfolded, "aten.im2col.default": _im2col,
    "aten.zeros_like.default": _zeros_like,
}
