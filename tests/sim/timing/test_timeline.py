"""The recurrence against a model that steps through every cycle and watches the register sets."""

import random
from dataclasses import dataclass, field

import pytest

from sim.arch.host_memory import IDEAL, Memory
from sim.arch.machine import Machine
from sim.ir.formats import Format
from sim.ir.ops import Load, Pool, Store, Tensor
from sim.mapping.conv_schedule import ConvSchedule
from sim.mapping.conv_shape import ConvShape
from sim.mapping.pool_schedule import PoolSchedule
from sim.mapping.schedule import Schedule
from sim.mapping.schedule_conv import schedule_conv
from sim.mapping.transfer_schedule import TransferSchedule
from sim.timing.dependencies import Waits
from sim.timing.recurrence import NOTICE
from sim.timing.timeline import timeline

LOAD, STORE, POOL = Load("load", "a", "a"), Store("store", "a", "a"), Pool("pool", "a", "b", (1, 2))
MAP = Tensor("a", 1, 1, (1,), Format(1, "unsigned"))


def pool_schedule(bits: int, pixels: int) -> PoolSchedule:
    """A Pool of codes of so many bits and outputs in a column."""
    target = Tensor("b", 1, 1, (1,), Format(bits, "unsigned"))
    return PoolSchedule(POOL, MAP, target, 1, 1, pixels)


def random_conv_machine(rng: random.Random) -> Machine:
    lanes = rng.choice([4, 8, 16])
    rows = rng.choice([r for r in (1, 2, 4, 8) if r <= lanes])
    columns = rng.choice([1, 2, 3, 4, 7])
    words = rng.choice([w for w in (0.25, 0.5, 1, 2, 4) if w <= min(rows, columns)])
    depth = rng.choice([1, 2, 4, 16])
    most = min(lanes, rows * depth, rows * lanes // 8)
    depthwise_lanes = rng.choice([0] + [v for v in (1, 2, 4, 8, 16) if rows <= v <= most])
    return Machine(
        name="random", rows=rows, columns=columns, lanes=lanes, acc_depth=depth, depthwise_lanes=depthwise_lanes,
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
        stride=(rng.randint(1, 4), rng.randint(1, 4)), dilation=(1, 1), pads=(0, 0, 0, 0),
        depthwise=depthwise, weight_kind=kind,
        bits_w=1 if kind != "signed" else rng.randint(1, 8), bits_a=rng.randint(1, 8), bits_out=rng.randint(1, 8),
        bits_residual=residual, terms=rng.randint(1, 4), residual_terms=rng.randint(0, 4) if residual else 0,
        index_bits=rng.choice([0, 0, 1, 4, 8]))


def random_schedules(rng: random.Random, machine: Machine) -> list[Schedule]:
    """Convs, Pools, Loads and Stores in any order, a Conv or Pool first."""
    kinds = ["conv", *rng.choices(["conv", "pool", "pool", "load", "load", "store", "store"], k=rng.randint(0, 8))]
    return [schedule_conv(random_shape(rng), machine) if kind == "conv"
            else pool_schedule(rng.randint(1, 4), rng.randint(1, 9)) if kind == "pool"
            else TransferSchedule(LOAD if kind == "load" else STORE, MAP, 1, rng.randint(1, 40)) for kind in kinds]


def random_waits(rng: random.Random, schedules: list[Schedule]) -> list[Waits]:
    """Waits for any number of the earlier ops of the other queues."""
    counts, waits = {"compute": 0, "load": 0, "store": 0}, []
    for schedule in schedules:
        queue = queue_of(schedule)
        drawn = {name: rng.randint(0, count) if name != queue else 0 for name, count in counts.items()}
        written = rng.choice([0, drawn["store"]]) if queue == "load" else 0
        table = rng.randint(0, counts["compute"]) if isinstance(schedule, ConvSchedule) else 0
        waits.append(Waits(drawn["compute"], drawn["load"], drawn["store"], written, table))
        counts[queue] += 1
    return waits


def queue_of(schedule: Schedule) -> str:
    if isinstance(schedule, TransferSchedule):
        return "load" if isinstance(schedule.op, Load) else "store"
    return "compute"


@dataclass
class Tile:
    op: int
    row_tile: int
    groups: int
    first_chunk: bool
    last_chunk: bool
    pixels: int
    schedule: ConvSchedule
    accumulated: int | None = None


@dataclass
class SteppedMachine:
    """Both streams, head, operand sets and requantizer, advanced one cycle at a time."""

    schedules: list[Schedule]
    waits: list[Waits]
    memory: Memory = IDEAL
    ends: dict[int, int] = field(default_factory=dict)
    wait_accumulator: int = 0
    wait_weights: int = 0
    wait_transfers: int = 0
    starved: int = 0
    blocked: int = 0
    cycle: int = 0
    filled: int = 0
    released: int = 0
    free_banks: int = 2
    freed: tuple[int, int] = (0, 0)
    seen_filled: tuple[int, int] = (0, 0)
    tile_index: int = 0
    step: int = 0
    next_issue: int = 0
    requant: int = 0
    requant_left: int = 0
    started: int | None = None
    layer_start: int = 0
    store_start: int | None = None

    def run(self) -> None:
        self.queues: dict[str, list[int]] = {"compute": [], "load": [], "store": []}
        self.tiles: list[Tile] = []
        self.inward: list[list[int]] = []
        self.tables, self.came = set[int](), 0
        for op, schedule in enumerate(self.schedules):
            self.queues[queue_of(schedule)].append(op)
            if isinstance(schedule, ConvSchedule):
                self.add_tiles(op, schedule)
            elif isinstance(schedule, TransferSchedule) and isinstance(schedule.op, Load):
                self.inward.append([op, schedule.beats])
        self.outward = [[op, self.schedules[op].beats] for op in self.queues["store"]]
        while len(self.ends) < len(self.schedules) or self.cycle < max(self.ends.values()):
            released = self.released
            self.notice()
            self.compute()
            self.send(released)
            self.receive()
            self.cycle += 1

    def add_tiles(self, op: int, schedule: ConvSchedule) -> None:
        row_tile = sum(tile.last_chunk for tile in self.tiles)
        if schedule.table_cycles:
            self.tables.add(len(self.inward))
            self.inward.append([op, schedule.table_cycles])
        for number in range(schedule.row_tiles):
            last = number == schedule.row_tiles - 1
            groups = schedule.last_tile_channel_groups if last else schedule.tile_channel_groups
            self.inward.append([op, schedule.fill_cycles])
            for chunk, pixels in enumerate(schedule.chunks):
                last = chunk == len(schedule.chunks) - 1
                self.tiles.append(Tile(op, row_tile + number, groups, chunk == 0, last, pixels, schedule))

    def ended(self, queue: str, count: int) -> bool:
        return all(self.ends.get(op, self.cycle + 1) <= self.cycle for op in self.queues[queue][:count])

    def notice(self) -> None:
        """Banks that were freed and weights that came in count for the head a cycle later than for all else."""
        self.free_banks += self.freed[1]
        self.freed = 0, self.freed[0]
        self.seen_filled = self.filled, self.seen_filled[0]

    def may_begin(self, op: int) -> bool:
        """Whether the ends of Loads and Stores that a Conv or Pool waits for lie a cycle back."""
        waits = self.waits[op]
        return all(self.ends.get(other, self.cycle) < self.cycle for queue, count in (
            ("load", waits.loads), ("store", waits.stores)) for other in self.queues[queue][:count])

    def may_start(self, op: int) -> bool:
        waits = self.waits[op]
        return (self.ended("compute", waits.computes) and self.ended("load", waits.loads)
                and self.ended("store", waits.stores))

    def send(self, released: int) -> None:
        """The host offers a beat of the inward item if the memory lets it pass; the machine may want none."""
        if not self.inward:
            return
        op, _ = item = self.inward[0]
        table = self.came in self.tables
        if table:
            wanted, there = self.ended("compute", self.waits[op].table), True
        elif isinstance(self.schedules[op], ConvSchedule):
            wanted, there = self.filled < 2 or released > self.filled - 2, True
        else:
            wanted, written = self.may_start(op), self.waits[op].written
            stores = self.queues["store"]
            there = not written or self.ends.get(stores[written - 1], self.cycle + 1) <= (
                self.cycle - self.memory.latency_cycles)
        if wanted and there and self.memory.passes(self.cycle):
            item[1] -= 1
            if item[1] == 0:
                self.inward.pop(0)
                self.came += 1
                if isinstance(self.schedules[op], ConvSchedule):
                    self.filled += not table
                else:
                    self.ends[op] = self.cycle + 1
        elif wanted:
            self.starved += 1

    def receive(self) -> None:
        """Two cycles after it starts a Store offers its first beat."""
        if not self.outward:
            return
        op, _ = item = self.outward[0]
        if self.store_start is None and self.may_start(op):
            self.store_start = self.cycle
        if self.store_start is None or self.cycle < self.store_start + 2:
            return
        if self.memory.passes(self.cycle):
            item[1] -= 1
            if item[1] == 0:
                self.outward.pop(0)
                self.ends[op], self.store_start = self.cycle + 1, None
        else:
            self.blocked += 1

    def compute(self) -> None:
        """A cycle of the Conv or Pool whose turn it is."""
        done = [op for op in self.queues["compute"] if op in self.ends]
        if done and self.ends[done[-1]] > self.cycle:
            return
        if len(done) == len(self.queues["compute"]):
            self.wait_transfers += 1
            return
        op = self.queues["compute"][len(done)]
        if self.started != op:
            if not self.may_begin(op):
                self.wait_transfers += 1
                return
            self.started, self.layer_start, self.next_issue = op, self.cycle, self.cycle
        schedule = self.schedules[op]
        if isinstance(schedule, PoolSchedule):
            self.ends[op] = self.cycle + schedule.cycles
        else:
            self.head()
            self.requantize(op)

    def head(self) -> None:
        tile = self.tiles[self.tile_index] if self.tile_index < len(self.tiles) else None
        if tile is not None and tile.op == self.started and self.cycle >= self.next_issue:
            if self.step == 0 and not self.free_banks:
                self.wait_accumulator += 1
            elif self.step == 0 and tile.first_chunk and self.seen_filled[1] <= tile.row_tile:
                self.wait_weights += 1
            else:
                self.issue(tile.schedule, self.cycle, self.step)
                self.free_banks -= self.step == 0
                self.step += 1
                self.next_issue = self.cycle + tile.schedule.step_cycles
                if self.step == tile.pixels * tile.schedule.blocks:
                    tile.accumulated = self.cycle + tile.schedule.latency
                    self.tile_index, self.step = self.tile_index + 1, 0
        if self.cycle + 1 == self.next_issue and self.step == 0 and self.tiles[self.tile_index - 1].last_chunk:
            self.released = self.tiles[self.tile_index - 1].row_tile + 1

    def requantize(self, op: int) -> None:
        tile = self.tiles[self.requant]
        if self.requant_left == 0 and tile.op == op:
            residual = self.layer_start + tile.schedule.shape.bits_residual + 2
            if tile.accumulated is not None and max(tile.accumulated, residual) <= self.cycle:
                self.requant_left = tile.pixels * tile.groups * tile.schedule.requant_cycles
        if self.requant_left:
            self.requant_left -= 1
            if self.requant_left == 0:
                self.freed = 1, self.freed[1]
                self.requant += 1
                if self.requant == len(self.tiles) or self.tiles[self.requant].op != op:
                    self.ends[op] = self.cycle + 1 + tile.schedule.write_back

    _sets: list[tuple[int, int]] = field(default_factory=list)

    def issue(self, schedule: ConvSchedule, cycle: int, step: int) -> None:
        """A step's operands are written into one of two sets from cycle + 2 on, and read until its last pair.

        On the lanes its sums are whole three cycles after the last read, and then move away group after group.
        """
        if schedule.on_depthwise_unit:
            self.issue_lanes(schedule, cycle)
            return
        last_pair = cycle + schedule.first_pair + schedule.pair_cycles - 1
        if len(self._sets) >= 2:
            assert self._sets[-2][1] < cycle + 2, "an operand set is overwritten while in use"
        assert cycle + 1 + schedule.read_cycles < cycle + schedule.first_pair, "a pair starts before its operands"
        if self._sets:
            assert self._sets[-1][1] < cycle + schedule.first_pair, "two steps want the pair stage at once"
        self._sets.append((cycle + 2, last_pair))

    _moved: int = 0

    def issue_lanes(self, schedule: ConvSchedule, cycle: int) -> None:
        first_sum = cycle + 4
        assert self._moved < first_sum, "a sum is overwritten before its group has moved"
        self._moved = cycle + schedule.read_cycles + 3 + schedule.tile_channel_groups - 1
        assert self._moved + 1 == cycle + schedule.latency, "the requantizer starts after the last group"


@pytest.mark.parametrize("memory", [IDEAL, None], ids=["ideal memory", "slots and latency"])
@pytest.mark.parametrize("seed", range(80))
def test_recurrence_equals_the_stepped_machine(seed: int, memory: Memory | None) -> None:
    """Ends of all ops and every kind of waiting are equal to a cycle-by-cycle run, whatever waits for what."""
    rng = random.Random(seed)
    machine = random_conv_machine(rng)
    period = rng.randint(1, 7)
    memory = memory or Memory(latency_cycles=rng.choice([0, 3, 40]), beats=rng.randint(1, period), period_cycles=period)
    schedules = random_schedules(rng, machine)
    waits = random_waits(rng, schedules)
    stepped = SteppedMachine(schedules, waits, memory)
    stepped.run()
    line = timeline(schedules, waits, memory)
    assert list(line.ends) == [stepped.ends[op] for op in range(len(schedules))]
    for counter in ("wait_accumulator", "wait_weights", "wait_transfers", "starved", "blocked"):
        assert getattr(line, counter) == getattr(stepped, counter), counter


def test_two_transfers_that_end_together_share_nothing() -> None:
    """The cycles of a gap fall to one of them."""
    pool = pool_schedule(1, 3)
    schedules = [pool, TransferSchedule(LOAD, MAP, 1, 7), TransferSchedule(STORE, MAP, 1, 5), pool]
    line = timeline(schedules, [Waits(), Waits(computes=1), Waits(computes=1), Waits(loads=1, stores=1)])
    assert line.ends[1] == line.ends[2] == line.starts[3] - NOTICE
    assert line.shares == (pool.cycles, 7 + NOTICE, 0, pool.cycles)


@pytest.mark.parametrize("seed", range(100))
def test_shares_sum_to_the_total(seed: int) -> None:
    """Every cycle falls to a Conv or Pool that runs, or to the transfer that ends a gap between them."""
    rng = random.Random(seed)
    schedules = random_schedules(rng, random_conv_machine(rng))
    line = timeline(schedules, random_waits(rng, schedules))
    assert sum(line.shares) == line.total
    assert line.pairs + line.wait_accumulator + line.wait_weights + line.wait_transfers + line.other == line.total
    for schedule, start, end, share in zip(schedules, line.starts, line.ends, line.shares, strict=True):
        assert 0 <= share <= end if isinstance(schedule, TransferSchedule) else share == end - start


def closed_form_cycles(schedule: ConvSchedule) -> int | None:
    """Cycles of one layer whose weights are always there in time, without iterating over tiles.

    Compute-bound when the requantizer finishes every chunk within the next one, requantizer-bound when it is never
    idle; None between the two, and when reading the first residual takes longer than filling the pipeline.
    """
    compute = schedule.blocks * schedule.step_cycles
    fill = schedule.latency - schedule.step_cycles
    longest, shortest = schedule.chunk_pixels, schedule.chunks[-1]
    requant = schedule.requant_cycles
    if schedule.shape.bits_residual and schedule.shape.bits_residual + 2 > schedule.latency:
        return None
    if fill + longest * schedule.tile_channel_groups * requant + NOTICE <= shortest * compute:
        work = schedule.row_tiles * schedule.pixels * compute + fill
        work += schedule.chunks[-1] * schedule.last_tile_channel_groups * requant
    elif fill + longest * compute + NOTICE <= shortest * schedule.last_tile_channel_groups * requant:
        work = schedule.chunks[0] * compute + fill + schedule.channel_groups * schedule.pixels * requant
    else:
        return None
    return work + schedule.write_back


def test_closed_form_equals_the_recurrence_when_weights_are_in_time() -> None:
    """Both regimes occur, and each gives the recurrence's cycles for a layer that never waits for weights."""
    seen = {"compute": 0, "requantizer": 0}
    rng = random.Random(0)
    for _ in range(4000):
        schedule = schedule_conv(random_shape(rng), random_conv_machine(rng))
        closed = closed_form_cycles(schedule)
        line = timeline([schedule], [Waits()])
        filled = schedule.table_cycles + schedule.fill_cycles + NOTICE
        if closed is None or line.wait_weights != filled:
            continue
        assert line.total - filled == closed
        seen["requantizer" if line.wait_accumulator else "compute"] += 1
    assert min(seen.values()) > 50


def test_every_load_of_what_was_stored_pays_the_latency() -> None:
    """Four times stored and loaded again: the bound holds, and it is met but for the latency before the first beat."""
    memory, steps = Memory(latency_cycles=100), range(4)
    schedules = [TransferSchedule(op, MAP, 1, 5) for _ in steps for op in (STORE, LOAD)]
    waits = [wait for step in steps for wait in (Waits(loads=step), Waits(stores=step + 1, written=step + 1))]
    alone = sum(schedule.cycles_alone(memory) for schedule in schedules)
    assert alone == 4 * (2 + 5 + 100 + 5)
    assert alone < timeline(schedules, waits, memory).total <= alone + 100


@pytest.mark.parametrize("seed", range(80))
def test_a_program_never_takes_longer_than_its_ops_alone(seed: int) -> None:
    """Cycles of layers and transfers alone, at the worst moment of the memory, bound any Program: cost tables are safe.

    The memory's latency comes on top once. Among layers alone, each bounds its own cycles.
    """
    rng = random.Random(seed)
    machine = random_conv_machine(rng)
    period = rng.randint(1, 7)
    memory = Memory(latency_cycles=rng.choice([0, 3, 40]), beats=rng.randint(1, period), period_cycles=period)
    schedules = random_schedules(rng, machine)
    line = timeline(schedules, random_waits(rng, schedules), memory)
    alone = sum(schedule.cycles_alone(memory) for schedule in schedules)
    assert line.total <= memory.latency_cycles + alone
    convs = [schedule_conv(random_shape(rng), machine) for _ in range(4)]
    line = timeline(convs, [Waits()] * 4)
    for schedule, start, end in zip(convs, line.starts, line.ends, strict=True):
        assert end - start <= schedule.cycles_alone()
