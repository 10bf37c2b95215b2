"""Sample what an op meets on its machine by its shape, as values of the axes of coverage groups."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, prod

from sim.ir.ops import Layer
from sim.testing.coverage.layer_view import LayerView
from sim.testing.coverage.op_view import OpView
from sim.testing.coverage.tally import Values

__all__ = ["bipolar_parts", "broadcast_shapes", "chunks", "depthwise_groups", "edge", "engine", "group_window",
           "input_parts", "kernel", "lane_blocks", "lattices", "packing", "padded_sides", "parts", "place", "regime",
           "requantizer", "row_groups", "row_tiles", "sides", "stacked_maps", "stall", "tap_groups", "unequal_steps",
           "window"]

def edge(count: int, size: int) -> str:
    """Tell how `count` things fill tiles of `size`: one or many, the last one full or short."""
    return ("one " if count <= size else "many ") + ("short" if count % size else "full")


def window(view: LayerView) -> Iterator[Values]:
    """Yield kind, whether pads are read, and vertical steps, of windows with several taps at several pixels."""
    op = view.op
    several = isinstance(op, Layer) and prod(view.size) > 1
    if several and isinstance(op, Layer) and op.kernel != (1, 1):
        yield view.kind, op.stride[0], bool(padded_sides(view)), op.dilation[0]


def unequal_steps(view: LayerView) -> Iterator[Values]:
    """Yield kind, and which step of a window is longer than along the other axis, where both have several."""
    op = view.op
    if isinstance(op, Layer):
        for what, (vertical, horizontal), counts in (
                ("stride", op.stride, view.size), ("dilation", op.dilation, op.kernel)):
            if vertical != horizontal and min(counts) > 1:
                yield view.kind, f"{'vertical' if vertical > horizontal else 'horizontal'} {what}"


def padded_sides(view: LayerView) -> list[str]:
    """Sides on which a window reads a pad."""
    op = view.op
    if not isinstance(op, Layer):
        return []
    top, left, _, _ = op.pads
    read = []
    for extent, count, before, kernel, stride, dilation, sides in (
            (view.source.height, view.size[0], top, op.kernel[0], op.stride[0], op.dilation[0],
             ("top", "bottom")),
            (view.source.width, view.size[1], left, op.kernel[1], op.stride[1], op.dilation[1],
             ("left", "right"))):
        last = (count - 1) * stride - before + dilation * (kernel - 1)
        read += [side for side, reached in zip(sides, (before > 0, last >= extent), strict=True) if reached]
    return read


def sides(view: LayerView) -> Iterator[Values]:
    """Yield kind, side on which pads are read, whether a pad is a zero point other than 0."""
    for side in padded_sides(view):
        yield view.kind, side, bool(view.source.format.zero_point)


def kernel(view: LayerView) -> Iterator[Values]:
    """Yield kind, shape of the kernel."""
    op = view.op
    if not isinstance(op, Layer):
        return
    height, width = op.kernel
    if (height, width) == (view.source.height, view.source.width) and height * width > 1:
        yield view.kind, "whole map"
    elif height == 1 or width == 1:
        yield view.kind, "1 x 1" if height == width else "1 x k" if height == 1 else "k x 1"
    else:
        yield view.kind, "k x k"


def packing(view: OpView) -> Iterator[Values]:
    """Yield kind, taps in a block, cycles of a read."""
    if view.conv:
        yield view.kind, view.conv[1].packing, view.conv[1].phases


def tap_groups(view: OpView) -> Iterator[Values]:
    """Yield kind, how packed taps fill their blocks."""
    if view.conv and view.conv[1].packing > 1:
        yield view.kind, edge(view.conv[1].shape.taps, view.conv[1].packing)


def row_tiles(view: OpView) -> Iterator[Values]:
    """Yield kind, how the channels fill row tiles."""
    if view.conv:
        machine, (conv, schedule) = view.plan.machine, view.conv
        yield view.kind, edge(conv.channels, machine.depthwise_lanes if schedule.on_depthwise_unit else machine.rows)


def engine(view: OpView) -> Iterator[Values]:
    """Yield kind, whether the depthwise lanes compute it."""
    if view.conv and view.conv[0].depthwise:
        yield view.kind, view.conv[1].on_depthwise_unit


def depthwise_groups(view: OpView) -> Iterator[Values]:
    """Groups of rows in a tile of the depthwise lanes, and in the last one."""
    if view.conv and view.conv[1].on_depthwise_unit:
        schedule = view.conv[1]
        groups = schedule.tile_channel_groups
        yield "one" if groups == 1 else "many", schedule.last_tile_channel_groups < groups


def group_window(view: OpView) -> Iterator[Values]:
    """Yield how many blocks row tiles of groups read, and whether the first ones are late, where there are several."""
    if view.conv and not view.conv[1].own_block and view.conv[1].row_tiles > 1:
        window = view.conv[1].window
        if window is not None:
            yield "one" if window.blocks == 1 else "several", window.delay > 0


def lattices(view: OpView) -> Iterator[Values]:
    """Yield how many columns write to the same bank, and whether pixels of a row lie apart in the output."""
    lattice = view.conv[0].lattice if view.conv else None
    if view.conv and lattice is not None:
        yield view.conv[1].write_phases, lattice.stride[1] > 1


def stacked_maps(view: OpView) -> Iterator[Values]:
    """Yield whether a map lies below or beside another one, and how many rows a column computes."""
    lattice = view.conv[0].lattice if view.conv else None
    if lattice is not None:
        beyond = any(offset >= stride for offset, stride in zip(lattice.offset, lattice.stride, strict=True))
        yield ("stacked" if beyond else "interleaved", "many" if view.size[0] > view.plan.machine.columns else "one")


def broadcast_shapes(view: OpView) -> Iterator[Values]:
    """Yield how a residual is broadcast, and over how many row tiles and row groups."""
    if view.conv and view.conv[0].residual_broadcast != "none":
        conv, schedule = view.conv
        yield (conv.residual_broadcast, "many" if schedule.row_tiles > 1 else "one",
               "many" if view.size[0] > view.plan.machine.columns else "one")


def chunks(view: OpView) -> Iterator[Values]:
    """Yield kind, how the pixels of a column fill the accumulators."""
    if view.conv:
        chunks = view.conv[1].chunks
        yield view.kind, "one" if len(chunks) == 1 else "many full" if chunks[-1] == chunks[0] else "many short"


def row_groups(view: OpView) -> Iterator[Values]:
    """Yield kind, how the output's rows fill the columns."""
    if isinstance(view.op, Layer):
        yield view.kind, edge(view.size[0], view.plan.machine.columns)


def lane_blocks(view: OpView) -> Iterator[Values]:
    """Yield kind, how the channels of a part fill the lanes."""
    if isinstance(view.op, Layer):
        for part in view.read.parts:
            yield view.kind, edge(part, view.plan.machine.lanes)


def parts(view: OpView) -> Iterator[Values]:
    """Yield kind, parts read and written."""
    op = view.op
    if isinstance(op, Layer):
        yield view.kind, len(view.read.parts), len(view.target.parts)


def input_parts(view: OpView) -> Iterator[Values]:
    """Yield kind, and which parts of its input a layer reads that leaves out others."""
    if isinstance(view.op, Layer) and view.op.input_parts is not None:
        (first, stop), count = view.op.input_parts, len(view.source.parts)
        if stop - first < count:
            yield view.kind, "the first" if first == 0 else "the last" if stop == count else "inner"


def bipolar_parts(view: OpView) -> Iterator[Values]:
    """Parts of an input that bipolar weights read."""
    if view.conv and view.conv[0].weight_format.kind == "bipolar":
        yield (len(view.read.parts),)


def requantizer(view: OpView) -> Iterator[Values]:
    """Yield what the time per pixel comes from: adding digits, writing planes or reading those of the residual."""
    if view.conv:
        shape, schedule = view.conv[1].shape, view.conv[1]
        machine = view.plan.machine
        adding = machine.rows // machine.requantizers * shape.requant_terms
        for what, cycles in (("digits", adding), ("output planes", shape.bits_out),
                             ("residual planes", 0 if shape.gated else shape.bits_residual)):
            if cycles == schedule.requant_cycles:
                yield view.kind, what


def stall(view: OpView) -> Iterator[Values]:
    """Yield kind, what the head of the pipeline waits for."""
    if view.conv:
        weights, accumulator = view.wait_weights > 0, view.wait_accumulator > 0
        yield view.kind, "weights and accumulators" if weights and accumulator else (
            "weights" if weights else "accumulators" if accumulator else "nothing")


def regime(view: OpView) -> Iterator[Values]:
    """Yield kind, what determines the time of the layer."""
    if view.conv:
        schedule = view.conv[1]
        compute, fill = schedule.blocks * schedule.step_cycles, schedule.latency - schedule.step_cycles
        longest, shortest = schedule.chunks[0], schedule.chunks[-1]
        if schedule.shape.bits_residual + 2 > schedule.latency and schedule.shape.bits_residual:
            yield view.kind, "its first residual"
        elif fill + longest * schedule.requant_cycles <= shortest * compute:
            yield view.kind, "computing"
        elif fill + longest * compute <= shortest * schedule.requant_cycles:
            yield view.kind, "requantizing"
        else:
            yield view.kind, "either"


def place(view: OpView) -> Iterator[Values]:
    """Yield the role of a tensor, whether it lies after another, and whether it lies in several regions."""
    machine, plan = view.plan.machine, view.plan
    for role, tensor in (("read", view.source), ("written", view.target)):
        if tensor.name in plan.bases:
            blocks = sum(ceil(part / machine.lanes) for part in tensor.parts)
            words = ceil(tensor.height / machine.columns) * tensor.width * blocks * tensor.format.bits
            yield role, plan.bases[tensor.name] > 0, words > machine.region_words
