"""The table bounds every network that its bits can make."""

import re
from dataclasses import replace
from itertools import product
from math import fsum

import numpy as np
import pytest

from sim.arch.host_memory import Memory
from sim.arch.machine import Machine, load_machine
from sim.cost.estimate import estimate
from sim.cost.table import CostTable, cost_table
from sim.cost.worst_case import WorstCaseCosts
from sim.energy.counting import count_events, events_of
from sim.energy.model import energy
from sim.energy.technology import load_technology
from sim.errors import InputError
from sim.ir.arithmetic import Arithmetic
from sim.ir.formats import Format
from sim.ir.ops import Conv, Pool, Tensor
from sim.ir.program import Program
from sim.mapping.conv_schedule import ConvSchedule
from sim.mapping.conv_shape import conv_shape
from sim.mapping.schedule_conv import schedule_conv
from sim.mapping.transfers import with_transfers
from sim.plan.plan import plan
from sim.testing import TRAITS, random_machine, random_program
from sim.testing.harness.scalar_costs import plain_cost_table
from sim.testing.stimulus.machines import random_memory
from sim.timing.batched import cycles_alone
from sim.timing.timeline import layer_cycles

TECHNOLOGY = load_technology("generic45")
BITS = tuple(range(1, 9))
UNSIGNED = Format(4, "unsigned")
TINY = load_machine("tiny")


def assert_same(found: CostTable, expected: CostTable) -> None:
    """All entries are equal, not nearly so."""
    for what in ("cycles", "energy_pj", "bytes", "least_cycles", "fits"):
        np.testing.assert_array_equal(getattr(found, what), getattr(expected, what), err_msg=what)
    for what in ("layers", "weight_bits", "activation_bits", "clock_mhz", "fixed_cycles", "fixed_energy_pj"):
        assert getattr(found, what) == getattr(expected, what)
    for what in ("energy_high_pj", "fixed_energy_high_pj"):
        assert np.all(getattr(found, what) >= getattr(expected, what))
        np.testing.assert_allclose(getattr(found, what), getattr(expected, what), rtol=1e-11)


class ResNetLike:
    """The layers of ResNet-18 on images of `size` x `size`, with `width` channels in its first stage."""

    def __init__(self, size: int, width: int) -> None:
        self.tensors = [Tensor("x", size, size, (3,), Format(8, "unsigned"))]
        self.ops: list[Conv | Pool] = []
        name = self.add("stem", "x", width, kernel=7, stride=2, bits=8)
        half = self.tensors[-1].height
        self.tensors.append(Tensor("pool", (half + 1) // 2, (half + 1) // 2, (width,), UNSIGNED))
        self.ops.append(Pool("pool", name, "pool", (3, 3), (2, 2), (1, 1, 1, 1)))
        name = "pool"
        for stage in range(4):
            for block in range(2):
                label, channels, stride = f"{stage}.{block}", width << stage, 2 if stage and not block else 1
                inner = self.add(f"{label}.a", name, channels, 3, stride)
                shortcut = self.add(f"{label}.s", name, channels, 1, 2) if stride == 2 else name
                name = self.add(f"{label}.b", inner, channels, 3, residual=shortcut)
        name = self.add("average", name, 8 * width, self.tensors[-1].height, unit=True)
        self.add("fc", name, 10, bits=8)

    def add(self, name: str, source: str, channels: int, kernel: int = 1, stride: int = 1, bits: int = 4,
            residual: str | None = None, unit: bool = False) -> str:
        """Append a Conv and its output, of the same name."""
        given = next(t for t in self.tensors if t.name == source)
        pad = 0 if unit else kernel // 2
        size, zeros = (given.height + 2 * pad - kernel) // stride + 1, np.zeros(channels, np.int64)
        weights = np.full((channels, 1 if unit else given.channels, kernel, kernel), int(unit), np.int8)
        digits = np.ones((channels, 1), np.int8)
        self.tensors.append(Tensor(name, size, size, (channels,), UNSIGNED))
        self.ops.append(Conv(
            name, source, name, weights, Format(1, "unit") if unit else Format(bits, "signed"), digits, zeros, zeros,
            UNSIGNED.low, UNSIGNED.high, groups=channels if unit else 1,
            stride=(stride, stride), pads=(pad,) * 4, residual=residual,
            residual_multiplier=digits if residual else np.zeros((0, 0), np.int8)))
        return name

    def program(self) -> Program:
        """What has been added."""
        return Program(tuple(self.tensors), tuple(self.ops), Arithmetic(acc_bits=24, window=10, terms=3))


SMALL = ResNetLike(size=8, width=4).program()


@pytest.mark.parametrize("seed", range(60))
def test_entries_are_those_of_single_layers(seed: int) -> None:
    """All choices at once give what each gives by itself: any kind of layer, machine and memory, whole or in bands."""
    rng = np.random.default_rng(seed)
    machine = random_machine(rng, small=seed % 2 == 0).model_copy(update={"memory": random_memory(rng)})
    program = random_program(rng, machine, layers=4, traits=set(TRAITS) - {"spill"}, extent=16,
                             channels=int(rng.choice([10, 80])))
    if seed % 3 == 0:
        machine = machine.model_copy(update={"act_regions": int(rng.integers(4, 9)), "region_words": 32})
    assert_same(cost_table(program, machine, TECHNOLOGY, BITS, BITS),
                plain_cost_table(program, machine, TECHNOLOGY, BITS, BITS))


@pytest.mark.parametrize("seed", range(12))
def test_depthwise_layers_leave_the_lanes_where_their_sums_overflow(seed: int) -> None:
    """A window of more than 64 taps runs on the lanes at few bits and on the array at many: one table has both."""
    rng = np.random.default_rng(seed)
    lanes = {"depthwise_lanes": 32, "memory": random_memory(rng), "acc_depth": int(rng.integers(2, 64))}
    machine = load_machine("edge").model_copy(update=lanes)
    channels, size = int(rng.integers(1, 100)), int(rng.integers(13, 30))
    codes = np.zeros((channels, 1, 13, 13), np.int8)
    conv = Conv("c", "x", "y", codes, Format(4, "signed"), np.ones((channels, 1), np.int8),
                np.zeros(channels, np.int64), np.zeros(channels, np.int64), 0, 3, groups=channels)
    maps = Tensor("x", size, size, (channels,), UNSIGNED), Tensor("y", size - 12, size - 12, (channels,), UNSIGNED)
    program = Program(maps, (conv,), Arithmetic(acc_bits=24, window=10, terms=3))
    shape = conv_shape(program, conv)
    on_unit = {schedule_conv(replace(shape, bits_w=w, bits_a=a), machine).on_depthwise_unit
               for w, a in product(BITS, BITS)}
    assert on_unit == {True, False}
    assert_same(cost_table(program, machine, TECHNOLOGY, BITS, BITS),
                plain_cost_table(program, machine, TECHNOLOGY, BITS, BITS))


@pytest.mark.parametrize("digits", [1, 2])
def test_entries_at_fewer_digits_are_those_of_single_layers(digits: int) -> None:
    """Digits of all layers at once, and the same digits layer by layer, give what each layer gives by itself."""
    program, machine = ResNetLike(size=16, width=8).program(), load_machine("edge")
    expected = plain_cost_table(program, machine, TECHNOLOGY, (1, 4), (1, 8), digits)
    assert_same(cost_table(program, machine, TECHNOLOGY, (1, 4), (1, 8), digits), expected)
    by_layer = dict.fromkeys(expected.layers, digits)
    assert_same(cost_table(program, machine, TECHNOLOGY, (1, 4), (1, 8), by_layer), expected)


def test_digits_of_single_layers_lower_their_entries_alone() -> None:
    """A layer at one digit costs less energy and never more cycles; the others keep the machine's most."""
    program, machine = SMALL, load_machine("edge")
    most, table = (cost_table(program, machine, TECHNOLOGY, BITS, BITS, digits) for digits in (None, {"fc": 1}))
    row = table.layers.index("fc")
    assert (table.energy_pj[row] < most.energy_pj[row]).all()
    assert (table.cycles[row] <= most.cycles[row]).all()
    np.testing.assert_array_equal(np.delete(table.energy_pj, row, 0), np.delete(most.energy_pj, row, 0))


def test_digits_are_those_that_a_machine_has() -> None:
    """Unknown layers and more or fewer digits than a machine can have are refused."""
    with pytest.raises(InputError, match=r"^digits must be in 1..3, as machine 'tiny' has, not 4$"):
        cost_table(SMALL, TINY, TECHNOLOGY, digits=4)
    with pytest.raises(InputError, match=r"^digits must be in 1..3, as machine 'tiny' has, not 0$"):
        cost_table(SMALL, TINY, TECHNOLOGY, digits={"fc": 0})
    with pytest.raises(InputError, match=r"^digits of layer 'nose': the program has no such layer$"):
        cost_table(SMALL, TINY, TECHNOLOGY, digits={"nose": 1})


def test_one_bit_of_dense_weights_is_bipolar() -> None:
    """Its energy has the reference row of the Program with bipolar weights; no machine without such a row holds it."""
    machine = load_machine("edge")
    digits, zero = np.ones((40, 1), np.int8), np.zeros(40, np.int64)
    conv = Conv("c", "x", "y", np.zeros((40, 8, 3, 3), np.int8), Format(1, "bipolar"), digits, zero, zero, 0, 3)
    program = Program((Tensor("x", 9, 9, (8,), UNSIGNED), Tensor("y", 7, 7, (40,), Format(2, "unsigned"))), (conv,),
                      Arithmetic(acc_bits=24, window=10, terms=3))
    table = cost_table(program, machine, TECHNOLOGY, BITS, BITS, digits=1)
    widest = replace(conv_shape(program, conv), bits_out=program.arithmetic.acc_bits)
    own, signed = (schedule_conv(replace(widest, weight_kind=kind), machine) for kind in ("bipolar", "signed"))
    assert own.events(machine)["wide_adds"] > signed.events(machine)["wide_adds"]
    counts = events_of(own, machine) | {"cycles": own.cycles_alone(machine.memory)}
    assert table.energy_pj[0, 0, 3] == energy(counts, machine, TECHNOLOGY).nominal_pj
    assert table.fits[0, 0, 3]
    without = machine.model_copy(update={"bipolar": False})
    assert not cost_table(program, without, TECHNOLOGY, BITS, BITS).fits[0, 0].any()


@pytest.mark.parametrize("name", ["tiny", "edge", "large"])
def test_entries_of_a_residual_network_are_those_of_single_layers(name: str) -> None:
    """On the machines that come with Bitwright: `tiny` cuts it into bands, the others hold it whole."""
    program, machine = ResNetLike(size=48, width=32).program(), load_machine(name)
    assert WorstCaseCosts(program, machine, 8).all_on_chip == (name != "tiny")
    assert_same(cost_table(program, machine, TECHNOLOGY, (2, 5, 8), (2, 3, 8)),
                plain_cost_table(program, machine, TECHNOLOGY, (2, 5, 8), (2, 3, 8)))


@pytest.mark.parametrize("seed", range(40))
def test_skipped_chunks_and_tiles_take_what_the_clock_takes(seed: int) -> None:
    """Many tiles and chunks, bound by pairs, requantizers or streams, or by turns: cycles alone equal the clock's."""
    rng = np.random.default_rng(seed)
    schedules = [random_schedule(rng) for _ in range(20)]
    memory = random_memory(rng)
    for schedule in schedules:
        assert cycles_alone(schedule.timing, memory, (1,)).tolist() == [layer_cycles(schedule, memory)]


def random_schedule(rng: np.random.Generator) -> ConvSchedule:
    """A schedule whose times depend on everything that they can depend on, also what no layer would have."""
    shape = replace(conv_shape(SMALL, SMALL.convs[0]), bits_w=int(rng.integers(1, 9)), bits_a=int(rng.integers(1, 9)),
                    bits_residual=int(rng.choice([0, 8, 200])))
    schedule, pixels = schedule_conv(shape, TINY), int(rng.integers(1, 40))
    groups = int(rng.integers(1, 4))
    return replace(
        schedule, row_tiles=int(rng.integers(1, 9)), pixels=pixels, chunk_pixels=int(rng.integers(1, pixels + 1)),
        blocks=int(rng.integers(1, 4)), requant_cycles=int(rng.integers(1, int(rng.choice([4, 60])))),
        fill_cycles=int(rng.choice([1, 9, 50, 900])), tile_channel_groups=groups,
        last_tile_channel_groups=int(rng.integers(1, groups + 1)), on_depthwise_unit=groups > 1)


@pytest.mark.parametrize("seed", range(60))
def test_entries_at_a_programs_own_bits_bound_it(seed: int) -> None:
    """Summed over the layers, cycles and energy of the table are at least those of the simulated Program."""
    rng = np.random.default_rng(seed)
    machine = random_machine(rng)
    program = random_program(rng, machine, layers=4, traits=("residual", "concat", "unsigned", "wrap", "bipolar"))
    digits = {conv.name: conv.digits for conv in program.convs}
    table = cost_table(program, machine, TECHNOLOGY, BITS, BITS, digits)
    choice = [(layer, BITS.index(c.weight_format.bits), BITS.index(program.tensor(c.input).format.bits))
              for layer, c in enumerate(program.convs)]
    planned = plan(program, machine)
    line = planned.timeline
    assert line.total <= table.fixed_cycles + sum(int(table.cycles[i]) for i in choice)
    used = [energy(counts | {"cycles": share}, machine, TECHNOLOGY).nominal_pj
            for counts, share in zip(count_events(planned), line.shares, strict=True)]
    assert fsum(used) <= table.fixed_energy_pj + fsum(table.energy_pj[i] for i in choice)
    assert estimate(planned, TECHNOLOGY).energy.high_pj <= table.fixed_energy_high_pj + fsum(
        table.energy_high_pj[i] for i in choice)
    assert line.total >= sum(int(table.least_cycles[i]) for i in choice)


@pytest.mark.parametrize("seed", range(80))
def test_entries_bound_a_program_that_is_cut_into_bands(seed: int) -> None:
    """With a slow memory and few regions too: whichever tensors leave the chip, however many bands a layer has."""
    rng = np.random.default_rng(seed)
    machine = random_machine(rng)
    program = random_program(rng, machine, layers=4, traits=("residual", "concat", "unsigned", "wrap"), extent=12)
    memory = Memory(latency_cycles=int(rng.integers(0, 30)), beats=1, period_cycles=int(rng.integers(1, 4)))
    small = machine.model_copy(update={"act_regions": int(rng.integers(4, 9)), "region_words": 32, "memory": memory})
    try:
        planned = plan(program, small)
    except InputError:
        return
    own = [(c.weight_format.bits, program.tensor(c.input).format.bits) for c in program.convs]
    widths = [tuple(sorted({*bits, 8})) for bits in zip(*own, strict=True)] or [(8,), (8,)]
    table = cost_table(program, small, TECHNOLOGY, *widths)
    line = planned.timeline
    choice = [(layer, widths[0].index(w), table.activation_bits.index(a)) for layer, (w, a) in enumerate(own)]
    assert line.total <= table.fixed_cycles + sum(int(table.cycles[i]) for i in choice)
    used = [energy(counts | {"cycles": share}, small, TECHNOLOGY).nominal_pj
            for counts, share in zip(count_events(planned), line.shares, strict=True)]
    assert fsum(used) <= table.fixed_energy_pj + fsum(table.energy_pj[i] for i in choice)
    assert estimate(planned, TECHNOLOGY).energy.high_pj <= table.fixed_energy_high_pj + fsum(
        table.energy_high_pj[i] for i in choice)
    assert line.total >= sum(int(table.least_cycles[i]) for i in choice)
    streamed = sum(schedule.shape.weight_bytes for _, schedule in planned.convs())
    assert streamed <= sum(int(table.bytes[i]) for i in choice)


def test_a_program_with_transfers_has_no_table() -> None:
    """Bits change what is moved, so a table is made before `plan` adds Loads and Stores."""
    machine = load_machine("tiny")
    program = with_transfers(random_program(np.random.default_rng(6), machine, layers=1))
    with pytest.raises(InputError, match=r"^a cost table is of a Program without Loads and Stores$"):
        cost_table(program, machine, TECHNOLOGY)


def test_bytes_are_the_weights_at_each_width() -> None:
    """3 x 3 weights of 2 x 5 channels at w bits take ceil(90 w / 8) bytes, whatever the activations."""
    digits = np.ones((5, 1), np.int8)
    conv = Conv("c", "x", "y", np.zeros((5, 2, 3, 3), np.int8), Format(4, "signed"), digits, np.zeros(5, np.int64),
                np.zeros(5, np.int64), 0, 3)
    program = Program((Tensor("x", 3, 3, (2,), Format(4, "unsigned")), Tensor("y", 1, 1, (5,), Format(2, "unsigned"))),
                      (conv,), Arithmetic(acc_bits=24, window=10, terms=3))
    table = cost_table(program, load_machine("tiny"), TECHNOLOGY)
    expected = [-(-90 * w // 8) for w in table.weight_bits]
    np.testing.assert_array_equal(table.bytes[0], np.repeat(expected, 7).reshape(7, 7))


def test_wide_logits_are_inside_the_bound() -> None:
    """A host-read output as wide as the accumulator, on the same weights, still keeps to the bound."""
    rng = np.random.default_rng(6)
    machine = load_machine("tiny")
    program = random_program(rng, machine, layers=1, kinds=("dense",), traits=())
    table = cost_table(program, machine, TECHNOLOGY, BITS, BITS)
    conv, target = program.convs[0], program.outputs[0]
    wide = replace(target, format=Format(program.arithmetic.acc_bits, "signed"))
    widened = replace(program, tensors=tuple(wide if t.name == target.name else t for t in program.tensors))
    entry = table.cycles[0, conv.weight_format.bits - 1, program.tensor(conv.input).format.bits - 1]
    assert plan(widened, machine).timeline.total <= entry + table.fixed_cycles


def test_what_the_machine_cannot_hold_is_marked() -> None:
    """Widths beyond the machine's, and row tiles beyond a weight slot, do not fit; everything else does."""
    program = random_program(np.random.default_rng(6), load_machine("tiny"), layers=1, kinds=("dense",), traits=())
    shape = conv_shape(program, program.convs[0])
    most = schedule_conv(replace(shape, weight_kind="signed", bits_w=3, bits_a=2), load_machine("tiny")).weight_words
    limits = {"max_bits_w": 6, "max_bits_a": 5, "weight_words": most}
    machine = Machine(**load_machine("tiny").model_dump() | limits)
    table = cost_table(program, machine, TECHNOLOGY, BITS, BITS)
    for (i, w), (j, a) in product(enumerate(BITS), enumerate(BITS)):
        words = schedule_conv(replace(shape, weight_kind="signed", bits_w=w, bits_a=a), machine).weight_words
        assert table.fits[0, i, j] == (w <= 6 and a <= 5 and words <= most)
    assert table.fits[0, 2, 1]
    assert not table.fits[0, :6, :5].all()


@pytest.mark.parametrize("widths", [(), (0, 3), (3, 9), (3, 3), (4, 2)])
def test_widths_must_rise_within_what_engines_read(widths: tuple[int, ...]) -> None:
    """Anything else is refused with what came."""
    machine = load_machine("tiny")
    program = random_program(np.random.default_rng(6), machine, layers=1)
    for arguments, what in (((widths, BITS), "weight_bits"), ((BITS, widths), "activation_bits")):
        message = f"{what} must be rising widths in 1..8, not {list(widths)}"
        with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
            cost_table(program, machine, TECHNOLOGY, *arguments)
