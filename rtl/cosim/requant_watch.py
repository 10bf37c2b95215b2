"""Watch the requantizers inside a simulation while one Conv or Pool of a run works."""

from __future__ import annotations

from typing import Any

import numpy as np
from cocotb.triggers import FallingEdge
from numpy.typing import NDArray

from rtl.core.datapath.requantizer import CODE_STAGES
from rtl.cosim.requant_probe import NUMBERS, UNKNOWN
from sim.arch.machine import Machine

__all__ = ["watch_requantizers"]

FIRST, LAST = 0, 1
"""Bits of a term, as `rtl.core.datapath.requantizer.term_layout` has them."""


async def watch_requantizers(dut: Any, machine: Machine, number: int) -> dict[str, NDArray[np.int64]]:
    """Return what every requantizer takes and gives while compute op `number` runs, by "unit column".

    The rows of an array are accumulator, residual, rounded sum and code, in the order in which they come.
    """
    while int(dut.trace_computes.value) != number or not dut.trace_busy.value:
        await FallingEdge(dut.clk)
    watches = [_Watch(getattr(dut.core, f"requantizer_{unit}_{column}"), f"{unit} {column}")
               for unit in range(machine.requantizers) for column in range(machine.columns)]
    while int(dut.trace_computes.value) == number and dut.trace_busy.value:
        for watch in watches:
            watch.look()
        await FallingEdge(dut.clk)
    return {watch.name: np.array(watch.rows, np.int64).reshape(-1, len(NUMBERS)) for watch in watches}


class _Watch:
    """Follow one requantizer from cycle to cycle."""

    def __init__(self, handle: Any, name: str) -> None:
        self.handle, self.name, self.rows = handle, name, list[list[int]]()
        self.taken: tuple[int, int] | None = None
        self.operands = (UNKNOWN, UNKNOWN)
        self.coming: list[tuple[int, tuple[int, int]]] = []

    def look(self) -> None:
        """Look at the ports in one cycle: the term of what was taken comes a cycle later, the code after that."""
        handle = self.handle
        if self.coming and not self.coming[0][0]:
            self.rows.append([*self.coming.pop(0)[1], _signed(handle, "moved"), _signed(handle, "code")])
        self.coming = [(cycles - 1, operands) for cycles, operands in self.coming]
        if self.taken is not None:
            term = str(handle.term.value)[::-1]
            if term[FIRST] == "1":
                self.operands = self.taken
            if term[LAST] == "1":
                self.coming.append((CODE_STAGES - 2, self.operands))
        self.taken = self._operands() if str(handle.execute.value) == "1" else None

    def _operands(self) -> tuple[int, int]:
        """Return accumulator and residual as they are taken."""
        handle = self.handle
        acc = _signed(handle, "acc")
        if str(handle.bipolar.value) == "1" and acc != UNKNOWN:
            reference = _signed(handle, "reference")
            acc = UNKNOWN if reference == UNKNOWN else _wrapped(2 * acc - reference, len(handle.acc))
        return acc, _signed(handle, "residual")


def _signed(handle: Any, name: str) -> int:
    """Return the number of a signal in two's complement, `UNKNOWN` if a bit is undefined or a fault has removed it."""
    if not hasattr(handle, name):
        return UNKNOWN
    value = getattr(handle, name).value
    return int(value.to_signed()) if value.is_resolvable else UNKNOWN


def _wrapped(value: int, bits: int) -> int:
    half = 1 << (bits - 1)
    return ((value + half) & (2 * half - 1)) - half
