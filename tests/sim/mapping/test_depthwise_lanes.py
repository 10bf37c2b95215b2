"""Layers on depthwise lanes: when they run there, how their weights lie, and what they count."""

import random
import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from sim.arch.machine import Machine, load_machine
from sim.arch.widths import lane_sum_bits
from sim.energy.counting import events_of
from sim.energy.events import EVENTS
from sim.ir.formats import Format, Kind
from sim.ir.ops import Conv, out_size
from sim.mapping.conv_schedule import ConvSchedule
from sim.mapping.conv_shape import ConvShape
from sim.mapping.depthwise_lanes import fits_depthwise_unit
from sim.mapping.parameter_packet import packet_words, packets
from sim.mapping.schedule_conv import schedule_conv
from sim.mapping.weight_layout import row_tile_words


def lane_machine(**changes: int) -> Machine:
    """`tiny` with words of 16 lanes, 8 of which work on depthwise layers in two groups."""
    return Machine(**load_machine("tiny").model_dump() | {"lanes": 16, "depthwise_lanes": 8, **changes})


def lane_shape(channels: int = 12, kernel: tuple[int, int] = (3, 3), bits_w: int = 3, bits_a: int = 4,
               kind: Kind = "signed") -> ConvShape:
    return ConvShape(9, 9, (channels,), 9, 9, channels, kernel, (1, 1), (1, 1), (1, 1, 1, 1), True, kind, bits_w,
                     bits_a, 4, 0, 2, 0)


def test_only_depthwise_layers_whose_sums_fit_run_on_the_depthwise_unit() -> None:
    """A lane holds sums of 64 taps at full width; wider ones, dense layers and machines without lanes use the array."""
    machine, full = lane_machine(), lane_shape(kernel=(8, 8), bits_w=8, bits_a=8)
    assert fits_depthwise_unit(full, machine)
    assert not fits_depthwise_unit(replace(full, kernel=(8, 9)), machine)
    assert not fits_depthwise_unit(replace(full, depthwise=False), machine)
    assert not fits_depthwise_unit(full, lane_machine(depthwise_lanes=0))
    assert fits_depthwise_unit(replace(full, weight_kind="unsigned", bits_w=7), machine)
    assert fits_depthwise_unit(lane_shape(kernel=(64, 64), bits_w=1, bits_a=8, kind="unit"), machine)


@pytest.mark.parametrize(("kind", "bits_w"), [("signed", 8), ("unsigned", 7), ("unit", 1), ("signed", 1)])
@pytest.mark.parametrize("signed_a", [False, True])
def test_no_sum_overflows_a_lane(kind: Kind, bits_w: int, signed_a: bool) -> None:
    """With as many taps as fit, the extreme sums lie inside a lane's signed range."""
    machine = lane_machine()
    taps = 1
    while fits_depthwise_unit(lane_shape(kernel=(1, 2 * taps), bits_w=bits_w, bits_a=8, kind=kind), machine):
        taps *= 2
    weights = [1] if kind == "unit" else [Format(bits_w, kind).low, Format(bits_w, kind).high]
    codes = [-128, 127] if signed_a else [0, 255]
    sums = [taps * w * a for w in weights for a in codes]
    limit = 1 << (lane_sum_bits(machine) - 1)
    assert -limit <= min(sums)
    assert max(sums) < limit


def test_a_step_reads_every_tap_and_leaves_time_to_move_the_groups() -> None:
    """12 channels are two tiles: two groups of 4 and one; a step takes 9 taps x 4 planes and one cycle more."""
    schedule = schedule_conv(lane_shape(), lane_machine())
    assert schedule.on_depthwise_unit
    assert (schedule.row_tiles, schedule.tile_channel_groups, schedule.last_tile_channel_groups) == (2, 2, 1)
    assert (schedule.step_cycles, schedule.read_cycles, schedule.channel_groups) == (37, 36, 3)
    assert max(schedule.chunks) * 2 <= lane_machine().acc_depth
    few = schedule_conv(lane_shape(channels=4), lane_machine())
    assert (few.tile_channel_groups, few.last_tile_channel_groups, few.step_cycles) == (1, 1, 36)


@pytest.mark.parametrize(("lanes", "bits"), [(8, 7), (4, 3), (8, 4)])
def test_weight_words_hold_a_plane_per_row(lanes: int, bits: int) -> None:
    """Plane i of tap t and channel tile*V + v is bit (i // rows)*V + v of word t in row i mod rows, all else 0."""
    machine = lane_machine(depthwise_lanes=lanes)
    fmt = Format(bits, "signed")
    codes = np.random.default_rng(3).integers(fmt.low, fmt.high + 1, (11, 1, 2, 3)).astype(np.int8)
    conv = Conv("c", "x", "y", codes, fmt, np.tile(np.array([[5]], np.int8), (11, 1)), np.arange(11), -np.arange(11),
                0, 1, groups=11)
    schedule = schedule_conv(lane_shape(channels=11, kernel=(2, 3), bits_w=bits), machine)
    parameters = schedule.tile_channel_groups * packet_words(machine)
    for tile in range(schedule.row_tiles):
        words = row_tile_words(conv, schedule, tile, machine)
        expected = np.zeros((parameters + 6, machine.rows, machine.lanes), np.uint8)
        for channel in range(tile * lanes, min(11, (tile + 1) * lanes)):
            group, row = divmod(channel - tile * lanes, machine.rows)
            first = group * packet_words(machine)
            packet = packets(conv, slice(channel, channel + 1), machine)
            expected[first : first + packet_words(machine), row] = packet[:, 0]
            for tap, plane in np.ndindex(6, bits):
                bit = (int(codes[channel, 0].flat[tap]) >> plane) & 1
                lane = plane // machine.rows * lanes + channel - tile * lanes
                expected[parameters + tap, plane % machine.rows, lane] = bit
        np.testing.assert_array_equal(words, expected)


def random_lane_layer(rng: random.Random) -> tuple[ConvSchedule, Machine]:
    kinds: list[Kind] = ["unit", "signed"]
    kind, residual = rng.choice(kinds), rng.choice([0, 2])
    kernel, stride = ((rng.randint(1, 3), rng.randint(1, 3)) for _ in range(2))
    pads = (rng.randint(0, 2),) * 4
    size, channels = (rng.randint(3, 7), rng.randint(3, 7)), rng.randint(1, 20)
    machine = lane_machine(depthwise_lanes=rng.choice([4, 8]), columns=rng.choice([1, 2, 3]),
                           acc_depth=rng.choice([2, 3, 8]))
    shape = ConvShape(
        *size, (channels,), out_size(size[0], pads[0], pads[2], kernel[0], stride[0]),
        out_size(size[1], pads[1], pads[3], kernel[1], stride[1]), channels, kernel, stride, (1, 1), pads, True, kind,
        1 if kind == "unit" else rng.randint(1, 8), rng.randint(1, 4), rng.randint(1, 4), residual, 2,
        int(residual > 0))
    return schedule_conv(shape, machine), machine


def walk(schedule: ConvSchedule, machine: Machine) -> Counter[str]:
    """Count what the lanes do, tile by tile and pixel by pixel."""
    shape, count = schedule.shape, Counter(dict.fromkeys(EVENTS, 0))
    lanes, width = machine.depthwise_lanes, machine.max_bits_w + machine.max_bits_a
    for tile in range(-(-shape.out_channels // lanes)):
        channels = min(lanes, shape.out_channels - tile * lanes)
        groups = -(-channels // machine.rows)
        count["weight_writes"] += machine.rows * (
            schedule.tile_channel_groups * packet_words(machine) + shape.taps * (shape.weight_kind != "unit"))
        for group, x in np.ndindex(-(-shape.out_height // machine.columns), shape.out_width):
            active = [y for y in range(group * machine.columns, (group + 1) * machine.columns) if y < shape.out_height]
            if shape.weight_kind != "unit":
                count["weight_reads"] += shape.taps * min(shape.bits_w, machine.rows)
            count["operand_bits"] += shape.taps * shape.bits_a * schedule.phases * 2 * width * lanes
            for y in active:
                count["lane_adds"] += shape.taps * shape.bits_a * lanes
                count["operand_bits"] += shape.taps * shape.bits_a * lanes
                count["act_reads"] += groups * shape.bits_residual + shape.bits_a * taps_inside(shape, y, x)
                count["act_writes"] += groups * shape.bits_out
                for what in ("wide_adds", "acc_reads", "acc_writes"):
                    count[what] += channels
                count["requant_terms"] += channels * (shape.terms + shape.residual_terms)
    count["stream_in_bits"] = count["weight_writes"] * machine.lanes
    return count


def taps_inside(shape: ConvShape, y: int, x: int) -> int:
    return sum(0 <= shape.stride[0] * y + ky - shape.pads[0] < shape.in_height
               and 0 <= shape.stride[1] * x + kx - shape.pads[1] < shape.in_width
               for ky, kx in np.ndindex(*shape.kernel))


@pytest.mark.parametrize("seed", range(40))
def test_events_equal_a_walk_through_every_pixel(seed: int) -> None:
    """Every closed form of a layer on lanes equals the count of a walk."""
    schedule, machine = random_lane_layer(random.Random(seed))
    assert schedule.on_depthwise_unit
    assert events_of(schedule, machine) == dict(walk(schedule, machine))


UNALIGNED = "depthwise_lanes must be 0, or rows = 4 times a power of two and at most lanes = 16, not "


@pytest.mark.parametrize(("changes", "message"), [
    ({"depthwise_lanes": 6}, UNALIGNED + "6"),
    ({"depthwise_lanes": 2}, UNALIGNED + "2"),
    ({"depthwise_lanes": 32}, UNALIGNED + "32"),
    ({"depthwise_lanes": 16},
     "depthwise_lanes must be at most rows * lanes / max_bits_w = 8, a word per row for their weights, not 16"),
    ({"acc_depth": 1}, "depthwise_lanes must be at most rows * acc_depth = 4, an accumulator for each, not 8"),
])
def test_lanes_that_a_machine_cannot_have_are_refused(changes: dict[str, int], message: str) -> None:
    """Too many, too few or unaligned lanes, no room for their weights or their sums: each is named."""
    with pytest.raises(ValueError, match=re.escape(message)):
        lane_machine(**changes)
