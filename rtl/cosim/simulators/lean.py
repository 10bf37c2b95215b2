"""Verilator's model of the accelerator compiled with a harness in C++: no cocotb, no look at single signals."""

from __future__ import annotations

import hashlib
import re
import shutil
from math import ceil
from pathlib import Path
from typing import ClassVar

from rtl.cosim.simulators.engine import BUILD_LOG, Engine, Progress
from rtl.cosim.simulators.verilated import call, compile_model, compiler, missing_tool, run_verilator, tool_versions
from rtl.verilog.ram_model import RAM_MODEL

__all__ = ["HARNESS", "Lean"]

HARNESS = "harness"
"""The program, in the folder of a build."""
SOURCES = [Path(__file__).parent.parent / "lean" / name for name in ("harness.cpp", "model.h")]
OPTIONS = ("-cc", "-Mdir", ".", "--prefix", "Vtop", "-O3", "--x-initial", "unique", "--output-split", "20000",
           "-Wno-lint", "-Wno-style", "public.vlt")
PUBLIC = """\
`verilator_config
public_flat_rw -module "bitwright_ram" -var "mem"
"""
WORDS = re.compile(r"VlUnpacked<\w+(?:<\d+>)?/\*(?P<high>\d+):0\*/, (?P<words>\d+)> "
                   r"(?P<name>\w+__DOT__activation_memory__DOT__bank_(?P<bank>\d+)__DOT__region_(?P<region>\d+)"
                   r"__DOT__macro__DOT__mem);")
"""The member that holds a region of an activation bank."""


class Lean(Engine):
    """Verilator, g++ and `rtl/cosim/lean/harness.cpp`.

    Two-valued: registers without a reset and memories start with random bits, the same ones in every run.
    """

    name: ClassVar[str] = "lean"
    title: ClassVar[str] = "the lean engine"

    def missing(self) -> str | None:
        return missing_tool()

    def version(self) -> str:
        sources = "".join(path.read_text() for path in SOURCES)
        return f"{tool_versions()}, harness {hashlib.sha256(sources.encode()).hexdigest()[:8]}"

    def compile(self, source: Path, top: str, progress: Progress) -> None:
        folder = source.parent
        (folder / "public.vlt").write_text(PUBLIC)
        progress("translating to C++")
        if not run_verilator([*OPTIONS, "--top-module", top, str(RAM_MODEL), source.name], folder, folder / BUILD_LOG):
            raise RuntimeError("verilator failed")
        shape = _shape((folder / "Vtop___024root.h").read_text(), source.read_text(), top)
        objects = compile_model(folder, progress)
        progress("linking")
        (folder / "shape.h").write_text(shape)
        for path in SOURCES:
            shutil.copy(path, folder)
        call([*compiler("-O2"), SOURCES[0].name, *objects, "-o", HARNESS], folder)
        for path in folder.iterdir():
            if path.name not in (HARNESS, source.name):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def _shape(root: str, text: str, top: str) -> str:
    """Return what the harness must know of a machine: its memories, and the ports of the top module."""
    memories = list(WORDS.finditer(root))
    module = re.search(rf"^module {re.escape(top)}\b.*?^\);", text, re.M | re.S)
    if not memories or module is None:
        raise RuntimeError("the model has no activation memories or no ports")
    ports = re.findall(r"^  (?:input|output) (?:wire|reg) (?:\[[^\]]*\] )?(\w+)", module[0], re.M)
    beat = re.search(r"\[(\d+):0\] s_axis_tdata", module[0])
    lanes = int(memories[0]["high"]) + 1
    numbers = {"BANKS": 1 + max(int(memory["bank"]) for memory in memories),
               "REGIONS": 1 + max(int(memory["region"]) for memory in memories),
               "REGION_WORDS": int(memories[0]["words"]), "WORD_BYTES": ceil(lanes / 8),
               "LAST_BYTE": 255 >> -lanes % 8, "BEAT_BYTES": (int(beat[1]) + 1 if beat else 1) // 8}
    return "".join([
        "#pragma once\n", *(f"constexpr unsigned {name} = {value};\n" for name, value in numbers.items()),
        "#define PORTS(P) ", *(f"P({name}) " for name in ports if name != "clk"), "\n#define MEMORIES(M) ",
        *(f"M({memory['bank']}, {memory['region']}, {memory['name']}) " for memory in memories), "\n"])
