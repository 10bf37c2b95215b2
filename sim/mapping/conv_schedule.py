"""How a Conv runs on a machine: packing, loops and the cycle constants of every step.

Cost and time of a layer depend on its shape and bits only, never on its weights, so this file works on a `ConvShape`,
of which a cost table makes variants. The bits of weights and activations, the heights and the top pad of such a variant
may be arrays that broadcast (see `sim.mapping.broadcast`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from sim.arch.limits import HardwareLimits
from sim.arch.machine import Machine
from sim.arch.widths import product_bits
from sim.ir.ops import Queue
from sim.mapping.broadcast import ceil_div, larger, smaller
from sim.mapping.conv_shape import ConvShape
from sim.mapping.group_window import GroupWindow
from sim.mapping.parameter_packet import packet_words
from sim.mapping.schedule import Schedule
from sim.mapping.sizes import footprint_sizes, largest_coordinate
from sim.mapping.table_words import table_words
from sim.timing.dependencies import Waits
from sim.timing.recurrence import ConvTiming, PipelineState, Span

__all__ = ["ConvSchedule"]

DRAIN = 3
"""D: stages between the last pair of a step and the cycle in which its accumulator can be read [cycles]."""
LANE_DRAIN = 3
"""The same for a step on the depthwise lanes, between the last operand read and the move of its last group [cycles]."""


@dataclass(frozen=True)
class ConvSchedule(Schedule):
    """A Conv on a machine.

    Attributes
    ----------
    packing : int
        P: taps that share a block.
    phases : int
        h = gcd(vertical stride, columns): cycles one operand read takes, because h columns want the same bank.
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
    write_phases : int
        gcd(rows from output row to output row, columns): cycles a plane of outputs takes, because that many columns
        want the same bank.
    fill_cycles : int
        Cycles the weight stream takes per row tile.
    weight_words : int
        Words per row that a row tile needs in its weight slot.
    table_cycles : int
        Cycles the inward stream takes for its table, 0 without one.
    window : GroupWindow or None
        Blocks that a row tile reads, where it does not read all.
    own_block : bool
        A row tile reads one block, which holds its own channels.
    on_depthwise_unit : bool
        Runs on the depthwise lanes: a row tile is a tile of `depthwise_lanes` channels, a step reads all taps of a
        pixel. There are no plane pairs.
    tile_channel_groups, last_tile_channel_groups : int
        Groups of `rows` channels in a row tile, and in the last one: 1 on the array.
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
    write_phases: int
    fill_cycles: int
    weight_words: int
    table_cycles: int
    window: GroupWindow | None
    own_block: bool
    on_depthwise_unit: bool = False
    tile_channel_groups: int = 1
    last_tile_channel_groups: int = 1

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
        """Cycles in which a step reads activations: P * h * bits_a, all taps on the depthwise lanes."""
        taps = self.shape.taps if self.on_depthwise_unit else self.packing
        return taps * self.phases * self.shape.bits_a

    @property
    def pair_cycles(self) -> int:
        """Plane pairs of a step."""
        return 0 if self.on_depthwise_unit else self.shape.bits_w * self.shape.bits_a

    @property
    def channel_groups(self) -> int:
        """Groups of `rows` channels in all row tiles."""
        return (self.row_tiles - 1) * self.tile_channel_groups + self.last_tile_channel_groups

    @property
    def busy_cycles(self) -> int:
        """Cycles of a step in which plane pairs run or lanes add."""
        return self.read_cycles if self.on_depthwise_unit else self.pair_cycles

    @property
    def first_pair(self) -> int:
        """F: cycles from the issue of a step to its first plane pair."""
        return 2 + larger(self.read_cycles, self.shape.bits_w)

    @property
    def latency(self) -> int:
        """Cycles from the issue of a tile's last step until the requantizer may start on the tile."""
        if self.on_depthwise_unit:
            return self.read_cycles + self.tile_channel_groups + LANE_DRAIN
        return self.first_pair + self.pair_cycles + DRAIN

    @property
    def write_back(self) -> int:
        """V: cycles from the requantizer's last until the last plane is written; a table takes one of them."""
        return 5 + (self.shape.index_bits > 0) + self.write_phases * self.shape.bits_out

    @property
    def queue(self) -> Queue:
        """The queue that runs it."""
        return Queue.COMPUTE

    @property
    def kind(self) -> str:
        """What a report calls it."""
        if self.shape.weight_kind == "unit":
            return "unit"
        return "depthwise" if self.shape.depthwise else "dense" if self.shape.groups == 1 else "grouped"

    @property
    def operand_bits(self) -> tuple[int, int]:
        """Widths of its weights and of the activations that it reads [bits]."""
        return self.shape.bits_w, self.shape.bits_a

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one image, padding included."""
        return self.shape.macs

    @property
    def weight_bytes(self) -> int:
        """Weights as streamed, without parameters [bytes]."""
        return self.shape.weight_bytes

    @property
    def stream_beats(self) -> int:
        """Beats that it takes from the inward stream."""
        return self.table_cycles + self.row_tiles * self.fill_cycles

    @cached_property
    def timing(self) -> ConvTiming:
        """The numbers that the recurrence takes."""
        return ConvTiming(
            row_tiles=self.row_tiles, pixels=self.pixels, chunk_pixels=self.chunk_pixels,
            pixel_cycles=self.blocks * self.step_cycles, latency=self.latency - self.step_cycles,
            requant_cycles=self.tile_channel_groups * self.requant_cycles,
            last_requant_cycles=self.last_tile_channel_groups * self.requant_cycles,
            fill_cycles=self.fill_cycles, residual_cycles=self.shape.bits_residual + 2, write_back=self.write_back,
            busy_cycles=self.blocks * self.busy_cycles, table_cycles=self.table_cycles)

    def run(self, state: PipelineState, waits: Waits) -> Span:
        """Advance `state` over the Conv, tile by tile."""
        return state.conv(self.timing, waits)

    def sizes(self, machine: Machine, limits: HardwareLimits) -> Iterator[tuple[str, int, int]]:
        """Yield (what, how many, at most) for everything that the hardware limits on any machine."""
        shape = self.shape
        yield from footprint_sizes((shape.in_height, shape.in_width), shape.pads, shape.stride, shape.taps, machine,
                                limits)
        yield "pixels per column", self.pixels, 1 << limits.pixel_bits
        yield "cycles per step", self.step_cycles, 1 << limits.step_bits
        yield "channel blocks", self.channel_blocks, 1 << limits.block_bits
        yield "row tiles", self.row_tiles, 1 << limits.tile_bits
        yield "requantizer cycles per pixel", self.requant_cycles, 1 << limits.step_bits
        yield "as dilation", max(shape.dilation), largest_coordinate(limits)
        if shape.weight_kind == "bipolar":
            yield "parts of an input of bipolar weights", len(shape.in_parts), limits.max_parts

    def needs(self, machine: Machine) -> Iterator[tuple[bool, str, object]]:
        """Yield (whether the machine has it, what the op needs, what the machine has) for its parameters."""
        shape, words = self.shape, self.weight_words
        yield (shape.bits_w <= machine.max_bits_w, f"{shape.bits_w} bits for weights",
               f"max_bits_w {machine.max_bits_w}")
        yield shape.weight_kind != "bipolar" or machine.bipolar, "a reference row for bipolar weights", "none"
        terms = max(shape.terms, shape.residual_terms)
        yield terms <= machine.terms, f"{terms} digits per multiplier", f"terms {machine.terms}"
        yield (shape.index_bits <= machine.table_bits, f"a table of {shape.index_bits} index bits",
               f"table_bits {machine.table_bits}")
        yield (words <= machine.weight_words, f"{words} weight words per row for a row tile",
               f"weight_words {machine.weight_words} ({words - machine.weight_words} too few)")

    def events(self, machine: Machine) -> dict[str, int]:
        """Count the events of the Conv.

        With m row tiles, q chunks, B blocks, O channels (plus m reference rows for bipolar weights), H x W outputs on
        N pixels per column, and w, a plane counts of weights and activations.
        """
        shape = self.shape
        outputs = shape.out_height * shape.out_width
        residuals = self.pixels if shape.residual_in_one_bank else outputs
        rows = shape.out_channels + self.row_tiles * shape.reference_rows
        steps = self.blocks * rows * outputs
        pairs = self.pair_cycles * steps
        operand_reads = shape.bits_a * self.channel_blocks * shape.taps_inside
        words = self.weight_words + self.tile_channel_groups * packet_words(machine)
        weight_writes = self.row_tiles * machine.rows * words
        lane_steps = self.row_tiles * outputs * self.shape.taps * shape.bits_a if self.on_depthwise_unit else 0
        return {
            "pair_lanes": pairs * machine.lanes,
            "narrow_adds": pairs,
            "lane_adds": lane_steps * machine.depthwise_lanes,
            "wide_adds": steps,
            "acc_reads": steps,
            "acc_writes": steps,
            "requant_terms": shape.out_channels * outputs * shape.requant_terms,
            "act_reads": self.row_tiles * operand_reads + self.channel_groups * residuals * shape.bits_residual,
            "act_writes": self.channel_groups * outputs * shape.bits_out,
            "weight_reads": self._weight_reads(machine),
            "weight_writes": weight_writes,
            "operand_bits": self._operand_bits(machine),
            "table_reads": shape.out_channels * outputs if shape.index_bits else 0,
            "table_writes": table_words(shape.index_bits, machine) * machine.requantizers * machine.columns,
            "stream_in_bits": weight_writes * machine.lanes + self.table_cycles * machine.stream_bits,
            "stream_out_bits": 0,
        }

    def _weight_reads(self, machine: Machine) -> int:
        """Count words read: for a block pass by every row with a channel, or for every tap of a step by the lanes."""
        shape = self.shape
        if self.on_depthwise_unit:
            reads = smaller(shape.bits_w, machine.rows)
            return self.row_tiles * self.pixels * self.weight_words * reads
        return self.chunk_count * self.blocks * shape.out_channels * shape.streamed_bits_w

    def _operand_bits(self, machine: Machine) -> int:
        """Count bits clocked into operand files (segments of present taps, weight planes) and select registers.

        The select registers take a word per row and per active column in every pair, whatever the file they read. The
        lanes have two registers for their weights and one in every column for the plane.
        """
        shape = self.shape
        if self.on_depthwise_unit:
            planes = self.shape.taps * shape.bits_a * shape.out_height * shape.out_width
            weight_bits = self.pixels * self.read_cycles * 2 * product_bits(machine)
            return self.row_tiles * (planes + weight_bits) * machine.depthwise_lanes
        outputs = shape.out_height * shape.out_width
        segments = shape.taps * self.channel_blocks
        activations = self.row_tiles * outputs * shape.bits_a * segments * (machine.lanes // self.packing)
        passes = self.chunk_count * self.blocks * shape.out_channels
        weights = passes * shape.bits_w * machine.lanes
        rows = shape.out_channels + self.row_tiles * shape.reference_rows
        selects = self.pair_cycles * self.blocks * (self.pixels * rows + self.row_tiles * outputs)
        return activations + weights + selects * machine.lanes
