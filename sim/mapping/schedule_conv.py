"""From the shape of a Conv to its schedule: packing, loops and the cycle constants of every step.

Cost and time of a layer depend on its shape and bits only, never on its weights, so this file works on a `ConvShape`,
of which a cost table makes variants. The bits of weights and activations, the heights and the top pad of such a variant
may be arrays that broadcast (see `sim.mapping.broadcast`).
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, gcd

from sim.arch.machine import Machine
from sim.mapping.activation_layout import blocks_of
from sim.mapping.broadcast import ceil_div, choose, larger, smaller
from sim.mapping.conv_schedule import ConvSchedule
from sim.mapping.conv_shape import ConvShape
from sim.mapping.depthwise_lanes import fits_depthwise_unit, tile_channel_groups
from sim.mapping.group_window import GroupWindow, group_window
from sim.mapping.parameter_packet import packet_words
from sim.mapping.table_words import table_beats

__all__ = ["own_lanes", "schedule_conv", "schedule_on_array", "schedule_on_depthwise_unit"]


def own_lanes(shape: ConvShape, machine: Machine) -> int:
    """Return how many lanes a row tile reads that reads nothing but the block of its own channels, 0 if it reads more.

    A depthwise layer reads R lanes. So does one whose groups have as many inputs as outputs, a power of two up to R;
    with larger groups, up to a block, it reads that many. An input of no more channels is read whole.
    """
    if shape.depthwise:
        return machine.rows
    inputs, outputs = sum(shape.in_parts) // shape.groups, shape.out_channels // shape.groups
    alike = inputs == outputs and inputs & (inputs - 1) == 0 and inputs <= machine.lanes
    lanes = max(machine.rows, inputs)
    return lanes if shape.groups > 1 and alike and lanes < sum(shape.in_parts) else 0


def legal_packings(shape: ConvShape, machine: Machine) -> Iterator[int]:
    """Yield the P that a layer may use: powers of two for which a segment of lanes/P holds what it must."""
    packing, own = 1, own_lanes(shape, machine)
    while packing <= machine.lanes and packing < 2 * shape.taps:
        segment = machine.lanes // packing
        dense_fits = not own and len(shape.in_parts) == 1 and shape.in_parts[0] <= segment
        if packing == 1 or dense_fits or 0 < own <= segment:
            yield packing
        packing *= 2


def schedule_conv(shape: ConvShape, machine: Machine) -> ConvSchedule:
    """Derive the loops of a layer, on the depthwise lanes if it fits them."""
    schedule = schedule_on_depthwise_unit if fits_depthwise_unit(shape, machine) else schedule_on_array
    return schedule(shape, machine)


def schedule_on_array(shape: ConvShape, machine: Machine) -> ConvSchedule:
    """Choose the packing with the fewest cycles per output, then the smallest."""
    phases = gcd(shape.stride[0], machine.columns)
    own_block = own_lanes(shape, machine) > 0
    window = GroupWindow(machine.rows, 0, 1) if own_block else group_window(shape, machine)
    channel_blocks = blocks_of(shape.in_parts, machine.lanes) if window is None else window.blocks

    packing, *others = legal_packings(shape, machine)
    cycles = _cycles_per_output(shape, packing, phases)
    for other in others:
        fewer = (other_cycles := _cycles_per_output(shape, other, phases)) < cycles
        packing, cycles = choose(fewer, other, packing), smaller(other_cycles, cycles)
    blocks = ceil_div(shape.taps, packing) * channel_blocks
    pixels = ceil_div(shape.out_height, machine.columns) * shape.out_width
    stored = blocks * shape.streamed_bits_w
    return ConvSchedule(
        shape=shape, packing=packing, phases=phases, channel_blocks=channel_blocks, blocks=blocks,
        step_cycles=step_cycles(shape, packing, phases),
        row_tiles=ceil(shape.out_channels / machine.rows),
        pixels=pixels, chunk_pixels=ceil_div(pixels, ceil_div(pixels, machine.acc_depth)),
        requant_cycles=requant_cycles(shape, machine), write_phases=write_phases(shape, machine),
        fill_cycles=fill_cycles(stored + packet_words(machine), machine),
        weight_words=stored, table_cycles=table_beats(shape.index_bits, machine), window=window,
        own_block=own_block,
    )


def schedule_on_depthwise_unit(shape: ConvShape, machine: Machine) -> ConvSchedule:
    """Derive the loops on the lanes: a step reads all taps of a pixel, then moves its sums, a group per cycle."""
    phases, groups = gcd(shape.stride[0], machine.columns), tile_channel_groups(shape.out_channels, machine)
    pixels = ceil_div(shape.out_height, machine.columns) * shape.out_width
    row_tiles = ceil(shape.out_channels / machine.depthwise_lanes)
    depth = machine.acc_depth * machine.rows // machine.depthwise_lanes
    stored = 0 if shape.weight_kind == "unit" else shape.taps
    return ConvSchedule(
        shape=shape, packing=1, phases=phases, channel_blocks=1, blocks=1,
        step_cycles=shape.taps * phases * shape.bits_a + groups - 1,
        row_tiles=row_tiles, pixels=pixels, chunk_pixels=ceil_div(pixels, ceil_div(pixels, depth)),
        requant_cycles=requant_cycles(shape, machine), write_phases=write_phases(shape, machine),
        fill_cycles=fill_cycles(stored + groups * packet_words(machine), machine), weight_words=stored,
        table_cycles=table_beats(shape.index_bits, machine),
        window=GroupWindow(machine.depthwise_lanes, 0, 1), own_block=True, on_depthwise_unit=True,
        tile_channel_groups=groups,
        last_tile_channel_groups=ceil(shape.out_channels / machine.rows) - (row_tiles - 1) * groups,
    )


def _cycles_per_output(shape: ConvShape, packing: int, phases: int) -> int:
    """Return the cycles of the steps of a block of channels: only these depend on the packing."""
    return ceil_div(shape.taps, packing) * step_cycles(shape, packing, phases)


def requant_cycles(shape: ConvShape, machine: Machine) -> int:
    """Return rho: terms of the rows that share a unit, or the planes that are written or read if they are more."""
    terms = machine.rows // machine.requantizers * shape.requant_terms
    return max(terms, write_phases(shape, machine) * shape.bits_out, shape.bits_residual)


def write_phases(shape: ConvShape, machine: Machine) -> int:
    """Return the cycles that a plane of outputs takes, because that many columns want the same bank."""
    return gcd(shape.row_spacing, machine.columns)


def fill_cycles(words: int, machine: Machine) -> int:
    """Return the cycles that the stream takes for `words` words of every row."""
    return ceil_div(machine.rows * words * machine.lanes, machine.stream_bits)


def step_cycles(shape: ConvShape, packing: int, phases: int) -> int:
    """Return S = bits_a * max(bits_w, P*h): pairs of a step, or the reads that feed it if they take longer."""
    return shape.bits_a * larger(shape.bits_w, packing * phases)
