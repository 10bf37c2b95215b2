"""The worked example of docs/machine.md: every number in its tables is what the simulator computes."""

import re
from pathlib import Path

import numpy as np
import pytest

from sim.arch.machine import Machine, load_machine
from sim.ir.formats import Format
from sim.ir.ops import Conv, Tensor
from sim.ir.program import Program
from sim.mapping.conv_schedule import DRAIN, ConvSchedule
from sim.mapping.parameter_packet import packet_words
from sim.mapping.transfer_schedule import TransferSchedule
from sim.plan.plan import Plan, plan
from sim.timing.recurrence import NOTICE

SECTION = (Path(__file__).parents[1] / "docs" / "machine.md").read_text().partition("## One layer, worked out")[2]


def table(header: str) -> list[list[str]]:
    """Return the cells of the rows below a table's header row, without the line of dashes."""
    start = SECTION.index(header)
    lines = SECTION[start : SECTION.index("\n\n", start)].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


@pytest.fixture(scope="module")
def edge() -> Machine:
    """Return the machine of the example."""
    return load_machine("edge")


@pytest.fixture(scope="module")
def planned(edge: Machine) -> Plan:
    """Return the layer of the example on its machine."""
    codes = Format(4, "unsigned")
    layer = Conv("layer", "image", "out", np.ones((32, 64, 3, 3), np.int8), Format(4, "signed"), pads=(1, 1, 1, 1),
                 multiplier=np.tile(np.array([4, -1], np.int8), (32, 1)), shift=np.full(32, 12),
                 offset=np.zeros(32, np.int64), low=0, high=15)
    tensors = Tensor("image", 28, 28, (64,), codes), Tensor("out", 28, 28, (32,), codes)
    return plan(Program(tensors, (layer,)), edge)


@pytest.fixture(scope="module")
def schedule(planned: Plan) -> ConvSchedule:
    """Return the schedule of the example's layer."""
    ((_, schedule),) = planned.convs()
    return schedule


def tiles(schedule: ConvSchedule, start: int) -> list[tuple[int, int | None, int, int, int]]:
    """Return (row tile, weights in, u, e, f) of each tile by the formulas of the page, with an ideal memory."""
    pixel = schedule.blocks * schedule.step_cycles
    rows: list[tuple[int, int | None, int, int, int]] = []
    weights = start - NOTICE
    for row_tile in range(schedule.row_tiles):
        weights += schedule.fill_cycles
        for chunk, pixels in enumerate(schedule.chunks):
            before = [row[2:] for row in rows[-2:]]
            earliest = [before[-1][1] if before else start, before[-2][2] + NOTICE if len(before) > 1 else start]
            head = max(*earliest, weights + NOTICE if chunk == 0 else 0)
            done = head + pixels * pixel
            ready = head + (pixels * schedule.blocks - 1) * schedule.step_cycles + schedule.latency
            end = max(ready, before[-1][2] if before else start) + pixels * schedule.requant_cycles
            rows.append((row_tile, weights if chunk == 0 else None, head, done, end))
    return rows


def test_every_symbol_has_the_value_that_the_plan_gives(
    planned: Plan, schedule: ConvSchedule, edge: Machine
) -> None:
    """The column of values is the machine, the schedule and the constants of the time contract, row by row."""
    load = planned.schedules[0]
    assert isinstance(load, TransferSchedule)
    shape = schedule.shape
    values = [edge.rows, edge.columns, edge.lanes, edge.requantizers, (shape.bits_w, shape.bits_a), schedule.packing,
              schedule.phases, schedule.blocks, schedule.step_cycles, schedule.pixels, len(schedule.chunks),
              schedule.chunk_pixels, schedule.row_tiles, shape.terms, schedule.requant_cycles, packet_words(edge),
              schedule.first_pair, DRAIN, schedule.write_back, schedule.blocks * schedule.step_cycles,
              schedule.latency - schedule.step_cycles, schedule.fill_cycles, load.beats]
    shown = [row[-1] for row in table("| symbol |")]
    assert shown == [str(value).strip("()") for value in values]


def test_every_tile_starts_and_ends_when_the_page_says(planned: Plan, schedule: ConvSchedule) -> None:
    """The table of tiles follows the formulas, and its last row ends the layer in the cycle that the timeline gives."""
    times = planned.timeline
    computed = tiles(schedule, times.starts[1])
    shown = [row[2:] for row in table("| tile i |")]
    assert shown == [["" if value is None else str(value) for value in row[1:]] for row in computed]
    assert computed[-1][-1] + schedule.write_back == times.ends[1]


def test_cycles_and_use_in_the_text_are_those_of_the_timeline(planned: Plan, edge: Machine) -> None:
    """The sum, the end of the Store and the two percentages are computed numbers."""
    times = planned.timeline
    cycles = times.ends[1] - times.starts[1]
    macs = 28 * 28 * 32 * 64 * 9
    assert times.pairs == macs * 16 // (edge.rows * edge.columns * edge.lanes)
    assert f"=  {cycles:,} cycles" in SECTION
    assert f"in cycle {times.total:,}" in SECTION
    assert f"{round(100 * times.pairs / times.total)} % of the peak for the run" in SECTION
    assert f"{round(100 * times.pairs / cycles)} % for the layer itself" in SECTION


def test_the_example_of_a_pe_is_a_dot_product_by_bit_planes() -> None:
    """Every AND, popcount and partial sum of the four cycles follows from the two vectors, and ends in Σ w·a."""
    weights, activations = (1, -2, -1, 1), (3, 1, 2, 0)
    planes = {(vector, plane): "".join(str(code >> plane & 1) for code in codes)
              for vector, codes in (("weight", weights), ("activation", activations)) for plane in (1, 0)}
    shown = {(row[0].split()[0], int(row[0].split()[2])): "".join(row[1:]) for row in table("| | lane 0 |")}
    assert shown == planes
    partial, significance = 0, 2
    for (first, second), row in zip([(1, 1), (1, 0), (0, 1), (0, 0)], table("| cycle |"), strict=True):
        partial, significance = partial << (significance - first - second), first + second
        both = f"{int(planes['weight', first], 2) & int(planes['activation', second], 2):04b}"
        partial += both.count("1") * (-1 if first == 1 else 1)
        assert row[2:4] == [both, str(both.count("1"))]
        assert int(re.sub(r".*= ", "", row[4]).replace("−", "-")) == partial
    assert partial == sum(w * a for w, a in zip(weights, activations, strict=True)) == -1
