"""The planted bugs: changes of a line of source, and faults of the netlist that a rule has drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from rtl.encoding.geometry import Geometry
from rtl.shell.top import Top
from rtl.verification.fault import Fault, planted
from rtl.verification.mutation.netlist import FAMILIES, Mutant, faulty_text, sample
from rtl.verilog.emit import TOP, verilog_text
from sim.arch.machine import Machine

__all__ = ["DRAWN_FAMILIES", "Bug", "draw", "faulty_verilog", "read_bugs"]

BUGS = Path(__file__).with_name("bugs.yaml")
DRAWN_FAMILIES = ("array", "requantizer", "operands", "dma", "output")
"""Each of them gives one fault of the netlist."""
SAMPLE, SEED = 20, 1
"""Mutants of a family among which one is drawn."""


@dataclass(frozen=True)
class Bug:
    """A bug, and what is to be found out about it.

    Attributes
    ----------
    name : str
    fault : Fault or Mutant
        Of the source, or of the netlist.
    program : str
        The Program of `rtl.verification.planted.programs` that shows it.
    op, field, detail : str
        The first op that is wrong by itself, what of it is wrong, and a word that the explanation must have.
    """

    name: str
    fault: Fault | Mutant
    program: str
    op: str
    field: str
    detail: str


def read_bugs() -> tuple[Bug, ...]:
    """Return all bugs in the order of the list."""
    return tuple(_bug(entry) for entry in yaml.safe_load(BUGS.read_text()))


def faulty_verilog(bug: Bug, machine: Machine) -> str:
    """Return the Verilog of a machine with a bug."""
    if isinstance(bug.fault, Mutant):
        return faulty_text(_verilog(machine), TOP, bug.fault)
    with planted(bug.fault):
        return _verilog(machine)


def draw(machine: Machine, shows: Callable[[str], bool]) -> Iterator[Mutant]:
    """Yield a mutant of every family of `DRAWN_FAMILIES`: the first one of the family's sample that shows.

    Parameters
    ----------
    machine : Machine
    shows : function of str to bool
        Whether a Program differs in some code on hardware of this Verilog.
    """
    text = _verilog(machine)
    for family in DRAWN_FAMILIES:
        mutants = sample(text, TOP, {family: FAMILIES[family]}, SAMPLE, SEED)
        yield next(mutant for mutant in mutants if shows(faulty_text(text, TOP, mutant)))


def _verilog(machine: Machine) -> str:
    return verilog_text(Top(Geometry(machine)), TOP)


def _bug(entry: dict[str, Any]) -> Bug:
    fault = (Mutant(entry["family"], entry["command"]) if "command" in entry
             else Fault(entry["module"], entry["old"], entry["new"]))
    return Bug(entry["name"], fault, entry["program"], entry["op"], entry["field"], entry["detail"])
