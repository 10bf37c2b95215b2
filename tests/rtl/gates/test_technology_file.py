"""The technology file that a calibration makes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rtl.gates.calibration import Block, Calibration
from rtl.gates.components import COMPONENTS
from rtl.gates.macros import Macro
from rtl.gates.measure import FREE, Measured
from rtl.gates.slice import slice_of
from rtl.gates.technology_file import MemoryLaws, technology_of
from sim.arch.machine import load_machine
from sim.energy.events import EVENTS
from sim.energy.model import prices
from sim.energy.of_parts import areas_um2
from sim.energy.parts import BLOCKS
from sim.energy.technology import load_technology

EDGE, BASE = load_machine("edge"), load_technology("generic45")
MACROS = [Macro(f"m{words}x{width}", words, width, 1000 * width * words**0.5, 1100 * width * words**0.5,
                10.0 * words * width, 0.5 * words * width)
          for words, width in ((64, 64), (256, 64), (1024, 64), (1024, 16), (4096, 8))]


@pytest.fixture
def found(library) -> Calibration:
    """Return a calibration of `edge` with round numbers: 1000 fJ of each component, ten of each event."""
    run = Measured("made up", 10, dict.fromkeys(EVENTS, 10), 10,
                   dict.fromkeys((*COMPONENTS, FREE), (1000.0, 0.0, 0.0)))
    blocks = {name: Block(10, 2, 120.0, 40.0, 99.0, "a to b") for name in BLOCKS}
    return Calibration(EDGE, slice_of(EDGE), library, None, "hash", (run,), blocks, 5.0, 99.0)


def test_rows_are_what_was_measured(found):
    """Energies of one event, in pJ; reading operand registers is shared by the rows and columns of the machine."""
    technology = technology_of(found, MemoryLaws.through(MACROS), BASE, "made_up", 130)
    assert technology.prices["operand_bits"].energy == pytest.approx(0.1)
    assert technology.prices["requant_terms"].energy == pytest.approx(0.1)
    shown = 0.1 / 64 * (1 / 16 + 1 / 7)
    assert technology.prices["pair_lanes"].energy == pytest.approx(0.1 / 64 + shown, rel=1e-3)
    assert technology.prices["cycles"].fixed == pytest.approx(0.2)
    assert technology.prices["cycles"].energy == pytest.approx(0.3)
    assert {name for name, one in technology.prices.items() if one.basis != "measured"} == {
        "stream_in_bits", "stream_out_bits"}
    assert technology.prices["stream_in_bits"].energy == pytest.approx(BASE.prices["stream_in_bits"].energy, rel=1e-3)


def test_the_slowest_block_bounds_the_clock(found):
    """The technology holds its delay in ns and where the path begins and ends."""
    blocks = found.blocks | {"control": replace(found.blocks["control"], longest_ps=2500.0, path="count to state")}
    technology = technology_of(replace(found, blocks=blocks), None, BASE, "made_up", 130)
    assert (technology.longest_path.delay_ns, technology.longest_path.block) == (2.5, "control")
    assert technology.longest_path.source.startswith("count to state, by static timing")
    assert technology.highest_clock_mhz == 400.0


def test_memories_follow_the_law_of_the_macros(found):
    """A memory of a macro's size costs what the macro does."""
    technology = technology_of(found, MemoryLaws.through(MACROS), BASE, "made_up", 130)
    row = technology.prices["weight_reads"]
    for macro in MACROS:
        assert 1e3 * row.at_machine(macro.width, macro.kib, 500).nominal == pytest.approx(macro.read_fj, rel=0.05)


def test_a_file_is_used_as_any_other(found):
    """Energies and areas of the whole machine come out of it."""
    technology = technology_of(found, MemoryLaws.through(MACROS), BASE, "made_up", 130)
    assert set(prices(EDGE, technology)) == set(technology.prices)
    elements = areas_um2(EDGE, technology)["elements"]
    assert elements.low == pytest.approx(120.0 / 3 * 17 * 7)


def test_without_macros_memories_are_carried_over(found):
    """They are those of the other technology, in the ratio of the energies of a register's bit, and known less well."""
    technology = technology_of(found, None, BASE, "made_up", 130)
    factor = technology.prices["operand_bits"].energy / BASE.prices["operand_bits"].energy
    row, other = technology.prices["weight_reads"], BASE.prices["weight_reads"]
    assert row.basis == "inferred"
    assert row.energy == pytest.approx(factor * other.energy, rel=1e-3)
    assert row.energy_hi == pytest.approx(2 * factor * other.energy_hi, rel=1e-3)
    assert technology.areas["activations"].basis == "inferred"
