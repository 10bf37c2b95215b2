"""Names of the performance counters, which the hardware, its register map and the host share."""

from __future__ import annotations

from sim.energy.events import EVENTS

__all__ = ["COUNTERS"]

COUNTERS = ("pairs", "wait_accumulator", "wait_weights", "wait_transfers", "starved", "blocked",
            *(event.counter for event in EVENTS.values()))
"""Names of the counters by number: those of cycles, then one for each event of `sim.energy.events`."""
