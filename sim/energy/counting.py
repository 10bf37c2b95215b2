"""Count the events of a planned Program, exactly as the RTL's counters do.

Rows without a channel and columns without a pixel are clock-gated and count for nothing.
"""

from __future__ import annotations

from functools import lru_cache
from typing import assert_never

from sim.arch.machine import Machine
from sim.arch.widths import product_bits
from sim.energy.events import EVENTS
from sim.ir.ops import Load, Tensor
from sim.mapping.broadcast import arrays, larger, smaller
from sim.mapping.schedule import ConvSchedule, ConvShape, PoolSchedule, packet_words
from sim.mapping.transfers import TransferSchedule
from sim.plan.plan import Plan

__all__ = ["conv_events", "count_events", "pool_events", "total_events", "transfer_events"]

def total_events(plan: Plan) -> dict[str, int]:
    """Count the events of a whole planned Program."""
    per_op = count_events(plan)
    return {name: sum(counts[name] for counts in per_op) for name in EVENTS}


def count_events(plan: Plan) -> tuple[dict[str, int], ...]:
    """Count the events of each op of a planned Program."""
    counts = []
    for op, schedule in zip(plan.program.ops, plan.schedules, strict=True):
        match schedule:
            case ConvSchedule():
                counts.append(conv_events(schedule, plan.machine))
            case PoolSchedule():
                source, target = plan.program.tensor(op.input), plan.program.tensor(op.output)
                counts.append(pool_events(schedule, source, target, plan.machine))
            case TransferSchedule():
                counts.append(transfer_events(schedule, plan.machine))
            case _:
                assert_never(schedule)
    return tuple(counts)


def conv_events(schedule: ConvSchedule, machine: Machine) -> dict[str, int]:
    """Count the events of a Conv.

    With m row tiles, q chunks, B blocks, O channels (plus m reference rows for bipolar weights), H x W outputs on
    N pixels per column, and w, a plane counts of weights and activations.
    """
    shape = schedule.shape
    outputs = shape.out_height * shape.out_width
    rows = shape.out_channels + schedule.row_tiles * shape.reference_rows
    steps = schedule.blocks * rows * outputs
    pairs = schedule.pair_cycles * steps
    operand_reads = shape.bits_a * schedule.channel_blocks * taps_inside(shape)
    words = schedule.weight_words + schedule.groups * packet_words(machine)
    weight_writes = schedule.row_tiles * machine.rows * words
    lane_steps = schedule.row_tiles * outputs * schedule.shape.taps * shape.bits_a if schedule.lanewise else 0
    return {
        "pair_lanes": pairs * machine.lanes,
        "narrow_adds": pairs,
        "lane_adds": lane_steps * machine.depthwise_lanes,
        "wide_adds": steps,
        "acc_reads": steps,
        "acc_writes": steps,
        "requant_terms": shape.out_channels * outputs * (shape.terms + shape.residual_terms),
        "act_reads": schedule.row_tiles * operand_reads + schedule.channel_groups * outputs * shape.bits_residual,
        "act_writes": schedule.channel_groups * outputs * shape.bits_out,
        "weight_reads": weight_reads(schedule, machine),
        "weight_writes": weight_writes,
        "operand_bits": operand_bits(schedule, machine),
        "stream_in_bits": weight_writes * machine.lanes,
        "stream_out_bits": 0,
    }


def weight_reads(schedule: ConvSchedule, machine: Machine) -> int:
    """Count words read: for a block pass by every row with a channel, or for every tap of a step by the lanes."""
    shape = schedule.shape
    if schedule.lanewise:
        return schedule.row_tiles * schedule.pixels * schedule.weight_words * smaller(shape.bits_w, machine.rows)
    return schedule.chunk_count * schedule.blocks * shape.out_channels * shape.streamed_bits_w


def operand_bits(schedule: ConvSchedule, machine: Machine) -> int:
    """Count bits clocked into operand files (segments of present taps, weight planes) and into the select registers.

    The select registers take a word per row and per active column in every pair, whatever the file they read. The
    lanes have two registers for their weights and one in every column for the plane.
    """
    shape = schedule.shape
    if schedule.lanewise:
        planes = schedule.shape.taps * shape.bits_a * shape.out_height * shape.out_width
        weight_bits = schedule.pixels * schedule.read_cycles * 2 * product_bits(machine)
        return schedule.row_tiles * (planes + weight_bits) * machine.depthwise_lanes
    outputs = shape.out_height * shape.out_width
    segments = shape.taps * schedule.channel_blocks
    activations = schedule.row_tiles * outputs * shape.bits_a * segments * (machine.lanes // schedule.packing)
    passes = schedule.chunk_count * schedule.blocks * shape.out_channels
    weights = passes * shape.bits_w * machine.lanes
    rows = shape.out_channels + schedule.row_tiles * shape.reference_rows
    selects = schedule.pair_cycles * schedule.blocks * (schedule.pixels * rows + schedule.row_tiles * outputs)
    return activations + weights + selects * machine.lanes


def pool_events(schedule: PoolSchedule, source: Tensor, target: Tensor, machine: Machine) -> dict[str, int]:
    """Count the events of a Pool, which reads every tap inside the map and writes every output plane."""
    pool = schedule.op
    inside = (_inside(source.height, target.height, pool.kernel[0], pool.stride, 1, pool.pads[0])
              * _inside(source.width, target.width, pool.kernel[1], pool.stride, 1, pool.pads[1]))
    counts = dict.fromkeys(EVENTS, 0)
    counts["act_reads"] = inside * schedule.blocks * schedule.bits
    counts["act_writes"] = target.height * target.width * schedule.blocks * schedule.bits
    return counts


def transfer_events(schedule: TransferSchedule, machine: Machine) -> dict[str, int]:
    """Count the events of a Load or Store: all words of the tensor's place, in whole beats."""
    words, bits = machine.columns * schedule.words, schedule.beats * machine.stream_bits
    if isinstance(schedule.op, Load):
        return dict.fromkeys(EVENTS, 0) | {"act_writes": words, "stream_in_bits": bits}
    return dict.fromkeys(EVENTS, 0) | {"act_reads": words, "stream_out_bits": bits}


def taps_inside(shape: ConvShape) -> int:
    """Count pairs (output position, tap) whose input position lies inside the map."""
    return (_inside(shape.in_height, shape.out_height, shape.kernel[0], shape.stride, shape.dilation, shape.pads[0])
            * _inside(shape.in_width, shape.out_width, shape.kernel[1], shape.stride, shape.dilation, shape.pads[1]))


def _inside(size: int, out: int, kernel: int, stride: int, dilation: int, before: int) -> int:
    """Count pairs (output, tap) along one axis with 0 <= stride*output + dilation*tap - before < size."""
    count = _count_inside if arrays(size, out, before) else _known_inside
    return count(size, out, kernel, stride, dilation, before)


def _count_inside(size: int, out: int, kernel: int, stride: int, dilation: int, before: int) -> int:
    total = 0
    for tap in range(kernel):
        shift = dilation * tap - before
        first = larger(0, -(shift // stride))
        last = smaller(out, -((shift - size) // stride))
        total += larger(0, last - first)
    return total


_known_inside = lru_cache(maxsize=1024)(_count_inside)
