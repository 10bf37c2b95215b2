"""Mutants of a netlist."""

from __future__ import annotations

from fnmatch import fnmatchcase
from itertools import pairwise

import pytest

from rtl.verification.mutation import netlist
from rtl.verification.mutation.netlist import Mutant, mutated_text, sample, unread
from sim.errors import EngineError

DESIGN = """\
module leaf(input clk, input [3:0] a, output reg [3:0] y);
  always @(posedge clk) y <= a + 4'd3;
endmodule
module top(input clk, input [3:0] a, output [3:0] y, output [3:0] z);
  wire [3:0] w;
  leaf one(.clk(clk), .a(a), .y(w));
  leaf two(.clk(clk), .a(w ^ 4'd5), .y(z));
  assign y = w;
endmodule
"""
FAMILIES = {"leaves": ("top.one", "top.two"), "rest": ("top",)}


def test_a_sample_is_spread_and_the_same_again():
    """Half of a family's mutants are from each of its patterns, none twice, none in the clock; a seed fixes them."""
    mutants = sample(DESIGN, "top", FAMILIES, 10, 1)
    assert mutants == sample(DESIGN, "top", FAMILIES, 10, 1)
    assert mutants != sample(DESIGN, "top", FAMILIES, 10, 2)
    leaves = [mutant for mutant in mutants if mutant.family == "leaves"]
    assert (len(mutants), len(leaves)) == (20, 10)
    assert all(a.option("module") != b.option("module") for a, b in pairwise(leaves))
    assert len({mutant.key for mutant in mutants}) == 20
    assert not {mutant.option("port") for mutant in mutants} & {"clk", "CLK"}


def test_every_module_belongs_to_a_family(accelerator):
    """Mutants come from all modules of the accelerator, and no pattern of a family has lost its modules."""
    patterns = [pattern for family in netlist.FAMILIES.values() for pattern in family]
    assert [path for path in accelerator if not any(fnmatchcase(path, pattern) for pattern in patterns)] == []
    assert [pattern for pattern in patterns if not any(fnmatchcase(path, pattern) for path in accelerator)] == []


def test_too_few_mutants_are_an_error():
    """A family that is smaller than the sample is named."""
    with pytest.raises(EngineError, match=r"^family rest has only \d+ of 1000 mutants$"):
        sample(DESIGN, "top", {"rest": ("top",)}, 1000, 1)


def test_all_mutants_stand_behind_one_port():
    """The design with mutants has an input that is wide enough to choose any of them, and copies of shared modules."""
    mutants = sample(DESIGN, "top", FAMILIES, 10, 1)
    text = mutated_text(DESIGN, "top", mutants)
    assert "input [4:0] mutant;" in text
    assert all(f"5'h{number:02x}" in text for number in range(1, 21))
    assert r"module \top.one " in text


def test_a_mutant_knows_its_cell():
    """Options and lines are read from Yosys' command."""
    mutant = Mutant("f", "mutate -mode inv -module m.n -cell $add$design.sv:7$1 -port Y -portbit 3"
                    " -src design.sv:7.2-7.9")
    assert (mutant.option("mode"), mutant.option("port"), mutant.option("wire"), mutant.lines) == ("inv", "Y", "", (7,))


def test_a_wrong_design_is_an_error():
    """What Yosys says comes with it."""
    with pytest.raises(EngineError, match=r"^Yosys could not mutate the design: "):
        mutated_text("module top(; endmodule", "top", [])


def keys(mutants: list[Mutant], *options: str) -> set[str]:
    """Of the mutants whose command has all of these options."""
    return {mutant.key for mutant in mutants if all(f"-{option} " in f"{mutant.command} " for option in options)}


def test_bits_that_nothing_reads_are_known():
    """Of an output that is only used in part, the other bits are unread, and inputs that only get there."""
    design = """\
module leaf(input clk, input s, input [3:0] a, output reg [3:0] y, output [3:0] z);
  always @(posedge clk) y <= s ? a : y;
  assign z = a + 4'd3;
endmodule
module top(input clk, input s, input [3:0] a, output [1:0] y, output [3:0] z);
  wire [3:0] w;
  leaf one(.clk(clk), .s(s), .a(a), .y(w), .z(z));
  assign y = w[1:0];
endmodule
"""
    mutants = sample(design, "top", {"all": ("top.one",)}, 80, 1)
    held = {mutant for mutant in mutants if mutant.option("cell").startswith(("$ternary", "$procdff"))}
    found = unread(design, "top", mutants)
    assert found == {mutant.key for mutant in held
                     if mutant.option("port") != "S" and int(mutant.option("portbit")) > 1}
    assert found


def test_faults_that_a_comparison_hides_are_known():
    """A bit that is inverted only where another bit already makes the comparison fail; not where it may hold."""
    design = """\
module top(input [3:0] a, output y);
  assign y = a == 4'b0101;
endmodule
"""
    cell = sample(design, "top", {"all": ("top",)}, 1, 1)[0].option("cell")
    mutants = [Mutant("f", f"mutate -mode {mode} -module top -cell {cell} -port A -portbit 1 -ctrlbit {bit}")
               for mode in ("cnot0", "cnot1") for bit in (0, 3)]
    assert unread(design, "top", mutants) == {*keys(mutants, "mode cnot0", "ctrlbit 0"),
                                              *keys(mutants, "mode cnot1", "ctrlbit 3")}
