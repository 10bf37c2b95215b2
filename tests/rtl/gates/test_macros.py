"""Memory macros and the laws through them."""

from __future__ import annotations

import pytest

from rtl.gates.liberty import LibertyFile
from rtl.gates.macros import Macro, fit_law, read_macros
from sim.errors import InputError

HEAD = ('library (m) { time_unit : "1ns"; leakage_power_unit : "1nW"; capacitive_load_unit (1, pf);\n'
        "nom_voltage : 1.2; cell (ram) { area : 900; cell_leakage_power : 50;\n")
MEMORY = "memory () { type : ram; address_width : 6; word_width : 32; }\n"


def state(when: str, energy: float) -> str:
    """Return what the clock takes in a state."""
    return (f'internal_power () {{ when : "{when}"; rise_power (scalar) {{ values ({energy}); }} '
            "fall_power (scalar) { values (0.5); } }")


def liberty(body: str) -> LibertyFile:
    """Return a file with one macro."""
    return LibertyFile("m.lib", HEAD + body + "} }")


def test_an_access_is_what_the_clock_takes_in_its_state():
    """A read is the state with only the read enable, a write that with only the write enable; both edges count."""
    states = state("EN & !WEN & REN", 4) + state("EN & WEN & !REN", 6) + state("EN & WEN & REN", 9) + state(
        "!EN & !WEN & REN", 1)
    (macro,) = read_macros([liberty(f"{MEMORY} pin (CLK) {{ direction : input; clock : true; {states} }}")])
    assert macro == Macro("ram", 64, 32, 4500.0, 6500.0, 900.0, 50.0)
    assert macro.kib == 0.25


def test_a_law_is_found_again():
    """Macros that follow a law exactly give its exponents, fixed part and value back."""
    sizes = [(64, 64), (256, 64), (1024, 64), (1024, 16), (4096, 8), (2048, 32)]
    macros = [Macro(f"{words}x{width}", words, width, 0, 0, 0, 0) for words, width in sizes]
    values = [100 + 900 * (one.width / 64) ** 0.5 * (one.kib / 8) ** 0.3 for one in macros]
    law = fit_law(macros, values)
    for macro, value in zip(macros, values, strict=True):
        assert law.of(macro.width, macro.kib) == pytest.approx(value, rel=0.02)
    assert law.width_exponent == pytest.approx(0.5, abs=0.05)
    assert law.exponent == pytest.approx(0.3, abs=0.05)
    assert 0.98 < law.low <= 1.0 <= law.high < 1.02


def test_a_law_needs_enough_macros():
    """Four numbers are not fitted to three memories."""
    macros = [Macro(str(words), words, 8, 1, 1, 1, 1) for words in (64, 128, 256)]
    with pytest.raises(InputError, match=r"^a law of memories needs at least 4 macros, not 3$"):
        fit_law(macros, [1, 2, 3])


def test_files_without_memories_are_refused():
    """A library of gates is no macro."""
    with pytest.raises(InputError, match=r"^m\.lib: no cell is a memory \(has a group 'memory'\)$"):
        read_macros([liberty("")])


def test_memories_that_do_not_say_what_an_access_takes_are_refused():
    """Without energies of reads and writes at its clock a macro cannot be priced."""
    with pytest.raises(InputError, match=r"^m\.lib: memory ram must say at its clock what a read \(with a signal "
                                         r"\.\.\.RE\.\.\.\) and a write \(\.\.\.WE\.\.\.\) take$"):
        read_macros([liberty(MEMORY + "pin (CLK) { direction : input; clock : true; }")])
