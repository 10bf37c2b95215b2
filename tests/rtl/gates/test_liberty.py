"""The reader of Liberty files."""

from __future__ import annotations

import gzip
import re

import pytest

from rtl.gates.liberty import LibertyFile, read_liberty
from rtl.gates.library import Library
from sim.errors import InputError


def test_attributes_and_groups_are_read_at_every_depth(liberty_text):
    """Names, numbers, lists and groups inside groups come out as they stand in the file."""
    file = LibertyFile("hand.lib", liberty_text)
    assert file.cells == ("INV", "NAND", "BUF", "DFF", "ICG")
    assert file.header.values["capacitive_load_unit"] == ("1", "ff")
    assert file.header.number("nom_voltage") == 1.0
    pin = list(file.cell("INV").all("pin"))[1]
    assert pin.arguments == ("Y",)
    assert pin.text("function") == "!A"
    (table,) = next(pin.all("timing")).all("cell_rise")
    assert table.numbers("values") == (10.0, 20.0, 10.0, 20.0)


def test_a_value_without_semicolon_ends_with_its_line():
    """Memory macros leave semicolons out; the next attribute is then not swallowed."""
    file = LibertyFile("m.lib", 'library (m) { cell (a) { when : "x" \n area : 3\n } }')
    assert file.cell("a").text("when") == "x"
    assert file.cell("a").number("area") == 3.0


def test_comments_and_strings_may_hold_braces():
    """A brace in a comment or a string is no group, and neither is the word cell in a cell."""
    file = LibertyFile("m.lib", 'library (m) { /* { */ note : "}"; cell (a) { area : 3; cell (inner) { } } }')
    assert file.cells == ("a",)
    assert file.cell("a").number("area") == 3.0


def test_compressed_files_are_read(tmp_path, liberty_text):
    """A file that ends in .gz holds the same library as the plain one."""
    (tmp_path / "hand.lib").write_text(liberty_text)
    (tmp_path / "hand.lib.gz").write_bytes(gzip.compress(liberty_text.encode()))
    plain, packed = (read_liberty(tmp_path / name) for name in ("hand.lib", "hand.lib.gz"))
    assert plain.digest == packed.digest
    assert packed.cells == plain.cells


@pytest.mark.parametrize(("text", "reason"), [
    ("module x; endmodule", "a Liberty file must begin with 'library ('"),
    ("", "a Liberty file must begin with 'library ('"),
    ("library (m) { cell (a) { area : 3;", "the file is not whole: 2 groups do not end"),
    ("library (m) { } }", "the file is not whole: it ends 1 groups too many"),
    ("library (m) { cell () { } }", "a cell has no name in line 1"),
])
def test_what_is_no_whole_library_is_refused(text, reason):
    """Other files and truncated ones are refused with the reason."""
    with pytest.raises(InputError, match=rf"^m\.lib: {re.escape(reason)}$"):
        LibertyFile("m.lib", text)


def test_truncated_gzip_is_refused(tmp_path, liberty_text):
    """A compressed file that ends early is refused, not read in part."""
    path = tmp_path / "hand.lib.gz"
    path.write_bytes(gzip.compress(liberty_text.encode())[:200])
    with pytest.raises(InputError, match=r"^.*hand\.lib\.gz: cannot be read: .*end-of-stream.*$"):
        read_liberty(path)


def test_missing_unit_is_refused():
    """Without the unit of capacitances no energy has a meaning."""
    with pytest.raises(InputError, match=r"^m\.lib: capacitive_load_unit must be a number and a unit, not ''$"):
        Library([LibertyFile("m.lib", "library (m) { time_unit : 1ns; nom_voltage : 1; }")])


def test_files_of_one_library_have_the_same_units(liberty_text):
    """A file in other units, or at another voltage, cannot be added."""
    other = liberty_text.replace("nom_voltage : 1.0", "nom_voltage : 1.2")
    with pytest.raises(InputError, match=r"^b\.lib: units and voltage must be those of a\.lib$"):
        Library([LibertyFile("a.lib", liberty_text), LibertyFile("b.lib", other)])


def test_nesting_is_bounded():
    """Groups that lie deeper than any library has them are refused, not read until the stack ends."""
    deep = "library (m) { cell (a) " + "{ g () " * 30 + "{ }" + "}" * 30 + " }"
    with pytest.raises(InputError, match=r"^m\.lib: groups must lie at most 20 deep$"):
        LibertyFile("m.lib", deep).cell("a")
