"""The table bounds every network that its bits can make."""

import re
from dataclasses import replace
from itertools import product
from math import fsum

import numpy as np
import pytest

from sim.cost_table import cost_table
from sim.energy import energy
from sim.errors import InputError
from sim.events import events
from sim.formats import Format
from sim.machine import Machine, load_machine
from sim.memory import Memory
from sim.plan import plan
from sim.program import Conv, Program, Tensor
from sim.schedule import conv_shape, schedule_conv
from sim.technology import load_technology
from sim.testing import random_machine, random_program
from sim.timing import timeline
from sim.transfers import with_transfers

TECHNOLOGY = load_technology("generic45")
BITS = tuple(range(1, 9))


@pytest.mark.parametrize("seed", range(60))
def test_entries_at_a_programs_own_bits_bound_it(seed: int) -> None:
    """Summed over the layers, cycles and energy of the table are at least those of the simulated Program."""
    rng = np.random.default_rng(seed)
    machine = random_machine(rng)
    program = random_program(rng, machine, layers=4, traits=("residual", "concat", "unsigned", "wrap"))
    table = cost_table(program, machine, TECHNOLOGY, BITS, BITS)
    choice = [(layer, BITS.index(c.weight_format.bits), BITS.index(program.tensor(c.input).format.bits))
              for layer, c in enumerate(program.convs)]
    planned = plan(program, machine)
    line = timeline(planned)
    assert line.total <= table.fixed_cycles + sum(int(table.cycles[i]) for i in choice)
    used = [energy(counts | {"cycles": share}, machine, TECHNOLOGY).nominal_pj
            for counts, share in zip(events(planned), line.shares, strict=True)]
    assert fsum(used) <= table.fixed_energy_pj + fsum(table.energy_pj[i] for i in choice)


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
    line = timeline(planned)
    choice = [(layer, widths[0].index(w), widths[1].index(a)) for layer, (w, a) in enumerate(own)]
    assert line.total <= table.fixed_cycles + sum(int(table.cycles[i]) for i in choice)
    used = [energy(counts | {"cycles": share}, small, TECHNOLOGY).nominal_pj
            for counts, share in zip(events(planned), line.shares, strict=True)]
    assert fsum(used) <= table.fixed_energy_pj + fsum(table.energy_pj[i] for i in choice)
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
                      (conv,), acc_bits=24, window=10, terms=3)
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
    wide = replace(target, format=Format(program.acc_bits, "signed"))
    widened = replace(program, tensors=tuple(wide if t.name == target.name else t for t in program.tensors))
    entry = table.cycles[0, conv.weight_format.bits - 1, program.tensor(conv.input).format.bits - 1]
    assert timeline(plan(widened, machine)).total <= entry + table.fixed_cycles


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
