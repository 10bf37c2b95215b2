"""A cell library written by hand: four cells with round numbers, in ps and fF at 1 V, so that energies are in fJ."""

from __future__ import annotations

import pytest

from rtl.gates.liberty import LibertyFile
from rtl.gates.library import Library

HEAD = """
library (hand) { /* cells of our own */
  delay_model : table_lookup; time_unit : "1ps"; voltage_unit : "1V"; leakage_power_unit : "1nW";
  capacitive_load_unit (1, ff); nom_voltage : 1.0; nom_temperature : 25;
  lu_table_template (by_load) { variable_1 : input_net_transition; variable_2 : total_output_net_capacitance;
    index_1 ("0, 100"); index_2 ("0, 10"); }
"""
ARC = """timing () {{ related_pin : "{pin}"; timing_sense : {sense}; timing_type : {kind};
  cell_rise (by_load) {{ values ("{d}, {e}", "{d}, {e}"); }} cell_fall (by_load) {{ values ("{d}, {e}", "{d}, {e}"); }}
  rise_transition (by_load) {{ values ("4, 4", "4, 4"); }} fall_transition (by_load) {{ values ("4, 4", "4, 4"); }} }}
"""


def arc(pin: str, sense: str, delay: int, kind: str = "combinational") -> str:
    """Return an arc that takes `delay` ps, and 1 ps more for each fF of load."""
    return ARC.format(pin=pin, sense=sense, kind=kind, d=delay, e=delay + 10)


def power(rise: float, fall: float, related: str = "") -> str:
    """Return an internal power that no slew or load changes."""
    pin = f'related_pin : "{related}"; ' if related else ""
    return (f'internal_power () {{ {pin}rise_power (scalar) {{ values ("{rise}"); }} '
            f'fall_power (scalar) {{ values ("{fall}"); }} }}')


CELLS = f"""
cell (INV) {{ area : 1; cell_leakage_power : 5;
  pin (A) {{ direction : input; capacitance : 2; }}
  pin (Y) {{ direction : output; function : "!A"; {arc("A", "negative_unate", 10)} {power(3, 1, "A")} }} }}
cell (NAND) {{ area : 2; leakage_power () {{ value : 6; when : "A"; }} leakage_power () {{ value : 8; when : "!A"; }}
  pin (A) {{ direction : input; capacitance : 3; }} pin (B) {{ direction : input; capacitance : 5; }}
  pin (Y) {{ direction : output; function : "(A B)'"; {arc("A", "negative_unate", 20)}
    {arc("B", "negative_unate", 30)} {power(4, 4, "A")} {power(6, 6, "B")} }} }}
cell (BUF) {{ area : 2; cell_leakage_power : 5; pin (A) {{ direction : input; capacitance : 2; }}
  pin (Y) {{ direction : output; function : "A"; {arc("A", "positive_unate", 15)} }} }}
cell (DFF) {{ area : 8; cell_leakage_power : 9; ff (IQ, IQN) {{ clocked_on : CK; next_state : D; }}
  pin (CK) {{ direction : input; clock : true; capacitance : 1; {power(2, 3)} }}
  pin (D) {{ direction : input; capacitance : 2; {power(1, 1)}
    timing () {{ related_pin : CK; timing_type : setup_rising; rise_constraint (scalar) {{ values ("7"); }} }} }}
  pin (Q) {{ direction : output; function : IQ; {arc("CK", "non_unate", 40, "rising_edge")} {power(10, 10, "CK")} }} }}
cell (ICG) {{ area : 6; clock_gating_integrated_cell : latch_posedge; cell_leakage_power : 4;
  pin (CK) {{ direction : input; clock : true; clock_gate_clock_pin : true; capacitance : 1; {power(2, 2)} }}
  pin (E) {{ direction : input; clock_gate_enable_pin : true; capacitance : 2; }}
  pin (G) {{ direction : output; clock_gate_out_pin : true; {arc("CK", "positive_unate", 12)} {power(5, 5, "CK")} }} }}
}}
"""


@pytest.fixture
def liberty_text() -> str:
    """Return the library's text."""
    return HEAD + CELLS


@pytest.fixture
def library(liberty_text) -> Library:
    """Return the library."""
    return Library([LibertyFile("hand.lib", liberty_text)])
