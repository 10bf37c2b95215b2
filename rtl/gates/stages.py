"""Which registers a gate works for: the stage of a pipeline that it belongs to.

A gate belongs to the register whose input it computes, with clock gates that stop it; of several, to the one that is
named first. What computes no named register, such as what feeds a memory, belongs to the last stage.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rtl.gates.circuit import Circuit, Drive

__all__ = ["stages"]


def stages(circuit: Circuit, members: NDArray[np.bool_], registers: Sequence[str]) -> NDArray[np.int64]:
    """Return the stage of every instance: the place of its register among `registers`, their number if in none.

    Parameters
    ----------
    circuit : Circuit
    members : bool array, shape (instances,)
        The instances that may have a stage: gates do not pass it on from outside.
    registers : sequence of str
        Names of signals.
    """
    found = np.full(len(circuit.cells), len(registers), np.int64)
    driver = {int(circuit.out[number]): drive for number, drive in enumerate(circuit.gates)}
    gated = {number: drive for number, drive in enumerate(circuit.gaters, 1)}
    for place in range(len(registers) - 1, -1, -1):
        ends = [drive for drive in circuit.flip_flops if members[drive.index]
                and drive.instance.signals.get(drive.output.pin) == registers[place]]
        nets: list[int] = []
        for drive in ends:
            found[drive.index] = place
            nets += _data(drive)
            gate = gated.get(circuit.clock_of(drive))
            if gate is not None and members[gate.index]:
                found[gate.index] = place
                nets += _data(gate)
        _mark(nets, driver, members, found, place)
    return found


def _mark(nets: list[int], driver: dict[int, Drive], members: NDArray[np.bool_], found: NDArray[np.int64],
          place: int) -> None:
    """Give a place to all gates through which these nets are computed."""
    seen: set[int] = set()
    while nets:
        net = nets.pop()
        drive = driver.get(net)
        if drive is None or net in seen or not members[drive.index]:
            continue
        seen.add(net)
        found[drive.index] = place
        nets += _data(drive)


def _data(drive: Drive) -> list[int]:
    return [drive.instance.pins[pin] for pin in drive.cell.reads if pin in drive.instance.pins]
