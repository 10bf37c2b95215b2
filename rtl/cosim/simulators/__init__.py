"""Verilog simulators that cocotb drives, and the cache of what they built."""

from rtl.cosim.simulators.builds import cached_build
from rtl.cosim.simulators.engine import Engine, Progress, SimulationError, Window
from rtl.cosim.simulators.icarus import Icarus
from rtl.cosim.simulators.verilator import Verilator
from sim.errors import InputError

__all__ = ["ENGINES", "ICARUS", "VERILATOR", "Engine", "Progress", "SimulationError", "Window", "cached_build",
           "engine_named"]

ICARUS = Icarus()
"""The default: builds at once, knows undefined bits."""
VERILATOR = Verilator()
"""The fast one: compiles the hardware to machine code."""
ENGINES: tuple[Engine, ...] = (ICARUS, VERILATOR)


def engine_named(name: str) -> Engine:
    """Return the engine that a user asked for.

    Raises
    ------
    InputError
        If there is none of that name, or it cannot run here.
    """
    for engine in ENGINES:
        if engine.name == name:
            engine.require()
            return engine
    raise InputError(f"simulator must be {' or '.join(engine.name for engine in ENGINES)}, not {name}")
