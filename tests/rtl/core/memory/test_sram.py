"""The memory model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from rtl.core.memory.sram import Sram
from rtl.verification.formal.yosys import run_yosys
from rtl.verilog.ram_model import RAM_MODEL
from sim.arch.machine import load_machine


@pytest.mark.parametrize("transparent", [False, True])
def test_ram_equals_a_list_of_words(run_unit, transparent):
    """Masked writes, reads, write-first or read-first, and a held output behave like a list of words."""
    run_unit(Sram(12, 5, granule=4, transparent=transparent), "sram_bench", BITWRIGHT_TRANSPARENT=str(int(transparent)))


def cells(folder: Path, script: str, width: int, depth: int, granule: int) -> dict[str, int]:
    """How many cells of each type Yosys makes of a memory."""
    shutil.copy(RAM_MODEL, folder)
    run_yosys(f"read_verilog -sv {RAM_MODEL.name}; chparam -set WIDTH {width} -set DEPTH {depth} "
              f"-set GRANULE {granule} bitwright_ram; {script} -top bitwright_ram; "
              "tee -q -o cells.json stat -json", folder)
    counted: dict[str, int] = json.loads((folder / "cells.json").read_text())["design"]["num_cells_by_type"]
    return counted


EDGE = load_machine("edge")
REGION = EDGE.lanes, EDGE.region_words, EDGE.rows
"""A region of the activation memory: 2048 words of 64 bits, written in granules of 16."""


def test_activation_memory_is_block_ram(tmp_path):
    """On an ECP5, 128 Kibit in granules are eight blocks of 18 Kbit; none of it becomes distributed memory."""
    found = cells(tmp_path, "synth_ecp5", *REGION)
    assert found["DP16KD"] == 8
    assert "TRELLIS_DPR16X4" not in found
    assert found["LUT4"] <= 100


def test_weight_memory_is_block_ram(tmp_path):
    """The two weight slots of a row of `edge` are ten blocks, 2304 words being a little more than eight hold."""
    found = cells(tmp_path, "synth_ecp5 -run begin:map_gates", EDGE.lanes, 2 * EDGE.weight_words, EDGE.lanes)
    assert (found["DP16KD"], found.get("TRELLIS_DPR16X4", 0)) == (10, 0)


@pytest.mark.parametrize(("script", "cell", "count"), [
    ("synth_ice40 -run begin:map_ffram", "SB_RAM40_4K", 32),
    pytest.param("synth_xilinx -run begin:map_ffram", "RAMB36E1", 4, marks=pytest.mark.nightly)])
def test_other_families_have_blocks_too(tmp_path, script, cell, count):
    """As many blocks as 128 Kibit need: 32 of 4 Kibit, or 4 of 36 Kbit."""
    found = cells(tmp_path, script, *REGION)
    assert {name: number for name, number in found.items() if "RAM" in name or "$mem" in name} == {cell: count}
