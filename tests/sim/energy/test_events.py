"""The table of events, and what follows from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtl.core.control.counter_names import COUNTERS
from sim.arch.machine import load_machine
from sim.energy.docs import events_markdown
from sim.energy.events import EVENTS, PRICED, counters_from_events, events_from_counters

DOCS = Path(__file__).parents[3] / "docs"


def test_the_page_is_current() -> None:
    """docs/events.md is what the table gives; write it anew with `python scripts/write_pages.py`."""
    assert (DOCS / "events.md").read_text() == events_markdown()


def test_the_counters_have_kept_their_addresses() -> None:
    """Drivers read counters by number: names and order never change, new ones are added at the end."""
    assert COUNTERS[:20] == (
        "pairs", "wait_accumulator", "wait_weights", "wait_transfers", "starved", "blocked", "pair_elements",
        "narrow_adds", "lane_steps", "wide_adds", "acc_reads", "acc_writes", "requant_terms", "act_reads",
        "act_writes", "weight_reads", "weight_writes", "operand_bits", "stream_in_beats", "stream_out_beats")


@pytest.mark.parametrize("name", ["tiny", "edge", "large"])
def test_counters_and_events_translate_both_ways(name: str) -> None:
    """Counts of events that hardware can count become its counters and the same events again."""
    machine = load_machine(name)
    counters = {event.counter: 3 + number for number, event in enumerate(EVENTS.values())}
    if not machine.depthwise_lanes:
        counters["lane_steps"] = 0
    counts = events_from_counters(counters, machine)
    assert counts["pair_lanes"] == 3 * machine.lanes
    assert counts["stream_out_bits"] == counters["stream_out_beats"] * machine.stream_bits
    assert counters_from_events(counts, machine) == counters


def test_formulas_are_what_is_computed() -> None:
    """The formulas that readers see give the same numbers on every built-in machine as the table."""
    for name in ("tiny", "edge", "large"):
        machine = load_machine(name)
        names = machine.model_dump() | {"log2": lambda count: count.bit_length() - 1}
        for event in PRICED.values():
            for quantity in (event.per_count, event.width, *([event.memory.bits] if event.memory else [])):
                assert eval(quantity.formula, {}, names) == quantity.of(machine), event.name
