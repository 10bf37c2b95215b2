"""Verilog simulators, and the cache of what they built."""

from rtl.cosim.simulators.builds import cached_build
from rtl.cosim.simulators.engine import CocotbEngine, Engine, Progress, SimulationError, Window
from rtl.cosim.simulators.icarus import Icarus
from rtl.cosim.simulators.lean import Lean
from rtl.cosim.simulators.verilator import Verilator
from sim.errors import InputError

__all__ = ["COCOTB_ENGINES", "ENGINES", "ICARUS", "LEAN", "VERILATOR", "CocotbEngine", "Engine", "Progress",
           "SimulationError", "Window", "cached_build", "engine_named"]

ICARUS = Icarus()
"""The default: builds at once, knows undefined bits."""
VERILATOR = Verilator()
"""The fast one: compiles the hardware to machine code."""
LEAN = Lean()
"""The one for whole networks: no cocotb, a harness of the whole machine only."""
COCOTB_ENGINES: tuple[CocotbEngine, ...] = (ICARUS, VERILATOR)
ENGINES: tuple[Engine, ...] = (*COCOTB_ENGINES, LEAN)


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
    names = ", ".join(engine.name for engine in ENGINES[:-1])
    raise InputError(f"simulator must be {names} or {ENGINES[-1].name}, not {name}")
