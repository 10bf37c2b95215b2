"""The recurrence against a model that steps through every cycle and watches the register sets."""

import random
from dataclasses import dataclass, field

import pytest

from sim.machine import Machine
from sim.schedule import ConvSchedule, ConvShape, schedule_conv
from sim.timing import _recurrence, closed_form_cycles, layer_cycles
from sim.waits import Waits


def random_conv_machine(rng: random.Random) -> Machine:
    lanes = rng.choice([4, 8, 16])
    rows = rng.choice([r for r in (1, 2, 4, 8) if r <= lanes])
    columns = rng.choice([1, 2, 3, 4, 7])
    words = rng.choice([w for w in (0.25, 0.5, 1, 2, 4) if w <= min(rows, columns)])
    return Machine(
        name="random", rows=rows, columns=columns, lanes=lanes, acc_depth=rng.choice([1, 2, 4, 16]),
        requantizers=rng.choice([q for q in (1, 2, 4, 8) if q <= rows]), terms=4, window=12, acc_bits=24,
        weight_words=4096, act_regions=8, region_words=4096, stream_bits=int(lanes * words), clock_mhz=100,
    )


def random_shape(rng: random.Random) -> ConvShape:
    depthwise = rng.random() < 0.3
    channels = rng.randint(1, 20)
    residual = rng.choice([0, 0, 3, 8])
    kind = rng.choice(["unit", "signed"]) if depthwise else rng.choice(["signed", "bipolar"])
    return ConvShape(
        in_height=9, in_width=9, in_parts=(channels,), out_height=rng.randint(1, 7), out_width=rng.randint(1, 5),
        out_channels=channels if depthwise else rng.randint(1, 20), kernel=(rng.randint(1, 3), rng.randint(1, 3)),
        stride=rng.randint(1, 4), dilation=1, pads=(0, 0, 0, 0), depthwise=depthwise, weight_kind=kind,
        bits_w=1 if kind != "signed" else rng.randint(1, 8), bits_a=rng.randint(1, 8), bits_out=rng.randint(1, 8),
        bits_residual=residual, terms=rng.randint(1, 4), residual_terms=rng.randint(0, 4) if residual else 0,
    )


@dataclass
class Tile:
    record: int
    row_tile: int
    first_chunk: bool
    last_chunk: bool
    pixels: int
    schedule: ConvSchedule
    accumulated: int | None = None


@dataclass
class SteppedMachine:
    """Fill engine, head, operand sets and requantizer, advanced one cycle at a time."""

    schedules: list[ConvSchedule]
    ends: list[int] = field(default_factory=list)
    wait_accumulator: int = 0
    wait_weights: int = 0

    def run(self) -> None:
        tiles, fills = [], []
        for record, schedule in enumerate(self.schedules):
            for _ in range(schedule.row_tiles):
                for chunk, pixels in enumerate(schedule.chunks):
                    last = chunk == len(schedule.chunks) - 1
                    tiles.append(Tile(record, len(fills), chunk == 0, last, pixels, schedule))
                fills.append(schedule.fill_cycles)
        filled, released = 0, 0
        fill_left = fills[0]
        tile_index, step, next_issue = 0, 0, 0
        free_banks, requant, requant_left, layer_start = 2, 0, 0, 0
        cycle = 0
        while len(self.ends) < len(self.schedules):
            if tile_index < len(tiles) and cycle >= next_issue:
                tile = tiles[tile_index]
                started = layer_start <= cycle and tile.record == len(self.ends)
                if step == 0 and started and not free_banks:
                    self.wait_accumulator += 1
                elif step == 0 and started and tile.first_chunk and filled <= tile.row_tile:
                    self.wait_weights += 1
                elif started:
                    self.issue(tile.schedule, cycle, step)
                    free_banks -= step == 0
                    step += 1
                    next_issue = cycle + tile.schedule.step_cycles
                    if step == tile.pixels * tile.schedule.blocks:
                        tile.accumulated = cycle + tile.schedule.latency
                        tile_index, step = tile_index + 1, 0
            if filled < len(fills) and (filled < 2 or released > filled - 2):
                fill_left -= 1
                if fill_left == 0:
                    filled += 1
                    fill_left = fills[filled] if filled < len(fills) else 0
            if cycle + 1 == next_issue and step == 0 and tiles[tile_index - 1].last_chunk:
                released = tiles[tile_index - 1].row_tile + 1
            if requant_left == 0 and requant < len(tiles):
                tile = tiles[requant]
                residual = layer_start + tile.schedule.shape.bits_residual + 2
                if tile.accumulated is not None and max(tile.accumulated, residual) <= cycle:
                    requant_left = tile.pixels * tile.schedule.requant_cycles
            if requant_left:
                requant_left -= 1
                if requant_left == 0:
                    free_banks += 1
                    tile, requant = tiles[requant], requant + 1
                    if requant == len(tiles) or tiles[requant].record != tile.record:
                        layer_start = cycle + 1 + tile.schedule.write_back
                        self.ends.append(layer_start)
            cycle += 1

    _sets: list[tuple[int, int]] = field(default_factory=list)

    def issue(self, schedule: ConvSchedule, cycle: int, step: int) -> None:
        """A step's operands are written into one of two sets from cycle + 2 on, and read until its last pair."""
        last_pair = cycle + schedule.first_pair + schedule.pair_cycles - 1
        if len(self._sets) >= 2:
            assert self._sets[-2][1] < cycle + 2, "an operand set is overwritten while in use"
        assert cycle + 1 + schedule.read_cycles < cycle + schedule.first_pair, "a pair starts before its operands"
        if self._sets:
            assert self._sets[-1][1] < cycle + schedule.first_pair, "two steps want the pair stage at once"
        self._sets.append((cycle + 2, last_pair))


@pytest.mark.parametrize("seed", range(150))
def test_recurrence_equals_the_stepped_machine(seed: int) -> None:
    """Ends of every layer and both kinds of waiting are equal to a cycle-by-cycle run."""
    rng = random.Random(seed)
    machine = random_conv_machine(rng)
    schedules = [schedule_conv(random_shape(rng), machine) for _ in range(rng.randint(1, 3))]
    stepped = SteppedMachine(schedules)
    stepped.run()
    line = _recurrence(schedules, [Waits()] * len(schedules))
    assert list(line.ends) == stepped.ends
    assert (line.wait_accumulator, line.wait_weights) == (stepped.wait_accumulator, stepped.wait_weights)


def test_closed_form_equals_the_recurrence_when_weights_are_in_time() -> None:
    """Both regimes occur, and each gives the recurrence's cycles for a layer that never waits for weights."""
    seen = {"compute": 0, "requantizer": 0}
    rng = random.Random(0)
    for _ in range(4000):
        schedule = schedule_conv(random_shape(rng), random_conv_machine(rng))
        closed = closed_form_cycles(schedule)
        line = _recurrence([schedule], [Waits()])
        if closed is None or line.wait_weights != schedule.fill_cycles:
            continue
        assert line.total - schedule.fill_cycles == closed
        seen["requantizer" if line.wait_accumulator else "compute"] += 1
    assert min(seen.values()) > 50


@pytest.mark.parametrize("seed", range(100))
def test_a_layer_never_takes_longer_inside_a_program(seed: int) -> None:
    """The cycles of a layer alone bound its cycles in any Program: what makes cost tables safe."""
    rng = random.Random(seed)
    machine = random_conv_machine(rng)
    schedules = [schedule_conv(random_shape(rng), machine) for _ in range(4)]
    line = _recurrence(schedules, [Waits()] * len(schedules))
    for schedule, start, end in zip(schedules, line.starts, line.ends, strict=True):
        assert end - start <= layer_cycles(schedule)
