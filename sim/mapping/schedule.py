"""How one layer runs on a machine: packing, loops and the cycle constants of every step.

Cost and time of a layer depend on its shape and bits only, never on its weights, so this file works on a
`ConvShape`; `conv_shape` takes it from a Program, and a cost table makes variants of it. The bits of weights and
activations, the heights and the top pad of such a variant may be arrays that broadcast (see `sim.mapping.broadcast`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, gcd

from sim.arch.machine import Machine
from sim.ir.formats import Kind
from sim.ir.ops import Conv, Pool
from sim.ir.program import Program
from sim.mapping.broadcast import ceil_div, choose, larger, smaller
from sim.mapping.depthwise_lanes import fits_lanes, lane_groups
from sim.mapping.parameter_packet import packet_words as count_packet_words

__all__ = ["ConvSchedule", "ConvShape", "PoolSchedule", "conv_shape", "packet_words", "schedule_conv",
           "schedule_on_array", "schedule_on_lanes", "schedule_pool"]

packet_words = lru_cache(maxsize=64)(count_packet_words)
"""`sim.mapping.parameter_packet.packet_words`, which every schedule of a machine asks for."""

DRAIN = 3
"""D: stages between the last pair of a step and the cycle in which its accumulator can be read [cycles]."""
LANE_DRAIN = 3
"""The same for a step on the depthwise lanes, between the last operand read and the move of its last group [cycles]."""
POOL_DRAIN = 4
"""Stages between the last operand read of a Pool and its end [cycles]."""


@dataclass(frozen=True)
class ConvShape:
    """Everything about a Conv that time and energy depend on. Sizes in elements, bits in bits."""

    in_height: int
    in_width: int
    in_parts: tuple[int, ...]
    out_height: int
    out_width: int
    out_channels: int
    kernel: tuple[int, int]
    stride: int
    dilation: int
    pads: tuple[int, int, int, int]
    depthwise: bool
    weight_kind: Kind
    bits_w: int
    bits_a: int
    bits_out: int
    bits_residual: int
    terms: int
    residual_terms: int

    @property
    def taps(self) -> int:
        """Kernel positions."""
        return self.kernel[0] * self.kernel[1]

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one image, padding included."""
        return self.out_height * self.out_width * self.weights

    @property
    def weights(self) -> int:
        """Weights of the layer."""
        return self.out_channels * (1 if self.depthwise else sum(self.in_parts)) * self.taps

    @property
    def weight_bytes(self) -> int:
        """Weights as streamed, without parameters [bytes]."""
        return ceil_div(self.weights * self.streamed_bits_w, 8)

    @property
    def streamed_bits_w(self) -> int:
        """Weight planes that are stored and streamed: none for generated `unit` weights."""
        return 0 if self.weight_kind == "unit" else self.bits_w

    @property
    def reference_rows(self) -> int:
        """1 when a reference row accumulates the plain activation sum (bipolar weights)."""
        return int(self.weight_kind == "bipolar")


@dataclass(frozen=True)
class ConvSchedule:
    """A Conv on a machine.

    Attributes
    ----------
    packing : int
        P: taps that share a block.
    phases : int
        h = gcd(stride, columns): cycles one operand read takes, because h columns want the same bank.
    channel_blocks, blocks : int
        Words that hold all input channels of a tap, and B: blocks per output.
    step_cycles : int
        S: cycles from step to step.
    row_tiles : int
        m: tiles of `rows` output channels.
    pixels : int
        N: pixels a column computes per row tile.
    chunk_pixels : int
        Pixels of every chunk but the last.
    requant_cycles : int
        rho: cycles the requantizer takes per pixel.
    fill_cycles : int
        Cycles the weight stream takes per row tile.
    weight_words : int
        Words per row that a row tile needs in its weight slot.
    lanewise : bool
        Runs on the depthwise lanes: a row tile is a tile of `depthwise_lanes` channels, a step reads all taps of a
        pixel. There are no plane pairs.
    groups, last_groups : int
        Groups of `rows` channels in a row tile, and in the last one: 1 unless lanewise.
    """

    shape: ConvShape
    packing: int
    phases: int
    channel_blocks: int
    blocks: int
    step_cycles: int
    row_tiles: int
    pixels: int
    chunk_pixels: int
    requant_cycles: int
    fill_cycles: int
    weight_words: int
    lanewise: bool = False
    groups: int = 1
    last_groups: int = 1

    @property
    def chunks(self) -> tuple[int, ...]:
        """Pixels of each chunk, n_0 ... n_{q-1}."""
        return tuple(min(self.chunk_pixels, self.pixels - start)
                     for start in range(0, self.pixels, self.chunk_pixels))

    @property
    def chunk_count(self) -> int:
        """q: chunks of a row tile."""
        return ceil_div(self.pixels, self.chunk_pixels)

    @property
    def read_cycles(self) -> int:
        """Cycles in which a step reads activations: P * h * bits_a, all taps when lanewise."""
        taps = self.shape.taps if self.lanewise else self.packing
        return taps * self.phases * self.shape.bits_a

    @property
    def pair_cycles(self) -> int:
        """Plane pairs of a step."""
        return 0 if self.lanewise else self.shape.bits_w * self.shape.bits_a

    @property
    def channel_groups(self) -> int:
        """Groups of `rows` channels in all row tiles."""
        return (self.row_tiles - 1) * self.groups + self.last_groups

    @property
    def busy_cycles(self) -> int:
        """Cycles of a step in which plane pairs run or lanes add."""
        return self.read_cycles if self.lanewise else self.pair_cycles

    @property
    def first_pair(self) -> int:
        """F: cycles from the issue of a step to its first plane pair."""
        return 2 + larger(self.read_cycles, self.shape.bits_w)

    @property
    def latency(self) -> int:
        """Cycles from the issue of a tile's last step until the requantizer may start on the tile."""
        if self.lanewise:
            return self.read_cycles + self.groups + LANE_DRAIN
        return self.first_pair + self.pair_cycles + DRAIN

    @property
    def write_back(self) -> int:
        """V: cycles from the requantizer's last until the last plane is written."""
        return 3 + self.shape.bits_out


@dataclass(frozen=True)
class PoolSchedule:
    """A Pool on a machine; attributes as in `ConvSchedule`."""

    op: Pool
    bits: int
    phases: int
    blocks: int
    pixels: int

    @property
    def step_cycles(self) -> int:
        """Cycles in which a step reads all taps of a pixel and block."""
        return self.op.kernel[0] * self.op.kernel[1] * self.bits * self.phases

    @property
    def cycles(self) -> int:
        """Cycles from its start to its end."""
        return self.pixels * self.blocks * self.step_cycles + POOL_DRAIN


def conv_shape(program: Program, conv: Conv) -> ConvShape:
    """The shape and bits of a Conv of `program`."""
    source, target = program.tensor(conv.input), program.tensor(conv.output)
    return ConvShape(
        in_height=source.height, in_width=source.width, in_parts=source.parts,
        out_height=target.height, out_width=target.width, out_channels=conv.channels,
        kernel=conv.kernel, stride=conv.stride, dilation=conv.dilation, pads=conv.pads,
        depthwise=conv.depthwise, weight_kind=conv.weight_format.kind, bits_w=conv.weight_format.bits,
        bits_a=source.format.bits, bits_out=target.format.bits,
        bits_residual=program.tensor(conv.residual).format.bits if conv.residual else 0,
        terms=conv.terms, residual_terms=conv.residual_terms,
    )


def legal_packings(shape: ConvShape, machine: Machine) -> Iterator[int]:
    """The P a layer may use: powers of two for which a segment of lanes/P holds what it must."""
    packing = 1
    while packing <= machine.lanes and packing < 2 * shape.taps:
        segment = machine.lanes // packing
        dense_fits = not shape.depthwise and len(shape.in_parts) == 1 and shape.in_parts[0] <= segment
        if packing == 1 or dense_fits or (shape.depthwise and machine.rows <= segment):
            yield packing
        packing *= 2


def schedule_conv(shape: ConvShape, machine: Machine) -> ConvSchedule:
    """Derive the loops of a layer, on the depthwise lanes if it fits them."""
    return schedule_on_lanes(shape, machine) if fits_lanes(shape, machine) else schedule_on_array(shape, machine)


def schedule_on_array(shape: ConvShape, machine: Machine) -> ConvSchedule:
    """Choose the packing with the fewest cycles per output, then the smallest."""
    phases = gcd(shape.stride, machine.columns)
    channel_blocks = 1 if shape.depthwise else blocks_of(shape.in_parts, machine.lanes)

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
        requant_cycles=requant_cycles(shape, machine), fill_cycles=fill_cycles(stored + packet_words(machine), machine),
        weight_words=stored,
    )


def schedule_on_lanes(shape: ConvShape, machine: Machine) -> ConvSchedule:
    """A step reads every tap and plane of a pixel, then moves its sums away, a group per cycle."""
    phases, groups = gcd(shape.stride, machine.columns), lane_groups(shape.out_channels, machine)
    pixels = ceil_div(shape.out_height, machine.columns) * shape.out_width
    row_tiles = ceil(shape.out_channels / machine.depthwise_lanes)
    depth = machine.acc_depth * machine.rows // machine.depthwise_lanes
    stored = 0 if shape.weight_kind == "unit" else shape.taps
    return ConvSchedule(
        shape=shape, packing=1, phases=phases, channel_blocks=1, blocks=1,
        step_cycles=shape.taps * phases * shape.bits_a + groups - 1,
        row_tiles=row_tiles, pixels=pixels, chunk_pixels=ceil_div(pixels, ceil_div(pixels, depth)),
        requant_cycles=requant_cycles(shape, machine),
        fill_cycles=fill_cycles(stored + groups * packet_words(machine), machine), weight_words=stored,
        lanewise=True, groups=groups,
        last_groups=ceil(shape.out_channels / machine.rows) - (row_tiles - 1) * groups,
    )


def _cycles_per_output(shape: ConvShape, packing: int, phases: int) -> int:
    """Of a block of channels: only these steps depend on the packing."""
    return ceil_div(shape.taps, packing) * step_cycles(shape, packing, phases)


def requant_cycles(shape: ConvShape, machine: Machine) -> int:
    """rho: terms of the rows that share a unit, or writing and reading a plane per cycle if that takes longer."""
    terms = machine.rows // machine.requantizers * (shape.terms + shape.residual_terms)
    return max(terms, shape.bits_out, shape.bits_residual)


def fill_cycles(words: int, machine: Machine) -> int:
    """Cycles the stream takes for `words` words of every row."""
    return ceil_div(machine.rows * words * machine.lanes, machine.stream_bits)


def step_cycles(shape: ConvShape, packing: int, phases: int) -> int:
    """S = bits_a * max(bits_w, P*h): pairs of a step, or the reads that feed it if they take longer."""
    return shape.bits_a * larger(shape.bits_w, packing * phases)


def blocks_of(parts: tuple[int, ...], lanes: int) -> int:
    """Words of `lanes` channels that hold a pixel: every part starts a fresh one."""
    return sum(ceil(part / lanes) for part in parts)


def schedule_pool(program: Program, pool: Pool, machine: Machine) -> PoolSchedule:
    """Derive the loops of a Pool."""
    target = program.tensor(pool.output)
    return PoolSchedule(
        op=pool, bits=target.format.bits, phases=gcd(pool.stride, machine.columns),
        blocks=blocks_of(target.parts, machine.lanes),
        pixels=ceil(target.height / machine.columns) * target.width,
    )
