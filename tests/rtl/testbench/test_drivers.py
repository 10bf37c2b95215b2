"""Drivers, monitors and memories of `rtl.testbench` in a simulator, on hardware that is not ours."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rtl.cosim.simulators import ICARUS, SimulationError

HARDWARE = """
module unit #(parameter BROKEN = 0) (
    input clk, input rst,
    input s_axis_tvalid, output s_axis_tready, input [15:0] s_axis_tdata, input s_axis_tlast,
    output m_axis_tvalid, input m_axis_tready, output reg [15:0] m_axis_tdata, output reg m_axis_tlast,
    input [2:0] address_a, input read_a, input write_a, input [7:0] write_data_a, input [1:0] mask_a,
    input [7:0] read_data_a, input ready_a, input answered_a,
    input [2:0] address_b, input read_b, input [7:0] read_data_b);
  reg full, tired;
  assign s_axis_tready = !full || m_axis_tvalid && m_axis_tready;
  assign m_axis_tvalid = full && !(BROKEN && tired);
  always @(posedge clk) begin
    tired <= full && !m_axis_tready && !tired;
    if (rst) full <= 0;
    else if (s_axis_tready) full <= s_axis_tvalid;
    if (s_axis_tready) {m_axis_tlast, m_axis_tdata} <= {s_axis_tlast, s_axis_tdata};
  end
endmodule
"""
"""A register stage, which withdraws its offer in every second cycle if it is broken, and wires to a memory."""


def run(folder: Path, text: str, **environment: str) -> None:
    place = ICARUS.build(text, "unit", folder / "build")
    (folder / "run").mkdir()
    ICARUS.run_bench(place, "unit", "rtl.verification.benches.testbench_bench", folder / "run", environment)


@pytest.mark.parametrize("trusting", ["0", "1"])
def test_streams_and_memories_do_what_they_say(tmp_path: Path, trusting: str) -> None:
    """Words pass under all patterns of gaps, at full rate without; memories answer as a dictionary does.

    So they do whether cocotb writes at once or defers writes to the end of a time step.
    """
    run(tmp_path, HARDWARE, COCOTB_TRUST_INERTIAL_WRITES=trusting)


def test_withdrawn_offers_are_found(tmp_path: Path) -> None:
    """A monitor sees that hardware takes back what it has offered, although no word is lost."""
    with pytest.raises(SimulationError, match=re.escape("m_axis_tvalid: what was offered was not kept")):
        run(tmp_path, HARDWARE.replace("BROKEN = 0", "BROKEN = 1"),
            COCOTB_TEST_FILTER="words_pass_in_order/into=0/out=1")
