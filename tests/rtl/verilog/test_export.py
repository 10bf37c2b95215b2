"""The Verilog that users get."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from rtl.core.control.counter_names import COUNTERS
from rtl.cosim.simulators import VERILATOR
from rtl.cosim.simulators.verilated import run_verilator
from rtl.encoding.geometry import Geometry
from rtl.verilog.emit import TOP
from rtl.verilog.export import FILE_LIST, WAIVERS, generate
from rtl.verilog.smoke_test import TESTBENCH
from sim.arch.machine import Machine, load_machine
from sim.errors import InputError
from sim.testing import random_machine

NIGHTLY = pytest.mark.nightly


@pytest.fixture(scope="module")
def folder(small_machine, tmp_path_factory):
    """The files of a small machine."""
    place = tmp_path_factory.mktemp("verilog") / "out"
    generate(small_machine, place)
    return place


def text_of(folder: Path) -> str:
    return "".join((folder / name).read_text() for name in (folder / FILE_LIST).read_text().split())


def ports(folder: Path, module: str) -> dict[str, str]:
    """Return the comment of each port of a module, empty if it has none."""
    head = (folder / f"{module}.sv").read_text().partition(f"module {module}(\n")[2].partition("\n);\n")[0]
    found = re.findall(r"((?:^  // .*\n)*)^  (?:input|output) .*?(\w+),?$", head, re.M)
    return {name: comment for comment, name in found}


def lint(folder: Path) -> str:
    """What Verilator says with -Wall and the waivers."""
    if reason := VERILATOR.missing():
        pytest.skip(reason)
    log = folder / "lint.log"
    clean = run_verilator(["--lint-only", "-Wall", "--quiet", "--top-module", TOP, WAIVERS.name, "-f", FILE_LIST],
                          folder, log)
    assert clean == (not re.search("%(Warning|Error)", log.read_text()))
    return "" if clean else log.read_text()


def test_the_file_list_compiles(small_machine, folder):
    """Every module has a file of its name, and the list of them compiles."""
    listed = (folder / FILE_LIST).read_text().split()
    assert sorted([*listed, TESTBENCH.name]) == sorted(path.name for path in folder.glob("*.sv"))
    assert all(f"module {name.removesuffix('.sv')}" in (folder / name).read_text() for name in listed)
    subprocess.run(["iverilog", "-g2012", "-s", TOP, "-o", "out.vvp", "-f", FILE_LIST], cwd=folder,
                   capture_output=True, check=True)


def test_facts_and_registers_come_along(small_machine, folder):
    """The JSON beside it tells the fields of every word; the registers are there for people and for tools."""
    facts = json.loads((folder / f"{TOP}.json").read_text())
    assert facts["counters"] == list(COUNTERS)
    assert facts["machine"]["lanes"] == small_machine.lanes
    assert sum(width for _, width in facts["descriptor"].values()) == Geometry(small_machine).descriptor.size
    assert (folder / "registers.md").read_text().startswith("# Registers")
    assert "addrmap bitwright" in (folder / "registers.rdl").read_text()


def test_the_ports_are_those_of_the_buses(folder):
    """The top module's ports are named as in the documents."""
    names = set(ports(folder, TOP))
    assert {"clk", "rst", "irq", "s_axis_tdata", "m_axis_tlast", "s_axil_awaddr"} <= names
    assert all(re.fullmatch(r"[a-z]\w*", name) for name in names)


@pytest.mark.parametrize("depthwise_lanes", [0, 4])
def test_modules_and_ports_say_what_they_are(depthwise_lanes, tmp_path):
    """Each module starts with a sentence and each port has a comment, on `tiny` with and without depthwise lanes."""
    generate(Machine(**load_machine("tiny").model_dump() | {"depthwise_lanes": depthwise_lanes}), tmp_path)
    modules = [Path(name).stem for name in (tmp_path / FILE_LIST).read_text().split()]
    assert ("bitwright_core_depthwise_unit" in modules) == bool(depthwise_lanes)
    for module in modules:
        assert re.search(r"^// \S.*\n(?://.*\n)*module", (tmp_path / f"{module}.sv").read_text(), re.M), module
    found = {f"{module}.{port}": comment for module in modules for port, comment in ports(tmp_path, module).items()}
    assert len(found) > 800
    assert [port for port, comment in found.items() if not comment] == []


def test_ports_are_called_after_the_members_that_they_are(folder):
    """A port has the name that its component gives it, not that of what is connected to it outside."""
    core = ports(folder, "bitwright_core")
    assert {"counter_number", "illegal_found", "violation_found", "compute_table_data"} <= set(core)
    assert {"write_data_0", "write_data_1", "write_data_2"} <= set(ports(folder, "bitwright_core_activation_memory"))


def test_a_port_of_many_signals_says_which_bits_they_are(folder):
    """The position of a tap is one port, called after its interface."""
    comment = " ".join(ports(folder, "bitwright_core_tap_agu")["position"].replace("//", " ").split())
    assert comment.startswith("position_column [15:0]: of the current tap: map column of the tap at output pixel 0; ")


def test_names_are_plain(folder):
    """No name is escaped, none holds a number by which Amaranth told it apart, and no attribute is left over."""
    text = text_of(folder)
    assert "\\" not in text
    assert not re.search(r"replaced|\bport_\d|comment =|fields =", text)


def test_fields_are_read_by_name(folder):
    """A component reads the descriptor's fields through wires of their names."""
    agu = (folder / "bitwright_core_output_packer_agu.sv").read_text()
    assert re.search(r"wire \[\d+:0\] descriptor_row_tiles = descriptor\[\d+:\d+\];", agu)
    assert "row_tile == descriptor_row_tiles" in agu


def test_combinational_logic_is_continuous(folder):
    """Blocks would wake one another without end in Icarus Verilog."""
    assert not re.search(r"always_comb|always @\*", text_of(folder))


def test_the_reset_does_without_initial_values(folder):
    """No register is given a value where it is declared: a chip could not do that."""
    assert not re.search(r"^ *(reg|logic)\b[^;]*=", text_of(folder), re.M)


def test_built_in_machines_are_free_of_lint(tmp_path):
    """Nothing beyond the waivers, on `tiny`."""
    generate(load_machine("tiny"), tmp_path)
    assert lint(tmp_path) == ""


@NIGHTLY
@pytest.mark.parametrize("name", ["edge", "large"])
def test_large_machines_are_free_of_lint(name, tmp_path):
    """Nothing beyond the waivers, on the machines that are built."""
    generate(load_machine(name), tmp_path)
    assert lint(tmp_path) == ""


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=NIGHTLY) for seed in range(2, 20))])
def test_random_machines_are_free_of_lint(seed, tmp_path):
    """Nothing beyond the waivers, whatever the parameters."""
    machine = random_machine(np.random.default_rng(seed))
    generate(machine, tmp_path)
    assert lint(tmp_path) == "", machine


def test_lint_would_be_found(folder, tmp_path):
    """A sum that is cut off without saying so is not waived."""
    for path in folder.iterdir():
        (tmp_path / path.name).write_text(path.read_text())
    guard = tmp_path / "bitwright_stream_guard.sv"
    fault = "wire [3:0] sum;\nassign sum = 5'h1f + 5'h01;\nendmodule"
    guard.write_text(guard.read_text().replace("endmodule", fault))
    assert "WIDTHTRUNC" in lint(tmp_path)


def test_a_folder_that_cannot_be_made_is_refused(small_machine, tmp_path):
    """A file where the folder should be is the user's mistake, with the path in the message."""
    (tmp_path / "out").write_text("")
    message = f"cannot create the folder {tmp_path / 'out'}: File exists"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        generate(small_machine, tmp_path / "out")
