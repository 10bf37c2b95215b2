"""Sample what Loads, Stores and row bands meet, as values of the axes of coverage groups."""

from __future__ import annotations

from collections.abc import Iterator

from sim.arch.host_memory import IDEAL
from sim.ir.ops import Conv, Layer, Load, Op, Pool, Store, Transfer
from sim.mapping.transfer_schedule import TransferSchedule
from sim.testing.coverage.op_view import OpView
from sim.testing.coverage.tally import Values

__all__ = ["alignment", "band", "band_broadcast", "band_residual", "beside", "layer_may_wait", "layer_waits",
           "load_may_wait", "load_waits", "loaded", "memory", "slots", "stored"]


def loaded(view: OpView) -> Iterator[Values]:
    """Yield rows of a Load, and who wrote them."""
    if isinstance(view.op, Load):
        whole = view.source.height == view.target.height
        stored = any(isinstance(op, Store) and op.output == view.source.name
                     for op in view.plan.program.ops)
        rows = "all" if whole else "the first" if view.op.first_row == 0 else "later ones"
        yield rows, "Stores" if stored else "the host"


def stored(view: OpView) -> Iterator[Values]:
    """Yield what a Store writes of a tensor in the host's memory."""
    if isinstance(view.op, Store):
        whole = view.source.height == view.target.height
        rows = "all" if whole else "the first" if view.op.first_row == 0 else "later ones"
        part = view.op.output_part
        yield rows, "all" if part is None else "the first" if part == 0 else "a later one"


HOLDS = {"computes": "a layer on its place", "stores": "a Store from its place", "written": "a Store of its rows"}


def load_waits(view: OpView) -> Iterator[Values]:
    """Yield what has held a Load back."""
    if isinstance(view.op, Load):
        yield from ((text,) for what, text in HOLDS.items() if what in view.held_by)
        if not view.held_by:
            yield ("nothing",)


def load_may_wait(view: OpView) -> Iterator[Values]:
    """Yield what may hold a Load back."""
    if isinstance(view.op, Load):
        waits = view.waits
        yield from ((HOLDS[what],) for what, may in (("computes", waits.computes > 0),
                                                     ("stores", waits.stores > waits.written),
                                                     ("written", waits.written > 0)) if may)


def layer_waits(view: OpView) -> Iterator[Values]:
    """Yield what has held the start of a layer back."""
    if isinstance(view.op, Layer):
        yield from ((view.kind, what) for what in ("loads", "stores") if what in view.held_by)
        if not view.held_by:
            yield view.kind, "nothing"


def layer_may_wait(view: OpView) -> Iterator[Values]:
    """Yield what may hold the start of a layer back."""
    if isinstance(view.op, Layer):
        yield from ((view.kind, what) for what, count in (("loads", view.waits.loads), ("stores", view.waits.stores))
                    if count)


def beside(view: OpView) -> Iterator[Values]:
    """Yield what runs while a Load or Store does."""
    if isinstance(view.op, Transfer):
        for op in view.beside:
            if isinstance(op, Op):
                yield view.kind, type(op).__name__


def alignment(view: OpView) -> Iterator[Values]:
    """Beats of a transfer against words and against the whole of it."""
    if isinstance(view.schedule, TransferSchedule):
        machine = view.plan.machine
        width = "several words" if machine.stream_bits > machine.lanes else (
            "a word" if machine.stream_bits == machine.lanes else "part of a word")
        bits = machine.columns * view.schedule.words * machine.lanes
        yield view.kind, width, bits % machine.stream_bits > 0


def memory(view: OpView) -> Iterator[Values]:
    """Yield what of the host's memory an op's end shows."""
    if view.late or view.slotted:
        yield ("late slots" if view.late and view.slotted else "late" if view.late else "slots",)
    elif view.plan.machine.memory == IDEAL:
        yield ("ideal",)


def slots(view: OpView) -> Iterator[Values]:
    """Yield kind, whether its stream waits for the memory."""
    if not isinstance(view.op, Pool):
        waits = view.blocked if isinstance(view.op, Store) else view.starved
        yield type(view.op).__name__, waits > 0


def band(view: OpView) -> Iterator[Values]:
    """Kind and place of a layer that reads rows of one tensor in the host's memory and writes rows of another."""
    position = _position(view)
    if position is not None:
        yield view.kind, position


def band_residual(view: OpView) -> Iterator[Values]:
    """Tell whether a band has a residual."""
    if isinstance(view.op, Conv) and _position(view) is not None:
        yield (view.op.residual is not None,)


def band_broadcast(view: OpView) -> Iterator[Values]:
    """Yield how the residual of a band is broadcast."""
    if isinstance(view.op, Conv) and view.op.residual_broadcast != "none" and _position(view) is not None:
        yield (view.op.residual_broadcast,)


def _position(view: OpView) -> str | None:
    """Return which band of its layer an op is; None for a whole layer."""
    program, op = view.plan.program, view.op
    if not isinstance(op, Layer):
        return None
    loads = [r for r in program.ops if isinstance(r, Load) and r.output == op.input]
    stores = [r for r in program.ops if isinstance(r, Store) and r.input == op.output]
    if len(loads) != 1 or len(stores) != 1:
        return None
    source, target = program.tensor(loads[0].input), program.tensor(stores[0].output)
    if source.height == view.source.height or target.height == view.target.height:
        return None
    if stores[0].first_row == 0:
        return "first"
    return "last" if stores[0].first_row + view.target.height == target.height else "inner"
