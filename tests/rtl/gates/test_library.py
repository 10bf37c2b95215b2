"""What the netlist knows of a library's cells."""

from __future__ import annotations

import numpy as np
import pytest

from rtl.gates.boolean_function import truth_table
from rtl.gates.liberty import LibertyFile
from rtl.gates.library import Library
from rtl.gates.library_text import library_text, usable
from sim.errors import InputError


def test_kinds_of_cells(library):
    """Gates, flip-flops and clock gates are told apart by what they hold."""
    assert [library.cell(name).kind for name in library.cells] == ["gate", "gate", "gate", "flip_flop", "clock_gate"]
    assert library.smallest_nand == "NAND"
    assert library.gate_area == 2.0


def test_leakage_is_that_of_the_cell_or_the_mean_of_its_states(library):
    """A cell without a total leaks the mean of its states."""
    assert [library.cell(name).leakage_nw for name in ("INV", "NAND")] == [5.0, 7.0]


def test_ground_pins_are_not_charged_twice(liberty_text):
    """What a library states at its ground pin is the charge of the supply, seen where it leaves."""
    twice = liberty_text.replace('cell (INV) {', 'cell (INV) { pg_pin (VSS) { pg_type : primary_ground; }')
    twice = twice.replace('internal_power () { related_pin : "A"; rise_power (scalar) { values ("3"); }',
                          'internal_power () { related_pg_pin : VSS; rise_power (scalar) { values ("99"); } }\n'
                          'internal_power () { related_pin : "A"; rise_power (scalar) { values ("3"); }', 1)
    output = Library([LibertyFile("t.lib", twice)]).cell("INV").outputs[0]
    assert output.energy.values.tolist() == [[2.0]]


def test_units_are_converted(liberty_text):
    """In ns and pF the same numbers are a thousand times larger."""
    other = liberty_text.replace('time_unit : "1ps"', 'time_unit : "1ns"').replace("(1, ff)", "(1, pf)")
    cell = Library([LibertyFile("t.lib", other)]).cell("INV")
    assert cell.loads == {"A": 2000.0}
    assert cell.outputs[0].arcs["A"].rise.values[0].tolist() == [10000.0, 20000.0]
    assert cell.outputs[0].arcs["A"].rise.loads.tolist() == [0.0, 10000.0]
    assert cell.outputs[0].energy.values.tolist() == [[2000.0]]


@pytest.mark.parametrize(("function", "inputs", "table"), [
    ("A^B", "AB", [0, 1, 1, 0]), ("A'", "A", [1, 0]), ("A B + C", "ABC", [0, 0, 0, 1, 1, 1, 1, 1]),
    ("!(A&B)|C", "ABC", [1, 1, 1, 0, 1, 1, 1, 1]), ("A ^ B C", "ABC", [0, 0, 0, 0, 0, 1, 1, 0]), ("1", "", [1])])
def test_functions(function, inputs, table):
    """Operators bind as Liberty says: inversion, exclusive or, and, or."""
    assert truth_table(function, tuple(inputs)).tolist() == table


@pytest.mark.parametrize("function", ["A +", "A B)", "A $ B", "Q", "("])
def test_what_is_no_function_is_refused(function):
    """Broken text and unknown names are refused."""
    with pytest.raises(InputError, match=r"^'.*' is no function of the cell's inputs$"):
        truth_table(function, ("A", "B"))


def test_the_text_for_abc_says_the_same_of_its_cells(library):
    """Reading the text that abc gets gives the same tables, loads and functions; the clock gate is left out."""
    again = Library([LibertyFile("cells.lib", library_text(library))])
    assert usable(library) == again.cells == ("INV", "NAND", "BUF", "DFF")
    for name in again.cells:
        one, other = library.cell(name), again.cell(name)
        assert (one.area, one.loads, one.reads, one.kind) == (other.area, other.loads, other.reads, other.kind)
        for mine, theirs in zip(one.outputs, other.outputs, strict=True):
            assert mine.table.tolist() == theirs.table.tolist()
            for pin, arc in mine.arcs.items():
                assert np.array_equal(arc.rise.values, theirs.arcs[pin].rise.values)
                assert arc.sense == theirs.arcs[pin].sense


def test_unknown_cells_are_refused(library):
    """A cell that the library lacks is named."""
    with pytest.raises(InputError, match=r"^the library hand has no cell 'XOR'$"):
        library.cell("XOR")


def test_tables_must_be_whole(liberty_text):
    """A table with a value too few is refused with its cell."""
    broken = liberty_text.replace('values ("10, 20", "10, 20")', 'values ("10, 20", "10")', 1)
    with pytest.raises(InputError, match=r"^t\.lib: cell INV: a table cell_rise has 3 values for 2 x 2 points$"):
        Library([LibertyFile("t.lib", broken)]).cell("INV")
