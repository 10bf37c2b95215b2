"""Planned Programs on the RTL: the simulator, the number of processes, and waveforms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bitwright.codesign.cycle_count import CycleCount
from rtl.cosim.run import RtlResult, build_machine, run
from rtl.cosim.simulators import ICARUS, Engine, engine_named
from rtl.cosim.simulators.choice import choose
from rtl.verilog.cache import machine_text
from rtl.verilog.emit import TOP
from sim.errors import InputError
from sim.plan.plan import Plan

__all__ = ["AUTO", "DEFAULTS", "RtlOptions", "chosen_engine", "run_on_rtl"]

AUTO = "auto"


@dataclass(frozen=True)
class RtlOptions:
    """How to run on the RTL.

    Attributes
    ----------
    simulator : str
        An engine's name; `AUTO`: the one that will be done first.
    jobs : int
        Processes that share the images.
    waves : Path or None
        Where to write all signals as FST: in Icarus Verilog, on one process.
    divergence : Path or None
        Folder for what is found out about a difference.
    """

    simulator: str = AUTO
    jobs: int = 1
    waves: Path | None = None
    divergence: Path | None = None

    def __post_init__(self) -> None:
        if self.jobs < 1:
            raise InputError(f"jobs must be at least 1, not {self.jobs}")


DEFAULTS = RtlOptions()


def chosen_engine(plan: Plan, images: int, options: RtlOptions) -> Engine:
    """Return the simulator to use for this many images.

    Raises
    ------
    InputError
        If a simulator is unknown, or an option does not go with the others.
    """
    if options.waves and options.jobs > 1:
        raise InputError(f"waveforms come from one process, not {options.jobs}")
    if options.simulator != AUTO:
        return engine_named(options.simulator)
    if options.waves:
        return ICARUS
    return choose(plan.machine, machine_text(plan.machine), TOP, images * plan.timeline.total)


def run_on_rtl(engine: Engine, plan: Plan, inputs: Mapping[str, NDArray[np.integer]], options: RtlOptions,
               note: Callable[[str], None]) -> RtlResult:
    """Run images on the RTL, and tell `note` what is being done.

    Raises
    ------
    InputError
        If the simulator is not installed, it cannot write waveforms, or the inputs do not fit.
    SimulationError
        If the simulation fails.
    """
    note(f"building for {engine.title}")
    place = build_machine(plan.machine, engine, note)
    note(f"RTL in {engine.title}")
    images = max((len(codes) for codes in inputs.values()), default=0)
    count = CycleCount(images * plan.timeline.total, lambda text: note(f"RTL in {engine.title}: {text}"))
    return run(plan, inputs, jobs=options.jobs, engine=engine, place=place, waves=options.waves, report=count)
