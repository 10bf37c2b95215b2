"""Faults put into the hardware on purpose: the comparison with the simulator must find every one.

A mutant is a change of one line of source. A suite that lets a mutant live needs a new test.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any

import numpy as np
import pytest

from rtl.cosim.simulators import ICARUS, SimulationError
from rtl.encoding.geometry import Geometry
from rtl.shell.top import Top
from rtl.verification.fault import Fault, planted
from rtl.verilog.emit import TOP, verilog_text
from sim.arch.machine import Machine, load_machine
from sim.errors import InputError
from sim.plan.plan import Plan, plan
from sim.testing import TRAITS, RandomChoices, SteeredChoices, corner_inputs, random_program

ATTEMPTS = 8
"""Programs that may be needed to find a mutant."""
PLAIN = tuple(trait for trait in TRAITS if trait != "table")
MOST_CYCLES = 1500
"""Of a Program, to be quick."""


@dataclass(frozen=True)
class Mutant:
    """A fault of the hardware and the Programs that can show it.

    `kinds` of ops on a machine with `changes` can show it, with `tables` Convs that end in one; the Program of `seed`
    is known to, so it is tried first.
    """

    name: str
    fault: Fault
    kinds: tuple[str, ...] = ("dense",)
    rounding: str = "half_up"
    changes: tuple[tuple[str, int], ...] = ()
    seed: int = 0
    tables: bool = False


ONE_BIT = (("max_bits_w", 1), ("max_bits_a", 1))
"""Steps of one cycle: only there an accumulator is read while it is written, and tiles end faster than they drain."""

MUTANTS = [
    Mutant("ties away from even",
           Fault("requantizer", " & (~tie | shifted[0])", ""),
           rounding="half_even"),
    Mutant("a whole unit instead of half", Fault("requantizer", "(1 << packet.shift) >> 1", "(1 << packet.shift)")),
    Mutant("no clamp below", Fault("requantizer", "Mux(moved < self.low, self.low, ", "Mux(0, self.low, ")),
    Mutant("residual ignored", Fault("requantizer", "Mux(choice.residual, self.residual, acc)", "acc"), ("add",)),
    Mutant("reference forgotten",
           Fault("requantizer", "(self.acc << 1) - self.reference", "self.acc << 1"), ("linear",), seed=1),
    Mutant("sign plane added", Fault("pe", "Mux(self.negative, base - ones, base + ones)", "base + ones")),
    Mutant("significance not doubled", Fault("pe", "Mux(self.double, partial << 1, partial)", "partial")),
    Mutant("accumulator not write-first",
           Fault("pe", "transparent=True", "transparent=False"), ("linear",), changes=ONE_BIT),
    Mutant("one pair too few", Fault("plane_sequencer", "(w == 0) & (a == 0)", "(w == 0) & (a <= 1)")),
    Mutant("gated rows work",
           Fault("plane_sequencer", "Mux(current.last_row_tile, d.last_tile_rows, ", "Mux(0, 0, "), seed=1),
    Mutant("dilation ignored", Fault("window_agu", "current.column + d.dilation", "current.column + 1"), seed=1),
    Mutant("bank wraps late", Fault("window_agu", "wrapped.eq(bank >= columns)", "wrapped.eq(bank > columns)"), seed=1),
    Mutant("address off by one",
           Fault("window_agu", "current.address + d.pixel_step", "current.address + d.pixel_step + 1")),
    Mutant("zeros outside the map", Fault("operand_fetch", "zero.replicate(self.geometry.lanes)", "0"), seed=1),
    Mutant("depthwise slice not moved",
           Fault("operand_fetch", "self.slice_lane & d.segment_mask", "0"), ("depthwise",), seed=3),
    Mutant("an accumulator bank too many", Fault("sequencer", "Signal(2, init=2", "Signal(2, init=3"), changes=ONE_BIT),
    Mutant("a weight slot too few", Fault("load_dma", "Signal(2, init=2", "Signal(2, init=1")),
    Mutant("no weight slot at all", Fault("load_dma", "Signal(2, init=2", "Signal(2, init=0")),
    Mutant("parameters of the row tile before", Fault("requant_sequencer", "slot.eq(slot + 1)", "slot.eq(slot)")),
    Mutant("residual without a sign",
           Fault("residual_fetch", "Mux(d.residual_signed, lanes, 0)", "0"), ("add",), seed=5),
    Mutant("planes from one set", Fault("output_packer", "pixel_set.eq(~pixel_set)", "pixel_set.eq(pixel_set)")),
    Mutant("maximum of earlier windows", Fault("max_pool", "Mux(self.first, 0, place)", "place"), ("max",), seed=1),
    Mutant("signed codes compared as unsigned",
           Fault("max_pool", "flipped.eq(d.signed_a & top)", "flipped.eq(0)"), ("max",), seed=2),
    Mutant("unit weights of all row tiles",
           Fault("weight_memory", "self.request.tile_lane == (lane & -rows)", "1"), ("average",), seed=1),
    Mutant("the table of the op before", Fault("table_memory", "slot.eq(~slot)", "slot.eq(slot)"), tables=True),
    Mutant("the first code of a word", Fault("table_memory", "place.eq(index[:within])", "place.eq(0)"), tables=True),
    Mutant("codes taken before they are looked up",
           Fault("requant_sequencer", "Mux(self.descriptor.table, looked_up, after[i])", "after[i]"), tables=True),
    Mutant("reference in all lanes", Fault("weight_memory", "lane < self.request.part_lanes", "1"), ("linear",),
           seed=1),
]

EVERY_DAY = ("address off by one",)
"""The others take minutes and wait for `make nightly`."""


def by_name(mutant: Mutant) -> Any:
    return pytest.param(mutant, id=mutant.name, marks=[] if mutant.name in EVERY_DAY else [pytest.mark.nightly])


def small_machine(mutant: Mutant) -> Machine:
    """Quick to build, and quick to run out of banks and slots."""
    return Machine(**load_machine("tiny").model_dump() | {
        "name": "mutant", "rows": 2, "columns": 2, "requantizers": 1, "acc_depth": 2, "act_regions": 8,
        "region_words": 512, "stream_bits": 16, **dict(mutant.changes)})


def programs(mutant: Mutant, machine: Machine) -> Iterator[tuple[Plan, dict[str, np.ndarray]]]:
    """The Programs that a mutant meets, one after another; mutants of the same kinds meet the same ones."""
    limited = Machine(**machine.model_dump() | {"roundings": (mutant.rounding,)})
    for seed in range(mutant.seed, mutant.seed + ATTEMPTS):
        rng = np.random.default_rng(seed)
        program = (random_program(_with_tables(rng), limited, layers=3, kinds=mutant.kinds) if mutant.tables
                   else random_program(rng, limited, layers=2, kinds=mutant.kinds, traits=PLAIN))
        try:
            planned = plan(program, machine)
        except InputError:
            continue
        if planned.timeline.total <= MOST_CYCLES:
            yield planned, corner_inputs(rng, program, 1)


def _with_tables(rng: np.random.Generator) -> SteeredChoices:
    """Decisions for layers that all end in tables."""
    return SteeredChoices(RandomChoices(rng), [{"table": [True], "layers": [3], "table_kind": ["random"]}] * 3)


@pytest.fixture(scope="module")
def is_exact(compare: Callable[..., list[str]]) -> Callable[[Mutant, int], bool]:
    """Whether the hardware without a fault agrees with the simulator on a Program; mutants share the answers."""

    @lru_cache
    def exact(kinds: tuple[str, ...], rounding: str, changes: tuple[tuple[str, int], ...], seed: int, tables: bool,
              number: int) -> bool:
        mutant = Mutant("none", Fault("", "", ""), kinds, rounding, changes, seed, tables)
        planned, inputs = next(islice(programs(mutant, small_machine(mutant)), number, None))
        return compare(planned, inputs) == []

    return lambda mutant, number: exact(mutant.kinds, mutant.rounding, mutant.changes, mutant.seed, mutant.tables,
                                         number)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutant_fits(mutant):
    """The code that the fault replaces occurs once in its module."""
    with planted(mutant.fault):
        pass


@pytest.mark.parametrize("mutant", [by_name(mutant) for mutant in MUTANTS])
def test_mutant_is_found(compare, is_exact, tmp_path, mutant):
    """One of a few random Programs shows the fault in codes, cycles or counters; without the fault it does not."""
    machine = small_machine(mutant)
    with planted(mutant.fault):
        text = verilog_text(Top(Geometry(machine)), TOP)
    place = ICARUS.build(text, TOP, tmp_path / "mutant")
    for number, (planned, inputs) in enumerate(programs(mutant, machine)):
        try:
            found = compare(planned, inputs, place=place)
        except SimulationError as error:
            if not re.search("AssertionError: |MachineFault: |undefined bits", str(error)):
                raise
            found = ["it does not run"]
        if found:
            assert is_exact(mutant, number)
            return
    pytest.fail(f"{ATTEMPTS} Programs did not show it")
