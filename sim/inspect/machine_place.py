"""Where and when the machine makes a code: row, column, lane, word, and cycles."""

from __future__ import annotations

from dataclasses import dataclass

from sim.inspect.writers import Pixel, Writer
from sim.ir.ops import Conv, Load, Pool, Store
from sim.mapping.conv_schedule import ConvSchedule
from sim.mapping.pool_schedule import PoolSchedule
from sim.mapping.transfer_schedule import TransferSchedule
from sim.plan.plan import Plan
from sim.timing.recurrence import STORE_LATENCY, Chunks, PipelineState

__all__ = ["MachinePlace", "place_of", "word_of"]

Cycles = tuple[int, int]
"""First and last."""


@dataclass(frozen=True)
class MachinePlace:
    """Where and when a code is made; None where there is no such thing.

    Attributes
    ----------
    column : int
        Of processing elements.
    row, row_tile : int or None
        Row of processing elements, and the tile of output channels.
    unit : int or None
        Requantizer of the column.
    chunk, pixel : int or None
        Chunk of the row tile, and the pixel's number in it, which is its accumulator.
    computed : Cycles or None
        In which the steps of the pixel are issued, from the first to the last one; other pixels' are in between.
    requantized : Cycles or None
        In which the requantizers work on the pixel.
    written : Cycles
        In which its planes reach the memory, or its word the stream.
    bank, address, lane : int
        Of its plane 0, in the activation memory.
    """

    column: int
    row: int | None
    row_tile: int | None
    unit: int | None
    chunk: int | None
    pixel: int | None
    computed: Cycles | None
    requantized: Cycles | None
    written: Cycles
    bank: int
    address: int
    lane: int


def place_of(plan: Plan, writer: Writer, tensor: str, place: Pixel) -> MachinePlace:
    """Return where and when an op makes the code of a tensor at a place.

    Parameters
    ----------
    plan : Plan
    writer : Writer
        The op, and the place in its own map.
    tensor : str
        On chip: what a Conv, Pool or Load writes, or a Store reads.
    place : Pixel
        In this tensor.
    """
    schedule, op = plan.schedules[writer.number], writer.op
    word = word_of(plan, tensor, place)
    if isinstance(op, Conv) and isinstance(schedule, ConvSchedule):
        return _by_conv(plan, writer, schedule, word)
    start = plan.timeline.starts[writer.number]
    if isinstance(op, Pool) and isinstance(schedule, PoolSchedule):
        return _by_pool(plan, writer, schedule, start, word)
    assert isinstance(op, Load | Store)
    assert isinstance(schedule, TransferSchedule)
    return _by_transfer(plan, writer, schedule, word)


def word_of(plan: Plan, tensor: str, place: Pixel) -> tuple[int, int, int]:
    """Return (bank, address, lane) of plane 0 of a code on chip."""
    machine, found = plan.machine, plan.program.tensor(tensor)
    block, channel = 0, place.channel
    for part in found.parts:
        if channel < part:
            break
        block, channel = block + -(-part // machine.lanes), channel - part
    blocks = sum(-(-part // machine.lanes) for part in found.parts)
    group, bank = divmod(place.y, machine.columns)
    pixel = (group * found.width + place.x) * blocks + block + channel // machine.lanes
    return bank, plan.bases[tensor] + pixel * found.format.bits, channel % machine.lanes


def _by_conv(plan: Plan, writer: Writer, schedule: ConvSchedule, word: tuple[int, int, int]) -> MachinePlace:
    machine, own, shape = plan.machine, writer.own, schedule.shape
    per_tile = machine.depthwise_lanes if schedule.on_depthwise_unit else machine.rows
    row_tile, within = divmod(own.channel, per_tile)
    group, row = divmod(within, machine.rows)
    number = own.y // machine.columns * shape.out_width + own.x
    chunk, pixel = divmod(number, schedule.chunk_pixels)
    chunks = _chunk_times(plan, writer.number)[row_tile][chunk]
    last_step = chunks.issued + ((schedule.blocks - 1) * chunks.pixels + pixel) * schedule.step_cycles
    slots = schedule.last_tile_channel_groups if row_tile == schedule.row_tiles - 1 else schedule.tile_channel_groups
    slot = chunks.requantized + (pixel * slots + group) * schedule.requant_cycles
    slot_end = slot + schedule.requant_cycles - 1
    return MachinePlace(
        own.y % machine.columns, row, row_tile, row // (machine.rows // machine.requantizers), chunk, pixel,
        (chunks.issued + pixel * schedule.step_cycles, last_step + schedule.step_cycles - 1), (slot, slot_end),
        (slot_end + 1, slot_end + schedule.write_back), *word)


def _chunk_times(plan: Plan, number: int) -> list[list[Chunks]]:
    """Return the times of every chunk of every row tile of a Conv."""
    found: list[Chunks] = []
    state = PipelineState(plan.machine.memory)
    for index in range(number):
        plan.schedules[index].run(state, plan.waits[index])
    state.watch = found.append
    schedule = plan.schedules[number]
    schedule.run(state, plan.waits[number])
    assert isinstance(schedule, ConvSchedule)
    single = [Chunks(run.pixels, run.issued + i * run.distance, run.requantized + i * run.distance, 1, run.distance)
              for run in found for i in range(run.count)]
    per_tile = schedule.chunk_count
    return [single[first : first + per_tile] for first in range(0, len(single), per_tile)]


def _by_pool(plan: Plan, writer: Writer, schedule: PoolSchedule, start: int,
             word: tuple[int, int, int]) -> MachinePlace:
    own, columns, target = writer.own, plan.machine.columns, schedule.target
    first_block = word_of(plan, target.name, Pixel(0, own.y, own.x))[1]
    block = (word[1] - first_block) // target.format.bits
    step = block * schedule.pixels + own.y // columns * target.width + own.x
    begun = start + step * schedule.step_cycles
    ended = begun + schedule.step_cycles - 1
    taps_before = schedule.step_cycles - schedule.bits * schedule.phases
    return MachinePlace(own.y % columns, None, None, None, None, step, (begun, ended), None,
                        (begun + taps_before + 1, ended + 4), *word)


def _by_transfer(plan: Plan, writer: Writer, schedule: TransferSchedule, word: tuple[int, int, int]) -> MachinePlace:
    """Return the cycle of a word's beat; with a memory that lets beats wait it is as late as the others allow."""
    machine, (bank, address, _) = plan.machine, word
    end = plan.timeline.ends[writer.number]
    offset = address - plan.bases[schedule.tensor.name]
    bits = machine.lanes * machine.columns
    beats = [((offset + plane) * bits + bank * machine.lanes) // machine.stream_bits
             for plane in (0, schedule.tensor.format.bits - 1)]
    start = plan.timeline.starts[writer.number] + (STORE_LATENCY if isinstance(writer.op, Store) else 0)
    memory = machine.memory
    first, last = (min(end, memory.finish(start, beat + 1)) - 1 for beat in beats)
    return MachinePlace(bank, None, None, None, None, None, None, None, (first, last), *word)
