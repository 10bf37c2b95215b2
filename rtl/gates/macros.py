"""Memory macros of Liberty files, and the laws through them that price memories of other sizes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rtl.gates.boolean_function import names_in, truth_table
from rtl.gates.liberty import Group, LibertyFile
from rtl.gates.library import Library
from sim.errors import InputError

__all__ = ["KIB", "WIDTH", "Law", "Macro", "fit_law", "read_macros"]

WIDTH, KIB = 64.0, 8.0
"""The memory that laws are stated for [bits, KiB]."""
WRITE, READ = re.compile(r"(?i)WE"), re.compile(r"(?i)RE")
EXPONENTS = np.linspace(0.0, 1.0, 51)
FIXED = np.linspace(0.0, 0.95, 20)
"""Shares of the smallest value that are tried as the fixed part."""


@dataclass(frozen=True)
class Macro:
    """A memory of a library.

    Attributes
    ----------
    name : str
    words, width : int
        Words, and bits of each.
    read_fj, write_fj : float
        Energy of an access of a whole word.
    area : float
        [um2].
    leakage_nw : float
    """

    name: str
    words: int
    width: int
    read_fj: float
    write_fj: float
    area: float
    leakage_nw: float

    @property
    def kib(self) -> float:
        """Capacity [KiB]."""
        return self.words * self.width / 8192


@dataclass(frozen=True)
class Law:
    """value = fixed + (at_point - fixed) * (width / 64)**width_exponent * (capacity / 8 KiB)**exponent.

    `low` and `high` are the smallest and largest ratios of a macro's value to that of the law.
    """

    fixed: float
    at_point: float
    width_exponent: float
    exponent: float
    low: float
    high: float

    def of(self, width: float, kib: float) -> float:
        """Return the value for a memory."""
        return float(self.fixed + (self.at_point - self.fixed) * (width / WIDTH) ** self.width_exponent
                * (kib / KIB) ** self.exponent)


def read_macros(files: Sequence[LibertyFile]) -> tuple[Macro, ...]:
    """Return the memories of files.

    Raises
    ------
    InputError
        If a file has none, or a memory does not say what a read and a write take.
    """
    macros = []
    for file in files:
        library = Library([file])
        found = [name for name in file.cells if any(file.cell(name).all("memory"))]
        if not found:
            raise InputError(f"{file.name}: no cell is a memory (has a group 'memory')")
        macros += [_macro(library, name, file.cell(name)) for name in found]
    return tuple(macros)


def _macro(library: Library, name: str, cell: Group) -> Macro:
    memory = next(cell.all("memory"))
    clocks = [pin for pin in cell.all("pin") if pin.text("clock") == "true" or "CLK" in "".join(pin.arguments).upper()]
    for clock in clocks:
        read, write = (_access(library, clock, writes) for writes in (False, True))
        if read and write:
            return Macro(name, 1 << int(memory.number("address_width")), int(memory.number("word_width")), read, write,
                         cell.number("area"), cell.number("cell_leakage_power") * library.leakage_unit)
    raise InputError(f"{library.files[0].name}: memory {name} must say at its clock what a read (with a signal "
                     "...RE...) and a write (...WE...) take")


def _access(library: Library, clock: Group, writes: bool) -> float:
    """Return the energy of an access: the largest in a state in which one enable is high and the other low."""
    largest = 0.0
    for power in clock.all("internal_power"):
        when = power.text("when")
        names = names_in(when)
        on, off = (WRITE, READ) if writes else (READ, WRITE)
        if not any(on.search(name) for name in names):
            continue
        values = [int(not (off.search(name) and not on.search(name))) for name in names]
        if truth_table(when, names)[sum(value << k for k, value in enumerate(values))]:
            edges = [np.mean(table.numbers("values")) for kind in ("rise_power", "fall_power")
                     for table in power.all(kind)]
            largest = max(largest, float(sum(edges)) * library.energy_unit)
    return largest


def fit_law(macros: Sequence[Macro], values: Sequence[float]) -> Law:
    """Return the law with the least squared errors of logarithms, exponents and fixed part being within their bounds.

    Raises
    ------
    InputError
        If there are fewer than four macros, for as many numbers.
    """
    if len(macros) < 4:
        raise InputError(f"a law of memories needs at least 4 macros, not {len(macros)}")
    width = np.log([macro.width / WIDTH for macro in macros])
    kib = np.log([macro.kib / KIB for macro in macros])
    shapes = EXPONENTS[:, None, None] * width + EXPONENTS[None, :, None] * kib
    given = np.array(values)
    best, found = np.inf, (0.0, 0.0, 0.0, 0.0)
    for share in FIXED:
        fixed = float(share * given.min())
        scales = np.exp((np.log(given - fixed) - shapes).mean(2))
        errors = (np.log(given / (fixed + scales[:, :, None] * np.exp(shapes))) ** 2).sum(2)
        row, column = np.unravel_index(int(errors.argmin()), errors.shape)
        if errors[row, column] < best:
            best = errors[row, column]
            found = fixed, fixed + float(scales[row, column]), float(EXPONENTS[row]), float(EXPONENTS[column])
    law = Law(*found, 1.0, 1.0)
    ratios = given / np.array([law.of(macro.width, macro.kib) for macro in macros])
    return Law(*found, float(ratios.min()), float(ratios.max()))

