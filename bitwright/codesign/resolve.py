"""Machines, technologies and Programs as a user names them."""

from __future__ import annotations

from pathlib import Path

from sim.arch.machine import Machine, load_machine
from sim.energy.technology import Technology, load_technology
from sim.errors import InputError
from sim.ir.program import Program

__all__ = ["check_program", "resolve_machine", "resolve_technology"]


def resolve_machine(machine: Machine | str | Path) -> Machine:
    """Return a machine itself, or read it by its name or from its file.

    Raises
    ------
    InputError
        If it is none of these, or cannot be read.
    """
    match machine:
        case Machine():
            return machine
        case str() | Path():
            return load_machine(machine)
    raise InputError(f"a machine must be a Machine, a name or a path, not {type(machine).__name__}")


def resolve_technology(technology: Technology | str | Path | None, machine: Machine) -> Technology:
    """Return a technology itself, or read it by its name or from its file; None stands for that of the machine.

    Raises
    ------
    InputError
        If it is none of these, or cannot be read.
    """
    match technology:
        case Technology():
            return technology
        case str() | Path():
            return load_technology(technology)
        case None:
            return load_technology(machine.technology)
    raise InputError(f"a technology must be a Technology, a name or a path, not {type(technology).__name__}")


def check_program(program: Program) -> None:
    """Refuse anything but a Program, above all the path of one.

    Raises
    ------
    InputError
        If it is something else.
    """
    if not isinstance(program, Program):
        raise InputError(f"a program must be a Program, not {type(program).__name__}; load_program reads one")
