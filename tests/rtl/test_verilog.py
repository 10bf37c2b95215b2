"""The Verilog that users get."""

from __future__ import annotations

import json
import re
import subprocess

import pytest

from rtl.accelerator import Accelerator
from rtl.counters import COUNTERS
from rtl.geometry import Geometry
from rtl.pool import PoolColumn
from rtl.verilog import TOP, generate, verilog_text
from sim.errors import InputError


@pytest.fixture(scope="module")
def files(small_machine, tmp_path_factory):
    """The files of a small machine."""
    return generate(small_machine, tmp_path_factory.mktemp("verilog") / "out")


def test_generated_files_compile(small_machine, files):
    """The file list compiles, and the JSON beside it tells the fields of every word."""
    assert [file.name for file in files] == ["bitwright.sv", "bitwright_ram.sv", "bitwright.f", "bitwright.json"]
    subprocess.run(["iverilog", "-g2012", "-s", "bitwright", "-o", "out.vvp", "-f", "bitwright.f"],
                   cwd=files[0].parent, capture_output=True, check=True)
    facts = json.loads(files[-1].read_text())
    assert facts["counters"] == list(COUNTERS)
    assert facts["machine"]["lanes"] == small_machine.lanes
    assert sum(width for _, width in facts["descriptor"].values()) == Geometry(small_machine).descriptor.size


def test_generation_is_repeatable(small_machine, files):
    """The same machine gives the same bytes."""
    assert verilog_text(Accelerator(Geometry(small_machine)), TOP) == files[0].read_text()


def test_verilog_has_no_combinational_blocks(files):
    """Combinational logic is continuous assignment: blocks would wake one another without end in Icarus."""
    text = files[0].read_text()
    assert "always_comb" not in text
    assert "always @*" not in text


def test_a_folder_that_cannot_be_made_is_refused(small_machine, tmp_path):
    """A file where the folder should be is the user's mistake, with the path in the message."""
    (tmp_path / "out").write_text("")
    message = f"cannot create the folder {tmp_path / 'out'}: File exists"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        generate(small_machine, tmp_path / "out")


def test_a_failing_yosys_is_reported(monkeypatch):
    """What Yosys says comes with the error."""
    monkeypatch.setattr("rtl.verilog.YOSYS_SCRIPT", "nonsense\n")
    with pytest.raises(RuntimeError, match=r"^Yosys could not write the Verilog of unit: .*nonsense"):
        verilog_text(PoolColumn(4), "unit")
