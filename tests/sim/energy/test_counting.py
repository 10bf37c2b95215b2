"""Event counts against a walk through every step of a layer."""

import random
from collections import Counter
from dataclasses import replace

import pytest

from sim.arch.machine import Machine, load_machine
from sim.energy.counting import events_of
from sim.energy.events import EVENTS
from sim.ir.formats import Format
from sim.ir.ops import Load, Pool, Store, Tensor, out_size
from sim.mapping.conv_schedule import ConvSchedule
from sim.mapping.conv_shape import ConvShape
from sim.mapping.parameter_packet import packet_words
from sim.mapping.pool_schedule import PoolSchedule
from sim.mapping.schedule_conv import schedule_conv
from sim.mapping.transfer_schedule import schedule_transfer


def random_machine(rng: random.Random) -> Machine:
    lanes = rng.choice([4, 8])
    return Machine(name="random", rows=rng.choice([1, 2, 4]), columns=rng.choice([1, 2, 3]), lanes=lanes,
                   acc_depth=rng.choice([1, 3, 8]), requantizers=1, terms=3, window=8, acc_bits=16, weight_words=4096,
                   act_regions=4, region_words=256, stream_bits=lanes, clock_mhz=100)


def random_shape(rng: random.Random) -> ConvShape:
    depthwise = rng.random() < 0.4
    kind = rng.choice(["unit", "signed"]) if depthwise else rng.choice(["signed", "bipolar"])
    parts = (rng.randint(1, 9),) if depthwise else tuple(rng.randint(1, 9) for _ in range(rng.randint(1, 2)))
    size, kernel = (rng.randint(3, 7), rng.randint(3, 7)), (rng.randint(1, 3), rng.randint(1, 3))
    (stride, dilation), pads = ((rng.randint(1, 3), rng.randint(1, 3)) for _ in range(2)), tuple(
        rng.randint(0, 2) for _ in range(4))
    size = tuple(max(extent, step * (taps - 1) + 1) for extent, step, taps in zip(size, dilation, kernel, strict=True))
    return ConvShape(
        in_height=size[0], in_width=size[1], in_parts=parts,
        out_height=out_size(size[0], pads[0], pads[2], kernel[0], stride[0], dilation[0]),
        out_width=out_size(size[1], pads[1], pads[3], kernel[1], stride[1], dilation[1]),
        out_channels=parts[0] if depthwise else rng.randint(1, 9), kernel=kernel, stride=stride, dilation=dilation,
        pads=pads, depthwise=depthwise, weight_kind=kind, bits_w=1 if kind != "signed" else rng.randint(1, 4),
        bits_a=rng.randint(1, 4), bits_out=rng.randint(1, 4), bits_residual=rng.choice([0, 2]), terms=2,
        residual_terms=1,
    )


def walk(schedule: ConvSchedule, machine: Machine) -> Counter[str]:
    """Count what the datapath does, step by step, in the order the machine does it."""
    shape, count = schedule.shape, Counter(dict.fromkeys(EVENTS, 0))
    groups = -(-shape.taps // schedule.packing)
    for tile in range(schedule.row_tiles):
        rows = min(machine.rows, shape.out_channels - tile * machine.rows)
        counted_rows = rows + (shape.weight_kind == "bipolar")
        count["weight_writes"] += machine.rows * (packet_words(machine) + schedule.blocks * shape.streamed_bits_w)
        for start in range(0, schedule.pixels, schedule.chunk_pixels):
            pixels = range(start, min(start + schedule.chunk_pixels, schedule.pixels))
            for group in range(groups):
                present = range(group * schedule.packing, min((group + 1) * schedule.packing, shape.taps))
                for block in range(schedule.channel_blocks):
                    count["weight_reads"] += rows * shape.streamed_bits_w
                    count["operand_bits"] += rows * shape.bits_w * machine.lanes
                    for pixel in pixels:
                        step(count, schedule, machine, pixel, present, counted_rows, first=group == block == 0)
            for pixel in pixels:
                columns = len(active(schedule, machine, pixel))
                count["acc_reads"] += counted_rows * columns
                count["requant_terms"] += rows * columns * (shape.terms + shape.residual_terms)
                count["act_writes"] += columns * shape.bits_out
                count["act_reads"] += columns * shape.bits_residual
    count["stream_in_bits"] = count["weight_writes"] * machine.lanes
    return count


def active(schedule: ConvSchedule, machine: Machine, pixel: int) -> list[int]:
    group = pixel // schedule.shape.out_width
    return [y for y in range(group * machine.columns, (group + 1) * machine.columns) if y < schedule.shape.out_height]


def step(count: Counter[str], schedule: ConvSchedule, machine: Machine, pixel: int, present: range, rows: int,
         first: bool) -> None:
    shape = schedule.shape
    columns = active(schedule, machine, pixel)
    pairs = shape.bits_w * shape.bits_a
    count["pair_lanes"] += pairs * rows * len(columns) * machine.lanes
    count["narrow_adds"] += pairs * rows * len(columns)
    count["wide_adds"] += rows * len(columns)
    count["acc_writes"] += rows * len(columns)
    count["acc_reads"] += 0 if first else rows * len(columns)
    count["operand_bits"] += pairs * machine.lanes * (rows + len(columns))
    for y in columns:
        for tap in present:
            count["operand_bits"] += shape.bits_a * machine.lanes // schedule.packing
            row = shape.stride[0] * y + shape.dilation[0] * (tap // shape.kernel[1]) - shape.pads[0]
            column = (shape.stride[1] * (pixel % shape.out_width) + shape.dilation[1] * (tap % shape.kernel[1])
                      - shape.pads[1])
            if 0 <= row < shape.in_height and 0 <= column < shape.in_width:
                count["act_reads"] += shape.bits_a


@pytest.mark.parametrize("seed", range(60))
def test_conv_events_equal_a_walk_through_every_step(seed: int) -> None:
    """Every closed form equals the count of a walk, for every kind of layer."""
    rng = random.Random(seed)
    machine, shape = random_machine(rng), random_shape(rng)
    if not shape.bits_residual:
        shape = replace(shape, residual_terms=0)
    schedule = schedule_conv(shape, machine)
    assert events_of(schedule, machine) == dict(walk(schedule, machine))


def test_pool_events_count_taps_inside_the_map_and_every_output_plane() -> None:
    """A 3x3 pool with strides 2 and 1 and one pad on 5x4: 7 x 10 of its 9 x 12 row and column taps lie inside."""
    source, target = Tensor("a", 5, 4, (9,), Format(3, "signed")), Tensor("b", 3, 4, (9,), Format(3, "signed"))
    pool = Pool("p", "a", "b", (3, 3), (2, 1), (1, 1, 1, 1))
    machine = load_machine("tiny")
    schedule = PoolSchedule(pool, source, target, phases=1, blocks=2, pixels=4)
    counts = events_of(schedule, machine)
    assert counts.pop("act_reads") == 7 * 10 * 2 * 3
    assert counts.pop("act_writes") == 3 * 4 * 2 * 3
    assert not any(counts.values())


def test_transfers_move_whole_words_in_whole_beats() -> None:
    """5 rows in 2 groups of 3 banks, 4 pixels of 2 blocks of 3 bits: 144 words of 8 lanes, two to a beat."""
    tensor, machine = Tensor("a", 5, 4, (9,), Format(3, "signed")), load_machine("tiny")
    for op, access, way in ((Load("l", "a", "a"), "act_writes", "in"), (Store("s", "a", "a"), "act_reads", "out")):
        counts = events_of(schedule_transfer(op, tensor, machine), machine)
        assert counts.keys() == EVENTS.keys()
        assert counts.pop(access) == 3 * 2 * 4 * 2 * 3
        assert counts.pop(f"stream_{way}_bits") == 144 * 8
        assert not any(counts.values())
