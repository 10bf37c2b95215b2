"""Which simulator will be done first."""

from __future__ import annotations

from dataclasses import dataclass

from rtl.cosim.simulators import ENGINES, ICARUS, Engine
from rtl.cosim.simulators.builds import is_cached
from sim.arch.machine import Machine

__all__ = ["choose", "predicted_seconds"]


@dataclass(frozen=True)
class Pace:
    """How fast an engine is on a machine of N = rows · columns · lanes elements.

    Attributes
    ----------
    cycles_per_second, slowing : float
        It simulates cycles_per_second / N^slowing.
    build_seconds, growing : float
        It builds in build_seconds · N^growing.
    """

    cycles_per_second: float
    slowing: float
    build_seconds: float
    growing: float


PACES = {"icarus": Pace(33e3, 0.4, 0.08, 0.42), "verilator": Pace(206e3, 0.19, 1.4, 0.44),
         "lean": Pace(4.7e6, 0.52, 1.4, 0.44)}
"""Measured on `tiny` and `edge`, one core of a server: a choice between engines an order of magnitude apart needs no
more."""


def choose(machine: Machine, text: str, top: str, cycles: int) -> Engine:
    """Choose the installed engine that is done first: it builds `text`, unless the build is known, and simulates.

    Parameters
    ----------
    machine : Machine
    text, top : str
        Its SystemVerilog and the name of its top module.
    cycles : int
        Of all images.
    """
    able = [engine for engine in ENGINES if engine.missing() is None]
    return min(able, key=lambda engine: predicted_seconds(engine.name, machine, cycles, is_cached(engine, text, top)),
               default=ICARUS)


def predicted_seconds(name: str, machine: Machine, cycles: int, built: bool) -> float:
    """Time that an engine will roughly take.

    Examples
    --------
    >>> from sim.arch.machine import load_machine
    >>> few, many = 1_000, 1_000_000
    >>> tiny = load_machine("tiny")
    >>> predicted_seconds("icarus", tiny, few, False) < predicted_seconds("verilator", tiny, few, False)
    True
    >>> predicted_seconds("icarus", tiny, many, True) < predicted_seconds("verilator", tiny, many, False)
    False
    """
    pace, elements = PACES[name], float(machine.rows * machine.columns * machine.lanes)
    build: float = 0.0 if built else pace.build_seconds * elements**pace.growing
    simulation: float = cycles * elements**pace.slowing / pace.cycles_per_second
    return build + simulation
