"""A cell library as Yosys and abc get it: the cells that they may take, with what they read of them.

Of a library of 40 MB that is a hundredth, which matters since abc reads it once for every module.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from rtl.gates.grid import Grid
from rtl.gates.library import Arc, Cell, Library, Output

__all__ = ["MOST_INPUTS", "library_text", "usable"]

MOST_INPUTS = 6
"""Of a cell that abc takes."""
SENSES = {1: "positive_unate", -1: "negative_unate", 0: "non_unate"}
TABLES = (("cell_rise", "rise"), ("cell_fall", "fall"), ("rise_transition", "rise_slew"),
          ("fall_transition", "fall_slew"))


def usable(library: Library) -> tuple[str, ...]:
    """Return the gates and flip-flops of one output that a mapped netlist may have; none for scan chains."""
    return tuple(name for name in library.cells if _is_usable(library, name))


def library_text(library: Library) -> str:
    """Return the usable cells as a Liberty file, in ps and fF."""
    cells = [library.cell(name) for name in usable(library)]
    return "\n".join([
        "library (cells) {", "  delay_model : table_lookup;", '  time_unit : "1ps";', '  voltage_unit : "1V";',
        '  current_unit : "1mA";', '  leakage_power_unit : "1nW";', "  capacitive_load_unit (1, ff);",
        f"  nom_voltage : {library.voltage_v:g};",
        *(line for shape in sorted(_shapes(cells)) for line in _template(*shape)),
        *(line for cell in cells for line in _cell(library, cell)), "}", ""])


def _shapes(cells: Iterable[Cell]) -> set[tuple[int, int]]:
    grids = [getattr(arc, field) for cell in cells for output in cell.outputs for arc in output.arcs.values()
             for _, field in TABLES]
    return {grid.values.shape for grid in grids if grid is not None}


def _name(slews: int, loads: int) -> str:
    return f"delays_{slews}x{loads}"


def _template(slews: int, loads: int) -> Iterator[str]:
    """Yield a template, whose axes only say how many points tables have."""
    yield f"  lu_table_template ({_name(slews, loads)}) {{"
    yield "    variable_1 : input_net_transition; variable_2 : total_output_net_capacitance;"
    yield f'    index_1 ("{_numbers(np.arange(1, slews + 1))}"); index_2 ("{_numbers(np.arange(1, loads + 1))}");'
    yield "  }"


def _is_usable(library: Library, name: str) -> bool:
    text = library.text_of(name)
    if re.search(r'\bdont_use\s*:\s*"?true', text) or re.search(r"\btest_cell\s*\(", text):
        return False
    if len(re.findall(r"\bfunction\s*:", text)) != 1:
        return False
    cell = library.cell(name)
    return cell.kind in ("gate", "flip_flop") and 0 < len(cell.loads) <= MOST_INPUTS and len(cell.outputs) == 1


def _cell(library: Library, cell: Cell) -> Iterator[str]:
    yield f"  cell ({cell.name}) {{"
    yield f"    area : {cell.area:g};"
    for ff in library.group(cell.name).all("ff"):
        yield f"    ff ({', '.join(ff.arguments)}) {{"
        yield from (f'      {name} : "{value[0]}";' for name, value in ff.values.items())
        yield "    }"
    for pin, load in cell.loads.items():
        clock = " clock : true;" if pin == cell.clock else ""
        yield f"    pin ({pin}) {{ direction : input; capacitance : {load:g};{clock} }}"
    for output in cell.outputs:
        yield from _output(library, cell, output)
    yield "  }"


def _output(library: Library, cell: Cell, output: Output) -> Iterator[str]:
    pin = next(pin for pin in library.group(cell.name).all("pin") if pin.arguments[:1] == (output.pin,))
    most = pin.number("max_capacitance") * library.load_unit
    yield f"    pin ({output.pin}) {{"
    yield f'      direction : output; function : "{pin.text("function")}";'
    if most:
        yield f"      max_capacitance : {most:g};"
    for related, arc in output.arcs.items():
        yield from _arc(related, arc, cell.kind)
    yield "    }"


def _arc(related: str, arc: Arc, kind: str) -> Iterator[str]:
    timing = "rising_edge" if kind == "flip_flop" else "combinational"
    yield f'      timing () {{ related_pin : "{related}"; timing_sense : {SENSES[arc.sense]}; timing_type : {timing};'
    for name, field in TABLES:
        grid: Grid | None = getattr(arc, field)
        if grid is not None:
            yield f"        {name} ({_name(*grid.values.shape)}) {{"
            yield f'          index_1 ("{_numbers(grid.slews)}"); index_2 ("{_numbers(grid.loads)}");'
            yield f"          values ({', '.join(chr(34) + _numbers(row) + chr(34) for row in grid.values)});"
            yield "        }"
    yield "      }"


def _numbers(values: NDArray[np.float64] | NDArray[np.int64]) -> str:
    return ", ".join(f"{value:.6g}" for value in values)
