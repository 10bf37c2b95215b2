"""Icarus Verilog: interprets, so that it builds at once; four-valued, so that undefined bits show."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import ClassVar

import cocotb_tools.config

from rtl.cosim.simulators.engine import BUILD_LOG, CocotbEngine, Progress, Window
from rtl.cosim.simulators.environment import tool_environment
from rtl.verilog.ram_model import RAM_MODEL

__all__ = ["Icarus"]

WAVES = """\
module bitwright_waves;
    string path;
    initial if ($value$plusargs("bitwright_waves=%s", path)) begin
        $dumpfile(path);
        $dumpvars(0, {top});
    end
endmodule
"""
"""A second top module, which does nothing unless it is told a file."""
WINDOWED_WAVES = """\
module bitwright_waves;
    string path;
    integer first, last;
    bit windowed, begun;
    initial if ($value$plusargs("bitwright_waves=%s", path)) begin
        $dumpfile(path);
        windowed = $value$plusargs("bitwright_first=%d", first) && $value$plusargs("bitwright_last=%d", last);
        if (!windowed) $dumpvars(0, {top});
    end
    always @(negedge {top}.clk) if (windowed && {top}.trace_busy) begin
        if (!begun && {top}.trace_cycle >= first) begin
            begun = 1;
            $dumpvars(0, {top});
        end else if (begun && {top}.trace_cycle == first) $dumpon;
        if (begun && {top}.trace_cycle == last + 1) $dumpoff;
    end
endmodule
"""
"""The same for the accelerator, which has cycles."""


class Icarus(CocotbEngine):
    """The command `iverilog` and its run time `vvp`."""

    name: ClassVar[str] = "icarus"
    title: ClassVar[str] = "Icarus Verilog"

    def missing(self) -> str | None:
        if shutil.which("iverilog") and shutil.which("vvp"):
            return None
        return "Icarus Verilog (iverilog) was not found; install it with 'apt-get install iverilog'"

    def version(self) -> str:
        return f"{_version()}, waveforms of windows"

    def compile(self, source: Path, top: str, progress: Progress) -> None:
        folder = source.parent
        waves = WINDOWED_WAVES if "trace_cycle" in source.read_text() else WAVES
        (folder / "waves.sv").write_text(waves.format(top=top))
        (folder / "options.f").write_text("+timescale+1ns/1ps\n")
        command = ["iverilog", "-g2012", "-o", "sim.vvp", "-s", top, "-s", "bitwright_waves", "-f", "options.f",
                   str(RAM_MODEL), source.name, "waves.sv"]
        with (folder / BUILD_LOG).open("w") as log:
            done = subprocess.run(command, cwd=folder, env=tool_environment(), stdout=log, stderr=subprocess.STDOUT,
                                  check=False)
        if done.returncode:
            raise RuntimeError("iverilog failed")

    def command(self, place: Path, top: str) -> list[str]:
        return ["vvp", "-m", cocotb_tools.config.lib_entry("vpi", self.name), str(place / "sim.vvp")]

    def wave_arguments(self, waves: str, window: Window | None) -> tuple[str, ...]:
        cycles = () if window is None else (f"+bitwright_first={window[0]}", f"+bitwright_last={window[1]}")
        return f"+bitwright_waves={waves}", *cycles, "-fst"


@cache
def _version() -> str:
    return subprocess.run(["iverilog", "-V"], capture_output=True, text=True, check=True).stdout.partition("\n")[0]
