"""Save files for viewers of waveforms: the signals that make one code, and markers at its cycles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rtl.encoding.geometry import Geometry
from sim.arch.machine import Machine
from sim.hardware.dimensions import PLANE_BITS
from sim.inspect.machine_place import MachinePlace
from sim.ir.formats import MAX_PLANES
from sim.ir.ops import Op, Pool, Store

__all__ = ["MARGIN", "gtkwave_file", "signals_of", "surfer_file", "window_of"]

MARGIN = 4
"""Cycles that a window has before and after those of its code."""
TOP, CYCLE_BITS = "bitwright", 40

Group = tuple[str, list[tuple[str, int]]]
"""A title, and signals with their bits."""


def window_of(place: MachinePlace) -> tuple[int, int]:
    """Return the first and the last cycle in which something happens to a code."""
    spans = [span for span in (place.computed, place.requantized, place.written) if span is not None]
    return max(0, min(first for first, _ in spans) - MARGIN), max(last for _, last in spans) + MARGIN


def signals_of(op: Op, place: MachinePlace, machine: Machine) -> list[Group]:
    """Return titles and signals of the hardware, each with its bits, in the order of the pipeline."""
    core, column, lanes = f"{TOP}.core", place.column, machine.lanes
    found: list[Group] = [("cycle", [(f"{TOP}.clk", 1), (f"{TOP}.trace_cycle", CYCLE_BITS)])]
    if place.row is not None and place.unit is not None:
        element, unit = f"{core}.pe_array.element_{place.row}_{column}", f"{core}.requantizer_{place.unit}_{column}"
        bits = {"w": lanes, "a": lanes, "count": 1, "add": 1, "accumulate": 1, "acc": machine.acc_bits}
        ports = {"execute": 1, "acc": machine.acc_bits, "residual": MAX_PLANES + 1, "code": Geometry(machine).code_bits}
        found += [(f"element of row {place.row}, column {column}", _signals(element, bits)),
                  (f"requantizer {place.unit} of column {column}", _signals(unit, ports))]
    elif isinstance(op, Pool):
        bits = {"take": 1, "word": lanes, "plane": PLANE_BITS, "maximum": lanes}
        found.append((f"comparator of column {column}", _signals(f"{core}.max_pool.column_{column}", bits)))
    else:
        stream = "m_axis" if isinstance(op, Store) else "s_axis"
        bits = {"tvalid": 1, "tready": 1, "tdata": machine.stream_bits, "tlast": 1}
        found.append(("stream", [(f"{TOP}.{stream}_{name}", width) for name, width in bits.items()]))
    region, word = divmod(place.address, machine.region_words)
    address = max(1, (machine.region_words - 1).bit_length())
    ports = {"wen": 1, "waddr": address, "wdata": lanes, "ren": 1, "raddr": address, "rdata": lanes}
    found.append((f"word {word} of region {region} in bank {place.bank}",
                  _signals(f"{core}.activation_memory.bank_{place.bank}.region_{region}", ports)))
    return found


def _signals(where: str, bits: Mapping[str, int]) -> list[tuple[str, int]]:
    return [(f"{where}.{name}", width) for name, width in bits.items()]


def gtkwave_file(waves: str, groups: Sequence[Group]) -> str:
    """Return a save file of GTKWave that opens `waves` and shows signals in groups, in hexadecimal numbers."""
    lines = [f'[dumpfile] "{waves}"', "[timestart] 0", "[sst_expanded] 1"]
    for title, signals in groups:
        lines += ["@200", f"-{title}", "@22"]
        lines += [name if width == 1 else f"{name}[{width - 1}:0]" for name, width in signals]
    return "\n".join(lines) + "\n"


def surfer_file(waves: str, groups: Sequence[Group]) -> str:
    """Return a command file of Surfer that opens `waves` and shows signals in groups."""
    lines = [f"load_file {waves}"]
    for title, signals in groups:
        lines += [f"divider_add {title}", *(f"variable_add {name}" for name, _ in signals)]
    return "\n".join([*lines, "zoom_fit"]) + "\n"
