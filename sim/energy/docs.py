"""The page about events, made from their table."""

from __future__ import annotations

from sim.energy.events import PRICED, Event

__all__ = ["events_markdown"]

HEAD = """\
# Events

The machine counts what costs energy as exact integers: the simulator, the hardware and the estimates agree on every
count. A technology gives the energy of each event and of a clock cycle. That energy grows with the width, and where the
event touches a memory with the capacity of that memory, as the technology says. It may also depend on how many bits of
the data change that the last column names: one-bit products, or activation planes. The hardware's counters, which
[Registers](registers.md) lists, count events in the portions of the column "events per count". The page is made from
`sim.energy.events`, from which the hardware takes its counters and the energy model its widths and capacities.

| event | unit | meaning | component | counter | events per count | width [bits] | memory [bits] | data |
|---|---|---|---|---|---|---|---|---|
"""


def events_markdown() -> str:
    """Return a page with a table of all events.

    >>> print(events_markdown().splitlines()[0])
    # Events
    """
    return HEAD + "".join(_row(event) for event in PRICED.values())


def _row(event: Event) -> str:
    memory = f"{event.memory.name}: {event.memory.bits.formula}" if event.memory else "none"
    cells = (f"`{event.name}`", event.unit, event.meaning, event.component, f"`{event.counter}`",
             event.per_count.formula, event.width.formula, memory, event.data or "none")
    return "| " + " | ".join(cells).replace(" * ", " × ") + " |\n"
