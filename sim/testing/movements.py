"""What Loads, Stores and row bands meet, as values of the axes of coverage groups."""

from __future__ import annotations

from collections.abc import Iterator

from sim.memory import IDEAL
from sim.records import Conv, Load, Pool, Store
from sim.testing.coverage import Values
from sim.testing.views import View
from sim.transfers import TransferSchedule

__all__ = ["alignment", "band", "band_residual", "beside", "layer_waits", "load_waits", "loaded", "memory", "slots",
           "stored"]


def loaded(view: View) -> Iterator[Values]:
    """Rows of a Load, and who wrote them."""
    if isinstance(view.record, Load):
        whole = view.source.height == view.target.height
        stored = any(isinstance(record, Store) and record.output == view.source.name
                     for record in view.plan.program.records)
        rows = "all" if whole else "the first" if view.record.first_row == 0 else "later ones"
        yield rows, "Stores" if stored else "the host"


def stored(view: View) -> Iterator[Values]:
    """What of a tensor in the host's memory a Store writes."""
    if isinstance(view.record, Store):
        whole = view.source.height == view.target.height
        rows = "all" if whole else "the first" if view.record.first_row == 0 else "later ones"
        part = view.record.output_part
        yield rows, "all" if part is None else "the first" if part == 0 else "a later one"


def load_waits(view: View) -> Iterator[Values]:
    """What a Load waits for."""
    if isinstance(view.record, Load):
        waits = view.waits
        if not (waits.computes or waits.stores):
            yield ("nothing",)
        if waits.computes:
            yield ("a layer on its place",)
        if waits.stores > waits.written:
            yield ("a Store from its place",)
        if waits.written:
            yield ("a Store of its rows",)


def layer_waits(view: View) -> Iterator[Values]:
    """What the start of a layer waits for."""
    if isinstance(view.record, Conv | Pool):
        yield view.kind, view.waits.loads > 0, view.waits.stores > 0


def beside(view: View) -> Iterator[Values]:
    """What runs while a Load or Store does."""
    if isinstance(view.record, Load | Store):
        for record in view.beside:
            if isinstance(record, Conv | Pool | Load | Store):
                yield view.kind, type(record).__name__


def alignment(view: View) -> Iterator[Values]:
    """Beats of a transfer against words and against the whole of it."""
    if isinstance(view.schedule, TransferSchedule):
        machine = view.plan.machine
        width = "several words" if machine.stream_bits > machine.lanes else (
            "a word" if machine.stream_bits == machine.lanes else "part of a word")
        bits = machine.columns * view.schedule.words * machine.lanes
        yield view.kind, width, bits % machine.stream_bits > 0


def memory(view: View) -> Iterator[Values]:
    """The model of the host's memory."""
    model = view.plan.machine.memory
    yield "ideal" if model == IDEAL else "late" if model.beats == model.period_cycles else (
        "slots" if model.latency_cycles == 0 else "late slots"),


def slots(view: View) -> Iterator[Values]:
    """Kind, whether its stream waits for the memory."""
    if not isinstance(view.record, Pool):
        waits = view.blocked if isinstance(view.record, Store) else view.starved
        yield type(view.record).__name__, waits > 0


def band(view: View) -> Iterator[Values]:
    """Kind and place of a layer that reads rows of one tensor in the host's memory and writes rows of another."""
    position = _position(view)
    if position is not None:
        yield view.kind, position


def band_residual(view: View) -> Iterator[Values]:
    """Whether a band has a residual."""
    if isinstance(view.record, Conv) and _position(view) is not None:
        yield (view.record.residual is not None,)


def _position(view: View) -> str | None:
    """Which band of its layer a record is; None for a whole layer."""
    program, record = view.plan.program, view.record
    if not isinstance(record, Conv | Pool):
        return None
    loads = [r for r in program.records if isinstance(r, Load) and r.output == record.input]
    stores = [r for r in program.records if isinstance(r, Store) and r.input == record.output]
    if len(loads) != 1 or len(stores) != 1:
        return None
    source, target = program.tensor(loads[0].input), program.tensor(stores[0].output)
    if source.height == view.source.height or target.height == view.target.height:
        return None
    if stores[0].first_row == 0:
        return "first"
    return "last" if stores[0].first_row + view.target.height == target.height else "inner"
