"""The table of events: what costs energy, and which performance counter of the RTL counts it.

The order and the names of the RTL's counters, the translation between counts of events and values of counters, the
scaling of energies to a machine and the page `docs/events.md` all follow from `EVENTS`. The schedules of `sim.mapping`
count the events of ops, `rtl.core.control.perf_counters` those of the hardware.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Literal

from sim.arch.machine import Machine
from sim.arch.table_memory import table_word_bits
from sim.arch.widths import lane_sum_bits, partial_sum_bits
from sim.energy.quantity import ONE, Quantity
from sim.hardware.memories import memories

__all__ = ["COMPONENTS", "EVENTS", "HOST_MEMORY", "LEAKAGE", "PRICED", "Event", "EventMemory",
           "counters_from_events", "events_from_counters"]


@dataclass(frozen=True)
class EventMemory:
    """A memory that events read or write.

    Attributes
    ----------
    name : str
        Its name in `sim.hardware.memories`.
    formula : str
        Capacity of one instance in terms of the machine's parameters [bits].
    """

    name: str
    formula: str

    @property
    def bits(self) -> Quantity:
        """Capacity of one instance [bits]."""
        return Quantity(self.formula, lambda machine: memories(machine)[self.name].bits)

    def kib(self, machine: Machine) -> float:
        """Return the capacity of one instance [KiB]."""
        return memories(machine)[self.name].capacity_kib


def _parameter(name: str) -> Quantity:
    return Quantity(name, attrgetter(name))


LANES, ACC_BITS = _parameter("lanes"), _parameter("acc_bits")

HOST_MEMORY = "host memory"
"""The component that is not on the chip."""
LEAKAGE = "leakage"
"""The component that takes power whatever happens."""
TABLE_WORD = Quantity("max(lanes, stream_bits)", table_word_bits)

ACCUMULATORS = EventMemory("accumulators", "acc_depth * acc_bits")
ACTIVATIONS = EventMemory("activations", "region_words * lanes")
WEIGHTS = EventMemory("weights", "2 * weight_words * lanes")
TABLES = EventMemory("tables", "2 * max(8 * 2**table_bits, lanes, stream_bits)")


@dataclass(frozen=True)
class Event:
    """Something that the machine does and that a technology puts a price on.

    Attributes
    ----------
    name : str
    unit : str
        What one event is.
    meaning : str
        Which of these are counted.
    component : str
        The part of the machine whose energy it is, as estimates add it up.
    counter : str
        The RTL's counter.
    per_count : Quantity
        Events for each count of that counter.
    width : Quantity
        Width of what one event moves or clocks, to which its energy is proportional [bits].
    memory : EventMemory or None
        The memory that the event reads or writes, on whose capacity its energy depends.
    data : {"products", "activations"} or None
        Whose toggles its energy may depend on: those of its one-bit products, or those of its activation planes.
    """

    name: str
    unit: str
    meaning: str
    component: str
    counter: str
    per_count: Quantity = ONE
    width: Quantity = ONE
    memory: EventMemory | None = None
    data: Literal["products", "activations"] | None = None


EVENTS = {event.name: event for event in (
    Event("pair_lanes", "one-bit product", "lanes of every active element in every pair of bit planes",
          "array", "pair_elements", per_count=LANES, data="products"),
    Event("narrow_adds", "addition", "partial sums: one for each active element and pair of bit planes", "array",
          "narrow_adds", data="products", width=Quantity(
              "log2(lanes) + max_bits_w + max_bits_a", partial(partial_sum_bits, unsigned_weights=False))),
    Event("lane_adds", "addition",
          "sums of the depthwise lanes: one for each lane of an active column, tap and activation plane",
          "depthwise lanes", "lane_steps", per_count=_parameter("depthwise_lanes"),
          width=Quantity("max_bits_w + max_bits_a + 6", lane_sum_bits), data="activations"),
    Event("wide_adds", "addition", "accumulators: one for each active element and step", "array", "wide_adds",
          width=ACC_BITS, data="products"),
    Event("acc_reads", "word", "accumulators read, by additions and by the requantizers", "accumulators", "acc_reads",
          width=ACC_BITS, memory=ACCUMULATORS),
    Event("acc_writes", "word", "accumulators written", "accumulators", "acc_writes", width=ACC_BITS,
          memory=ACCUMULATORS),
    Event("requant_terms", "addition", "shifted additions in the requantizers", "requantizers", "requant_terms",
          width=Quantity("acc_bits + window + 2", attrgetter("requant_bits"))),
    Event("act_reads", "word", "activations read: operands, residuals, pooling, Stores", "activations", "act_reads",
          width=LANES, memory=ACTIVATIONS, data="activations"),
    Event("act_writes", "word", "activations written, by Convs under a mask of `rows` lanes, by Loads too",
          "activations", "act_writes", width=LANES, memory=ACTIVATIONS),
    Event("weight_reads", "word", "weights read into the operand registers of the rows", "weights", "weight_reads",
          width=LANES, memory=WEIGHTS),
    Event("weight_writes", "word", "weights and parameters written from the stream", "weights", "weight_writes",
          width=LANES, memory=WEIGHTS),
    Event("operand_bits", "bit", "bits clocked into the operand registers of rows and columns", "operands",
          "operand_bits"),
    Event("stream_in_bits", "bit", "bits taken from the inward stream", HOST_MEMORY, "stream_in_beats",
          per_count=_parameter("stream_bits")),
    Event("stream_out_bits", "bit", "bits put on the outward stream", HOST_MEMORY, "stream_out_beats",
          per_count=_parameter("stream_bits")),
    Event("table_reads", "word", "tables read, once for each output of a Conv that ends in one", "tables",
          "table_reads", width=TABLE_WORD, memory=TABLES),
    Event("table_writes", "word", "tables written from the stream, into the memories of all requantizers",
          "tables", "table_writes", width=TABLE_WORD, memory=TABLES),
)}
"""Every event by name, in the order of the RTL's counters."""

PRICED = EVENTS | {"cycles": Event(
    "cycles", "clock cycle", "clock cycles: control, counters, and clocks that no gate stops", "control", "cycles",
    width=Quantity("rows * columns * lanes", lambda machine: machine.rows * machine.columns * machine.lanes))}
"""What a technology must price, each once: the events, and last the cycles."""

COMPONENTS = (*dict.fromkeys(event.component for event in PRICED.values()), LEAKAGE)
"""Parts of the machine, and the host's memory, in the order of their first event, and last what leaks."""


def events_from_counters(counters: Mapping[str, int], machine: Machine) -> dict[str, int]:
    """Return how often each event of EVENTS happened, given at least the counters that the table names.

    >>> from sim.arch.machine import load_machine
    >>> counters = {event.counter: 2 for event in EVENTS.values()}
    >>> events_from_counters(counters, load_machine("edge"))["pair_lanes"]
    128
    """
    return {event.name: counters[event.counter] * event.per_count.of(machine) for event in EVENTS.values()}


def counters_from_events(counts: Mapping[str, int], machine: Machine) -> dict[str, int]:
    """Return the counters that the table names, given the counts of all events of EVENTS.

    A machine without depthwise lanes has no `lane_adds` and counts no `lane_steps`.
    """
    return {event.counter: counts[event.name] // max(1, event.per_count.of(machine)) for event in EVENTS.values()}
