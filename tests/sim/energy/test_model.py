"""Energies against arithmetic done by hand, and the laws that budgets lean on."""

from math import isclose
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.arch.machine import load_machine
from sim.arch.widths import partial_sum_bits
from sim.energy.events import EVENTS, PRICED
from sim.energy.model import EnergyRange, energy, prices
from sim.energy.of_parts import leakages_uw
from sim.energy.parts import ANY_MEMORY, BLOCKS
from sim.energy.technology import Technology, load_technology
from sim.errors import InputError
from sim.hardware.memories import MEMORIES

TABLE = load_technology("generic45")
EDGE = load_machine("edge")

event_counts = st.dictionaries(st.sampled_from(tuple(PRICED)), st.integers(0, 10**12))


@pytest.mark.parametrize(("event", "low", "nominal", "high"), [
    ("pair_lanes", 0.004, 0.006, 0.012),
    ("narrow_adds", 22 * 0.25 / 32, 22 * 0.5 / 32, 22 * 0.9 / 32),  # 22 = log2(64) + 8 + 8 bits
    ("wide_adds", 0.25, 0.5, 0.9),
    ("acc_reads", 0.4, 0.97, 1.6), ("acc_writes", 0.6, 1.3, 2.7),  # 64 x 32 bit = 8 KiB / 32
    ("act_reads", 6.25 * 2**0.5, 10 * 2**0.5, 16 * 2**0.5),  # 2048 x 64 bit = 16 KiB
    ("weight_reads", 6.25 * 1.5, 10 * 1.5, 16 * 1.5),  # 2 x 1152 x 64 bit = 18 KiB
    ("requant_terms", 0.4 * 46 / 32, 0.81 * 46 / 32, 1.6 * 46 / 32),  # 32 + 12 + 2 bits
    ("operand_bits", 0.005, 0.0097, 0.015),
    ("stream_in_bits", 4 + 900 / 16384, 8.5 + 1205 / 16384, 15 + 1500 / 256),  # rows from end to end; a burst each
    ("stream_out_bits", 3.5 + 900 / 16384, 5.1 + 1205 / 16384, 15 + 1500 / 256),
])
def test_prices_on_the_edge_machine(event: str, low: float, nominal: float, high: float) -> None:
    """Every price is its row, scaled by hand to the widths and capacities of `edge`."""
    band = prices(EDGE, TABLE)[event]
    for found, expected in zip((band.low_pj, band.nominal_pj, band.high_pj), (low, nominal, high), strict=True):
        assert isclose(found, expected, rel_tol=1e-12)


def test_an_element_in_a_busy_cycle_is_near_gate_level_simulation() -> None:
    """64 lanes and their partial sum cost 0.73 pJ; gate level (21.1 fJ per lane at 1.1 V) says 0.90 pJ at 0.9 V."""
    found = energy({"pair_lanes": 64, "narrow_adds": 1}, EDGE, TABLE)
    assert isclose(found.nominal_pj, 64 * 0.006 + 22 * 0.5 / 32, rel_tol=1e-12)
    assert found.low_pj < 64 * 0.0211 * (0.9 / 1.1) ** 2 < found.high_pj


@pytest.mark.parametrize(("event", "width", "kib"), [
    ("narrow_adds", 3 + 16, None), ("wide_adds", 24, None), ("acc_writes", 24, 8 * 24 / 8192),
    ("act_writes", 8, 256 * 8 / 8192), ("weight_writes", 8, 2 * 512 * 8 / 8192), ("requant_terms", 36, None),
    ("cycles", 4 * 3 * 8, None), ("operand_bits", 1, None), ("stream_in_bits", 1, None), ("pair_lanes", 1, None),
])
def test_widths_and_capacities_of_the_tiny_machine(event: str, width: int, kib: float | None) -> None:
    """What an event moves, and out of which memory, follows from the machine's parameters."""
    tiny, row = load_machine("tiny"), PRICED[event]
    assert (row.width.of(tiny), row.memory and row.memory.kib(tiny)) == (width, kib)


def test_the_bit_for_unsigned_weights_costs_nothing() -> None:
    """On a machine of 4 weight bits a partial sum is charged as 6 + 4 + 8 bits; the hardware has one more."""
    narrow = EDGE.model_copy(update={"max_bits_w": 4})
    assert PRICED["narrow_adds"].width.of(narrow) == 18
    assert partial_sum_bits(narrow) == 19


def test_a_part_is_fixed_and_the_rest_follows_its_exponents() -> None:
    """1 pJ stays; what is left grows by the square roots of twice the capacity and four times the width."""
    table = TABLE.model_dump(mode="json", exclude_unset=True)
    (rows,) = [one["actions"] for one in table["ERT"]["tables"] if one["name"] == "bitwright.activations"]
    rows[0] |= {"fixed": 1.0, "at": {"width": 16, "width_exponent": 0.5, "kib": 8, "exponent": 0.5}}
    band = prices(EDGE, Technology.model_validate(table, strict=False))["act_reads"]
    factor = (64 / 16) ** 0.5 * (16 / 8) ** 0.5
    for found, row in zip((band.low_pj, band.nominal_pj, band.high_pj), (6.25, 10.0, 16.0), strict=True):
        assert isclose(found, 1.0 + (row - 1.0) * factor, rel_tol=1e-12)


def test_a_cycle_is_control_leakage_and_the_host_memory_at_rest() -> None:
    """Control takes its row, as for 16 x 7 x 64 lanes; 2 ns of a host memory of 0 to 10.5 mW are up to 21 pJ."""
    parts = energy({"cycles": 1}, EDGE, TABLE).by_component
    assert parts["control"] == EnergyRange(4.0, 15.5, 45.0)
    assert parts["host memory"] == EnergyRange(0.0, 0.0, 21.0)
    elements = (0.5 * 13.1 * 119 / 500, 13.1 * 119 / 500)  # (16 + 1) x 7 elements of 13.1 uW
    assert elements[0] < parts["leakage"].low_pj < parts["leakage"].nominal_pj < parts["leakage"].high_pj
    assert elements[1] < parts["leakage"].nominal_pj


def test_leakage_grows_with_cycle_time() -> None:
    """At half the clock a cycle leaks twice as much, and the host's memory rests twice as long."""
    slow = prices(EDGE.model_copy(update={"clock_mhz": 250}), TABLE)
    fast = prices(EDGE, TABLE)
    assert isclose(slow["cycles"].nominal_pj - 15.5, 2 * (fast["cycles"].nominal_pj - 15.5), rel_tol=1e-12)
    assert all(slow[event] == fast[event] for event in EVENTS)


def test_wider_words_of_as_large_a_memory_cost_less_than_their_width() -> None:
    """Reads of four times the width take 1.1 to 1.8 times the energy, as in macros and CACTI; writes twice as much."""
    wide = EDGE.model_copy(update={"lanes": 256, "region_words": 512, "stream_bits": 256})
    narrow = prices(EDGE, TABLE)
    grown = {event: band.nominal_pj / narrow[event].nominal_pj for event, band in prices(wide, TABLE).items()}
    assert 1.1 < grown["act_reads"] < 1.8
    assert isclose(grown["act_reads"], 4**0.35, rel_tol=1e-12)
    assert isclose(grown["act_writes"], 2.0, rel_tol=1e-12)


def table_with(**sections: Any) -> Technology:
    """The table with some sections in place of its own."""
    return Technology.model_validate(TABLE.model_dump(mode="json", exclude_unset=True) | sections, strict=False)


BAND = {"basis": "measured", "source": "a macro"}
POWERS = [{"name": name, "power": 10.0, "power_lo": 0.0, "power_hi": 40.0} | BAND for name in (*BLOCKS, ANY_MEMORY)]


def test_all_parts_leak_at_once() -> None:
    """A cycle of 2 ns pays for the power of every instance of every block and memory, on top of its own row."""
    bare, leaking = table_with(leakage=[]), table_with(leakage=POWERS)
    parts = leakages_uw(EDGE, leaking)
    assert parts["elements"].nominal == 10 * (16 + 1) * 7
    assert parts["activations"].nominal == 10 * 24 * 7
    assert set(parts) == {*BLOCKS, *MEMORIES}
    grown = prices(EDGE, leaking)["cycles"].nominal_pj - prices(EDGE, bare)["cycles"].nominal_pj
    assert isclose(grown, sum(part.nominal for part in parts.values()) / 500, rel_tol=1e-12)
    components = energy({"cycles": 1000}, EDGE, leaking).by_component
    assert isclose(components["leakage"].nominal_pj, 1000 * grown, rel_tol=1e-12)


def test_the_host_memory_opens_rows_and_rests() -> None:
    """A bit pays for its share of a whole row, at the high end for its share of a burst; a cycle pays for the rest."""
    dram = {"row_bits": 16384, "burst_bits": 256,
            "activation": {"energy": 1200.0, "energy_lo": 1000.0, "energy_hi": 1500.0} | BAND,
            "idle": {"power": 38000.0, "power_lo": 0.0, "power_hi": 42000.0} | BAND}
    found, before = prices(EDGE, table_with(host_memory=dram)), prices(EDGE, table_with(host_memory=None))
    for event in ("stream_in_bits", "stream_out_bits"):
        assert isclose(found[event].low_pj - before[event].low_pj, 1000 / 16384, rel_tol=1e-9)
        assert isclose(found[event].nominal_pj - before[event].nominal_pj, 1200 / 16384, rel_tol=1e-9)
        assert isclose(found[event].high_pj - before[event].high_pj, 1500 / 256, rel_tol=1e-9)
    rest = energy({"cycles": 5}, EDGE, table_with(host_memory=dram))
    assert isclose(rest.nominal_pj - rest.on_chip.nominal_pj, 5 * 38000 / 500, rel_tol=1e-12)


def test_energy_follows_toggles() -> None:
    """A product costs 6 fJ with the toggles of its row, 9 fJ if every bit changes; its band keeps its proportions."""
    table = TABLE.model_dump(mode="json", exclude_unset=True)
    table["ERT"]["tables"][0]["actions"][0] |= {
        "energy": 0.006, "energy_lo": 0.004, "energy_hi": 0.012, "by_toggles": 0.004, "at": {"toggles": 0.25}}
    technology = Technology.model_validate(table, strict=False)

    def price(toggles: dict[str, float] | None) -> float:
        return prices(EDGE, technology, toggles)["pair_lanes"].nominal_pj

    assert price(None) == price({"activations": 1.0}) == 0.006
    assert isclose(price({"products": 1.0}), 0.009, rel_tol=1e-12)
    still = energy({"pair_lanes": 10}, EDGE, technology, {"products": 0.0})
    assert isclose(still.nominal_pj, 10 * 0.005, rel_tol=1e-12)
    assert isclose(still.high_pj, 2 * still.nominal_pj, rel_tol=1e-12)


@given(event_counts)
def test_bands_are_ordered_and_add_up(counts: dict[str, int]) -> None:
    """Low <= nominal <= high, for every event and in total; the total is the sum of the events."""
    found = energy(counts, EDGE, TABLE)
    assert list(found.by_event) == list(counts)
    for band in (found, *found.by_event.values()):
        assert band.low_pj <= band.nominal_pj <= band.high_pj
    assert isclose(found.nominal_pj, sum(b.nominal_pj for b in found.by_event.values()), rel_tol=1e-12)


@given(event_counts, event_counts, st.integers(0, 1000))
def test_energy_is_linear(one: dict[str, int], other: dict[str, int], times: int) -> None:
    """The energy of a sum of counts is the sum of the energies, so that budgets add up over layers."""
    both = {event: one.get(event, 0) + times * other.get(event, 0) for event in PRICED}
    expected = energy(one, EDGE, TABLE).nominal_pj + times * energy(other, EDGE, TABLE).nominal_pj
    assert isclose(energy(both, EDGE, TABLE).nominal_pj, expected, rel_tol=1e-12)


def test_wrong_counts_are_refused() -> None:
    """An unknown event is answered with the known ones; nothing happens a negative number of times."""
    with pytest.raises(InputError) as caught:
        energy({"lane_op": 3}, EDGE, TABLE)
    assert str(caught.value) == f"no event is called 'lane_op'; there are {', '.join(PRICED)}"
    with pytest.raises(InputError, match=r"^event 'cycles' must be counted from 0 up, not -1$"):
        energy({"cycles": -1}, EDGE, TABLE)
