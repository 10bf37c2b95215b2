"""What a record meets on its machine, as values of the axes of coverage groups."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil

from sim.digits import digit_counts
from sim.records import Conv, Pads, Pool, Tensor
from sim.testing.coverage import Values
from sim.testing.views import View

__all__ = ["bipolar_bits", "bits", "channels", "chunks", "digits", "edge", "engine", "kernel", "lane_bits",
           "lane_blocks", "lane_groups", "packing", "parts", "place", "plain_bits", "regime", "requantizer",
           "residual", "residual_bits", "rounding", "row_groups", "row_tiles", "sides", "signs", "stall",
           "tap_groups", "window"]

WIDEST = 8
"""Bits of codes that engines read."""


def edge(count: int, size: int) -> str:
    """How `count` things fill tiles of `size`: one or many, the last one full or short."""
    return ("one " if count <= size else "many ") + ("short" if count % size else "full")


def _pads(view: View) -> Pads:
    return view.record.pads if isinstance(view.record, Conv | Pool) else (0, 0, 0, 0)


def bits(view: View) -> Iterator[Values]:
    """Kind, weight bits, activation bits."""
    if view.conv:
        yield view.kind, view.conv[0].weight_format.bits, view.source.format.bits


def plain_bits(view: View) -> Iterator[Values]:
    """Kind, activation bits."""
    yield view.kind, view.source.format.bits


def signs(view: View) -> Iterator[Values]:
    """Kind, kinds of weights and activations."""
    if view.conv:
        yield view.kind, view.conv[0].weight_format.kind, view.source.format.kind


def bipolar_bits(view: View) -> Iterator[Values]:
    """Activation bits under bipolar weights."""
    if view.conv and view.conv[0].weight_format.kind == "bipolar":
        yield (view.source.format.bits,)


def window(view: View) -> Iterator[Values]:
    """Kind, stride, padded or not, dilation, of windows with several taps."""
    record = view.record
    if isinstance(record, Conv | Pool) and record.kernel != (1, 1):
        yield view.kind, record.stride, any(record.pads), record.dilation if isinstance(record, Conv) else 1


def kernel(view: View) -> Iterator[Values]:
    """Kind, shape of the kernel."""
    record = view.record
    if not isinstance(record, Conv | Pool):
        return
    height, width = record.kernel
    if (height, width) == (view.source.height, view.source.width) and height * width > 1:
        yield view.kind, "whole map"
    elif height == 1 or width == 1:
        yield view.kind, "1 x 1" if height == width else "1 x k" if height == 1 else "k x 1"
    else:
        yield view.kind, "k x k"


def sides(view: View) -> Iterator[Values]:
    """Kind, padded side, whether a pad is a zero point other than 0."""
    for side, pad in zip(("top", "left", "bottom", "right"), _pads(view), strict=True):
        if pad:
            yield view.kind, side, bool(view.source.format.zero_point)


def packing(view: View) -> Iterator[Values]:
    """Kind, taps in a block, cycles of a read."""
    if view.conv:
        yield view.kind, view.conv[1].packing, view.conv[1].phases


def tap_groups(view: View) -> Iterator[Values]:
    """Kind, how packed taps fill their blocks."""
    if view.conv and view.conv[1].packing > 1:
        yield view.kind, edge(view.conv[1].shape.taps, view.conv[1].packing)


def row_tiles(view: View) -> Iterator[Values]:
    """Kind, how the channels fill row tiles."""
    if view.conv:
        machine, (conv, schedule) = view.plan.machine, view.conv
        yield view.kind, edge(conv.channels, machine.depthwise_lanes if schedule.lanewise else machine.rows)


def engine(view: View) -> Iterator[Values]:
    """Kind, whether the depthwise lanes compute it."""
    if view.conv and view.conv[0].depthwise:
        yield view.kind, view.conv[1].lanewise


def lane_bits(view: View) -> Iterator[Values]:
    """Weight bits on the depthwise lanes, signs of weights and activations."""
    if view.conv and view.conv[1].lanewise:
        yield view.conv[0].weight_format.bits, view.conv[0].weight_format.kind, view.source.format.kind


def lane_groups(view: View) -> Iterator[Values]:
    """Groups of rows in a tile of the depthwise lanes, and in the last one."""
    if view.conv and view.conv[1].lanewise:
        schedule = view.conv[1]
        yield "one" if schedule.groups == 1 else "many", schedule.last_groups < schedule.groups


def chunks(view: View) -> Iterator[Values]:
    """Kind, how the pixels of a column fill the accumulators."""
    if view.conv:
        chunks = view.conv[1].chunks
        yield view.kind, "one" if len(chunks) == 1 else "many full" if chunks[-1] == chunks[0] else "many short"


def row_groups(view: View) -> Iterator[Values]:
    """Kind, how the output's rows fill the columns."""
    if isinstance(view.record, Conv | Pool):
        yield view.kind, edge(view.target.height, view.plan.machine.columns)


def lane_blocks(view: View) -> Iterator[Values]:
    """Kind, how the channels of a part fill the lanes."""
    if isinstance(view.record, Conv | Pool):
        for part in view.source.parts:
            yield view.kind, edge(part, view.plan.machine.lanes)


def digits(view: View) -> Iterator[Values]:
    """Longest multiplier, longest one of a residual."""
    if view.conv:
        yield view.conv[0].terms, view.conv[0].residual_terms


def rounding(view: View) -> Iterator[Values]:
    """Rounding, whether sums wrap."""
    if view.conv:
        yield view.plan.program.rounding, view.plan.program.wrap


def channels(view: View) -> Iterator[Values]:
    """What is special about a requantizer."""
    if view.conv:
        conv = view.conv[0]
        if (digit_counts(conv.multiplier) == 0).any():
            yield ("constant",)
        if (conv.shift == 0).any():
            yield ("no shift",)
        if conv.low == view.target.format.zero_point > view.target.format.low:
            yield ("clamped at the zero point",)
        elif conv.low > view.target.format.low or conv.high < view.target.format.high:
            yield ("clamped",)
        if view.target.format.bits > WIDEST:
            yield ("wide output",)
        if view.target.format.zero_point:
            yield ("output with a zero point",)


def residual(view: View) -> Iterator[Values]:
    """Kind, signs of the residual, where it comes from."""
    if view.conv and view.conv[0].residual:
        conv = view.conv[0]
        other = view.plan.program.tensor(conv.residual or "")
        yield view.kind, other.format.kind, _origin(view, other, conv.residual_part)


def _origin(view: View, other: Tensor, part: int) -> str:
    if part:
        return "a later part"
    computed = any(isinstance(r, Conv | Pool) and r.output == other.name for r in view.plan.program.records)
    return "computed" if computed else "the host"


def residual_bits(view: View) -> Iterator[Values]:
    """How wide the residual is."""
    if view.conv and view.conv[0].residual:
        shape = view.conv[1].shape
        wider = (shape.bits_residual > shape.bits_out) - (shape.bits_residual < shape.bits_out)
        yield (("narrower", "equal", "wider")[1 + wider],)


def parts(view: View) -> Iterator[Values]:
    """Kind, parts read and written; 3 is 3 or more."""
    record = view.record
    if isinstance(record, Conv | Pool):
        yield view.kind, min(3, len(view.source.parts)), min(3, len(view.target.parts))


def requantizer(view: View) -> Iterator[Values]:
    """What the time per pixel comes from: adding digits, writing planes or reading those of the residual."""
    if view.conv:
        shape, schedule = view.conv[1].shape, view.conv[1]
        machine = view.plan.machine
        adding = machine.rows // machine.requantizers * (shape.terms + shape.residual_terms)
        for what, cycles in (("digits", adding), ("output planes", shape.bits_out),
                             ("residual planes", shape.bits_residual)):
            if cycles == schedule.requant_cycles:
                yield view.kind, what


def stall(view: View) -> Iterator[Values]:
    """Kind, what the head of the pipeline waits for."""
    if view.conv:
        weights, accumulator = view.wait_weights > 0, view.wait_accumulator > 0
        yield view.kind, "weights and accumulators" if weights and accumulator else (
            "weights" if weights else "accumulators" if accumulator else "nothing")


def regime(view: View) -> Iterator[Values]:
    """Kind, what determines the time of the layer."""
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


def place(view: View) -> Iterator[Values]:
    """Role of a tensor, whether it lies behind another, and in several regions."""
    machine, plan = view.plan.machine, view.plan
    for role, tensor in (("read", view.source), ("written", view.target)):
        if tensor.name in plan.bases:
            blocks = sum(ceil(part / machine.lanes) for part in tensor.parts)
            words = ceil(tensor.height / machine.columns) * tensor.width * blocks * tensor.format.bits
            yield role, plan.bases[tensor.name] > 0, words > machine.region_words
