"""The longest path to each block of the accelerator, by static timing."""

from __future__ import annotations

import numpy as np

from rtl.gates.circuit import Circuit, Drive
from rtl.gates.components import blocks
from rtl.gates.delays import Delays, Path

__all__ = ["longest_paths"]


def longest_paths(circuit: Circuit, delays: Delays) -> dict[str, Path]:
    """Return the longest path that ends in a register or clock gate of each block, setup included."""
    of, arrival, slews = blocks(circuit), delays.arrival_ps, delays.slew_ps
    worst: dict[str, tuple[float, int, Drive]] = {}
    for drive in (*circuit.flip_flops, *circuit.gaters):
        block = str(of[drive.index])
        for pin in drive.cell.reads:
            net = drive.instance.pins.get(pin, 0)
            setup = drive.cell.setup
            needed = 0.0 if setup is None else float(
                setup.on(np.array([delays.clock_slew_ps]), np.array([slews[net]]))[0, 0])
            late = float(arrival[net]) + needed
            if late > worst.get(block, (-1.0, 0, drive))[0]:
                worst[block] = (late, net, drive)
    names = _names(circuit)
    found = {block: Path(late, names.get(delays.start_of(net), "an input"), _end(drive))
             for block, (late, net, drive) in worst.items()}
    return {str(name): found.get(str(name), Path(0.0, "nothing", "nothing")) for name in np.unique(of)}


def _end(drive: Drive) -> str:
    return ".".join((*drive.instance.path, drive.instance.signals.get(drive.output.pin, drive.instance.cell)))


def _names(circuit: Circuit) -> dict[int, str]:
    """Return what registers and memories are called, by the net that they drive."""
    found = {drive.instance.pins[drive.output.pin]: _end(drive) for drive in circuit.flip_flops}
    for memory in circuit.netlist.memories:
        found |= dict.fromkeys(memory.ports["rdata"], ".".join(memory.path))
    return found
