"""Files for boards."""

from __future__ import annotations

import subprocess

import pytest

from rtl.board.export import BOARDS, write_board
from rtl.verilog.ram_model import RAM_MODEL
from sim.arch.machine import load_machine


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_the_top_module_has_the_boards_pins(board, tmp_path):
    """All modules but the machine itself are there; each port has a place, and each place is a port's."""
    written = write_board(load_machine("tiny"), board, tmp_path)
    sources = [path.name for path in written if path.suffix == ".sv"]
    done = subprocess.run(["iverilog", "-g2012", "-t", "null", "-s", board.name, str(RAM_MODEL), *sources],
                          cwd=tmp_path, capture_output=True, text=True, check=False)
    unknown = {line.split("type: ")[1] for line in done.stderr.splitlines() if "Unknown module type" in line}
    assert unknown == {"bitwright"}
    ports = {"clk_25mhz", "ftdi_txd", "ftdi_rxd", "wifi_gpio0", *(f"led[{index}]" for index in range(8))}
    lines = (tmp_path / f"{board.name}.lpf").read_text().splitlines()
    assert {line.split('"')[1] for line in lines if line.startswith("LOCATE")} == ports
    assert board.clock_hz % board.baud == 0
