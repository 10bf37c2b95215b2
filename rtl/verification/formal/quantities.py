"""Everything in the hardware that counts or is a number: what tests must reach the upper end of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from amaranth.hdl import Fragment, Signal, Value
from amaranth.hdl._ast import Assign, Concat, Operator, Part, Property, Slice, Statement, Switch, SwitchValue
from amaranth.lib import data, wiring

from rtl.encoding.geometry import Geometry
from rtl.shell.csr_file import PLAIN
from rtl.shell.top import Top
from sim.arch.machine import Machine
from sim.hardware.fields import Fields, compute_fields, inward_fields, outward_fields

__all__ = ["counters", "fields", "registers"]


def fields(machine: Machine) -> set[str]:
    """Yield the fields of more than one bit in the entries of the three tables: `compute.taps`."""
    geometry = Geometry(machine)
    tables: dict[str, Fields] = {"compute": compute_fields(geometry), "inward": inward_fields(geometry),
                                 "outward": outward_fields(geometry)}
    return {f"{table}.{name}" for table, entries in tables.items() for name, field in entries.items()
            if field.bits > 1}


def registers() -> set[str]:
    """Yield the fields of more than one bit in the registers that are not counters: `TIMEOUT.cycles`."""
    return {f"{register.name}.{field.name}" for register in PLAIN for field in register.fields if field.width > 1}


def counters(machine: Machine) -> set[str]:
    """Registers of more than one bit whose next value is a sum with themselves: `Sequencer.pixel`.

    Sums of codes, which are no counts, are left out: those of processing elements, depthwise lanes and requantizers.
    """
    return set(_counting(Fragment.get(Top(Geometry(machine)), None)))


def _counting(fragment: Fragment) -> Iterator[str]:
    """Yield the counting registers of a component and of all components in it."""
    driven = dict[str, dict[int, list[Value]]](comb={}, sync={})
    signals = dict[int, Signal]()
    for domain, statements in fragment.statements.items():
        for target, value in _assignments(statements):
            for signal in target._lhs_signals():
                signals[id(signal)] = signal
                driven.setdefault(domain, {}).setdefault(id(signal), []).append(value)
    component = next((part for part in reversed(fragment.origins or ()) if isinstance(part, wiring.Component)), None)
    for number, values in driven["sync"].items():
        for part in sorted({place for value in values
                            for place in _added(value, signals[number], driven["comb"], set())}):
            name = _named(signals[number], *part, getattr(component, "state", None))
            if name:
                yield f"{type(component).__name__}.{name}"
    for child, *_ in fragment.subfragments:
        yield from _counting(child)


def _assignments(statements: Sequence[Statement]) -> Iterator[tuple[Value, Value]]:
    for statement in statements:
        if isinstance(statement, Assign):
            yield statement.lhs, statement.rhs
        elif isinstance(statement, Switch):
            for _, body, *_ in statement.cases:
                yield from _assignments(body)
        else:
            assert isinstance(statement, Property), statement


def _added(value: Value, register: Signal, comb: dict[int, list[Value]], seen: set[int]) -> Iterator[tuple[int, int]]:
    """Return bits of `register`, as (start, stop), that are an operand of a sum that `value` follows at once."""
    if isinstance(value, Signal):
        if id(value) in seen:
            return
        seen.add(id(value))
        for source in comb.get(id(value), ()):
            yield from _added(source, register, comb, seen)
    if isinstance(value, Operator) and value.operator == "+":
        for source, start, stop in map(_bits, value.operands):
            if source is register:
                yield start, stop
    for child in _children(value):
        yield from _added(child, register, comb, seen)


def _bits(value: Value) -> tuple[Value, int, int]:
    """Return what an operand is a slice of, and which: without its signedness, slices of slices resolved."""
    if isinstance(value, Operator) and value.operator in ("u", "s"):
        return _bits(value.operands[0])
    if isinstance(value, Slice):
        source, start, _ = _bits(value.value)
        return source, start + value.start, start + value.stop
    return value, 0, len(value)


def _children(value: Value) -> Sequence[Value]:
    if isinstance(value, Operator):
        return list(value.operands)
    if isinstance(value, Slice):
        return [value.value]
    if isinstance(value, Part):
        return [value.value, value.offset]
    if isinstance(value, SwitchValue):
        return [value.test, *(chosen for _, chosen in value.cases)]
    return list(value.parts) if isinstance(value, Concat) else []


def _named(signal: Signal, start: int, stop: int, layout: data.StructLayout | None) -> str | None:
    """Return a register, or a field of one that is laid out; None for single bits."""
    if stop - start == 1:
        return None
    if layout is not None and layout.size == len(signal):
        return next(f"{signal.name}.{name}" for name, field in layout
                    if field.offset <= start < field.offset + field.width)
    return str(signal.name).replace("__", ".")
