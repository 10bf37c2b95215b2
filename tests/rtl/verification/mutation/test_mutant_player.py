"""The player of scripts, on a small design written by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtl.cosim.simulators import VERILATOR
from rtl.verification.mutation.mutant_player import Player, build_player

pytestmark = [pytest.mark.skipif(VERILATOR.missing() is not None, reason=str(VERILATOR.missing())),
              pytest.mark.nightly]

DESIGN = """\
module echo(clk, rst, mutant, in_valid, in_ready, in_data, in_last, out_valid, out_ready, out_data, out_last, busy,
            cycle, taken);
  input clk;
  input rst;
  input [1:0] mutant;
  input in_valid;
  output in_ready;
  input [11:0] in_data;
  input in_last;
  output out_valid;
  input out_ready;
  output [11:0] out_data;
  output out_last;
  output busy;
  output [7:0] cycle;
  output [7:0] taken;
  reg full, last, busy;
  reg [11:0] data;
  reg [7:0] cycle, taken;
  wire loop = mutant == 2'd3 && !loop;
  assign in_ready = busy && !full && mutant != 2'd2;
  assign out_valid = full;
  assign out_data = mutant == 2'd1 ? data ^ 12'h800 : data;
  assign out_last = last ^ loop;
  always @(posedge clk) begin
    busy <= 1;
    cycle <= cycle + 8'd1;
    if (in_valid && in_ready) begin full <= 1; data <= in_data; last <= in_last; end
    if (out_valid && out_ready) begin full <= 0; taken <= taken + 8'd1; end
    if (rst) begin full <= 0; last <= 0; busy <= 0; cycle <= 0; taken <= 0; end
  end
endmodule
"""
BEGIN = """\
set rst 1
step 2
set rst 0
step 1
source in_valid in_ready in_data in_last
sink out_valid out_ready out_data out_last
clock busy cycle
watch taken
"""
ECHO = BEGIN + """\
beat abc 0 0
beat 123 1 1
take abc fff 0
take 1f3 f0f 1
change taken 1 3
change taken 2 5
step 8
quiet
expect out_valid 0 1
"""


@pytest.fixture(scope="module")
def player(tmp_path_factory: pytest.TempPathFactory) -> Player:
    """The player of a design that gives back what it gets; 1 changes a bit, 2 takes nothing, 3 oscillates."""
    return build_player(DESIGN, "echo", tmp_path_factory.mktemp("player"))


@pytest.fixture
def play(player, tmp_path):
    """Why scripts fail, empty if they do not."""

    def run(*texts: str, mutant: int = 0) -> str:
        paths = [tmp_path / f"{number}.txt" for number in range(len(texts))]
        for path, text in zip(paths, texts, strict=True):
            path.write_text(text)
        return player.play(mutant, paths).reason

    return run


def test_what_is_right_passes(play):
    """Beats, masks, ends of packets, changes and their cycles are as the script has them."""
    assert play(ECHO) == ""


@pytest.mark.parametrize(("old", "new", "reason"), [
    ("take abc fff 0", "take abd fff 0", "data"), ("take abc fff 0", "take abc fff 1", "out_last"),
    ("take 1f3 f0f 1\n", "", "a beat too many"), ("take 1f3 f0f 1", "take 1f3 f0f 1\ntake 0 0 0", "beats did not come"),
    ("change taken 2 5", "change taken 2 6", "taken at another time"), ("change taken 2 5\n", "", "taken changed"),
    ("change taken 2 5", "change taken 3 5", "taken"), ("change taken 2 5", "change taken 2 5\nchange taken 3 9",
                                                       "taken did not change"),
    ("beat 123 1 1", "beat 123 1 2", "beats were not taken"), ("expect out_valid 0 1", "expect out_valid 1 1",
                                                               "out_valid is not 1 but 00"),
    ("expect out_valid 0 1", "wait out_valid 1 5", "out_valid did not become 1"),
])
def test_every_difference_is_seen(play, old, new, reason):
    """A script that wants something else fails, with what it wanted."""
    assert play(ECHO.replace(old, new)) == reason


@pytest.mark.parametrize(("mutant", "reason"), [
    (1, "data"), (2, "beats were not taken"), (3, "a loop of logic oscillates")])
def test_mutants_are_found(play, mutant, reason):
    """The port chooses the fault, in whichever script it shows, and a simulator that gives up counts as well."""
    assert play(BEGIN, ECHO, mutant=mutant) == reason


def test_the_memory_gives_and_takes_in_its_slots(play):
    """A beat passes in the memory's slots, both ways; one that waits for a Store comes its latency later."""
    late = ECHO.replace("watch taken", "slots 4 1 3\nwatch taken").replace("step 8", "step 30")
    assert play(late.replace("taken 1 3", "taken 1 8").replace("taken 2 5", "taken 2 17")) == ""
    assert play(late) == "taken at another time"


def test_gaps_cost_time_only(play):
    """With pauses at random the same beats pass."""
    script = ECHO.replace("taken 1 3", "taken 1 -").replace("taken 2 5", "taken 2 -")
    assert play(script.replace("watch taken", "gaps 500 500\nwatch taken").replace("step 8", "step 60")) == ""


def test_what_is_loose_is_not_compared(play):
    """Between `loose 1` and `loose 0` anything may come; what was forgotten is not missed."""
    assert play(ECHO.replace("abc fff", "0 fff").replace("step 8", "loose 1\nstep 8\nloose 0\nforget")) == ""


def test_an_offer_ends_when_it_is_taken(play):
    """`offer` lowers valid after the cycle in which ready is high."""
    offered = ("set rst 1\nstep 2\nset rst 0\nstep 1\nset in_data 77\noffer in_valid in_ready\nstep 1\n"
               "expect in_valid 0 1\nexpect out_data 77 fff\n")
    assert play(offered) == ""
    assert play(offered, mutant=2) == "in_valid is not 0 but 01"


def test_a_simulator_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """A player that goes round in circles is ended by its processor time, so that a busy machine ends no other one."""
    endless = tmp_path / "player"
    endless.write_text("#!/bin/sh\nwhile :; do :; done\n")
    endless.chmod(0o755)
    monkeypatch.setattr("rtl.verification.mutation.mutant_player.SECONDS", 1)
    assert Player(endless).play(1, [tmp_path / "any.txt"]).reason == "the simulator does not end"
