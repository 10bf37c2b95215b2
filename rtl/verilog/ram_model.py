"""The simulation model of the memory macro that `rtl.core.memory.sram.Sram` instantiates."""

from __future__ import annotations

from pathlib import Path

__all__ = ["RAM_MODEL"]

RAM_MODEL = Path(__file__).parent / "bitwright_ram.sv"
"""Every tool that reads the accelerator's Verilog needs it."""
