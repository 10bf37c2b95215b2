"""`python -m bitwright.campaign`: random machines, each with random Programs, on the RTL and in the simulator.

Machines reach both ends of every range (`sim.testing.stimulus.machines.RANGES`), Programs what plain random ones never
reach (`sim.testing.coverage.extremes`). Everything follows from the seed; what is done is kept in a folder, and a
campaign that was stopped goes on there. It is meant for those who change the hardware.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from bitwright.campaign.report import campaign_report
from bitwright.campaign.state import MachineState, PairState, load_state, save_state
from bitwright.cli.console import message, show
from bitwright.codesign.random_cases import compared, keep_simplest
from rtl.cosim.simulators import ICARUS, VERILATOR, Engine
from sim.arch.machine import Machine
from sim.errors import EngineError, InputError
from sim.testing.coverage.bins import GROUPS
from sim.testing.coverage.coverage import Coverage
from sim.testing.coverage.extremes import Drawn, draw_pair, extents_of
from sim.testing.stimulus.machines import campaign_machine

__all__ = ["Campaign", "machine_of", "main", "run_campaign", "run_machine"]

SEED = 10
"""Reaches both ends of every range with 60 machines."""
EVERY = 6
"""One of this many machines is wide and runs in Verilator; the others run in Icarus Verilog."""
ELEMENTS, WIDE_ELEMENTS = 1024, 8192
"""Largest product of rows, columns and lanes of a machine."""
CYCLES, WIDE_CYCLES = 12_000, 100_000
"""Largest number of cycles of a Program."""
BATCH = 6
"""Programs that run in one simulation."""


@dataclass(frozen=True)
class Campaign:
    """What a campaign runs.

    Attributes
    ----------
    folder : Path
        Holds what is done.
    seed : int
    machines, pairs : int
        Pairs of a machine and a Program, spread evenly over the machines.
    until : float
        Time after which no simulation begins [s since the epoch].
    """

    folder: Path
    seed: int = SEED
    machines: int = 60
    pairs: int = 1000
    until: float = float("inf")

    def pairs_of(self, index: int) -> int:
        """Return how many Programs run on a machine."""
        return self.pairs // self.machines + (index < self.pairs % self.machines)


def machine_of(seed: int, index: int) -> tuple[Machine, Engine]:
    """Return machine `index` of a campaign and the simulator that runs it."""
    wide = index % EVERY == EVERY - 1
    machine = campaign_machine(np.random.default_rng((seed, index)), WIDE_ELEMENTS if wide else ELEMENTS, wide)
    return machine.model_copy(update={"name": f"campaign-{seed}-{index}"}), VERILATOR if wide else ICARUS


def run_machine(campaign: Campaign, index: int) -> MachineState:
    """Run the pairs of a machine that are not done yet in batches, and write what is done after each batch."""
    machine, engine = machine_of(campaign.seed, index)
    place = campaign.folder / f"seed{campaign.seed}-machine{index:03}.json"
    state = load_state(place, machine, engine.name)
    coverage = Coverage(GROUPS)
    coverage.add_counts(state.coverage)
    while len(state.pairs) < campaign.pairs_of(index) and time.time() < campaign.until:
        started, cpu = time.perf_counter(), _cpu_seconds()
        numbers = range(len(state.pairs), min(len(state.pairs) + BATCH, campaign.pairs_of(index)))
        done = tuple(_run_batch(campaign, index, numbers, coverage))
        state = replace(state, pairs=state.pairs + done, coverage=coverage.counts,
                        seconds=state.seconds + time.perf_counter() - started,
                        cpu_seconds=state.cpu_seconds + _cpu_seconds() - cpu)
        save_state(place, state)
    return state


def _cpu_seconds() -> float:
    """Return the processor time of this process and of those that it has waited for [s]."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _run_batch(campaign: Campaign, index: int, numbers: range, coverage: Coverage) -> Iterator[PairState]:
    """Draw some pairs of a machine and run them in one simulation."""
    machine, engine = machine_of(campaign.seed, index)
    most = CYCLES if engine is ICARUS else WIDE_CYCLES
    drawn = [draw_pair(np.random.default_rng((campaign.seed, index, number)), machine, number, most)
             for number in numbers]
    for number, pair, found in zip(numbers, drawn, compared([case for case, _, _ in drawn], engine), strict=True):
        case, _, _ = pair
        kept = _keep(campaign.folder, machine, engine, pair) if found else ""
        if not found:
            coverage.add(coverage.bins_of(case.plan, case.codes))
        yield PairState(number, case.plan.timeline.total, extents_of(case), found, kept)


def _keep(folder: Path, machine: Machine, engine: Engine, pair: Drawn) -> str:
    """Keep the simplest case that fails, and return the command that repeats it."""
    _, decisions, options = pair
    _, place = keep_simplest(decisions, machine, engine, folder / "failures", message, **options)
    return (f"bitwright verify {place / 'program.safetensors'} -m {place / 'machine.yaml'} -i {place / 'inputs.npz'} "
            f"--simulator {engine.name}")


def run_campaign(campaign: Campaign, workers: int) -> list[MachineState]:
    """Run a campaign on so many processes, and return the state of every machine that was begun.

    Raises
    ------
    InputError
        If a simulator is missing.
    """
    for engine in {machine_of(campaign.seed, index)[1] for index in range(campaign.machines)}:
        engine.require()
    campaign.folder.mkdir(parents=True, exist_ok=True)
    states: list[MachineState] = []

    def done(state: MachineState) -> None:
        states.append(state)
        wrong = sum(bool(pair.found) for pair in state.pairs)
        message(f"{len(states)} of {campaign.machines} machines: {state.machine['name']}, {len(state.pairs)} Programs, "
                f"{state.engine}, {state.seconds:.0f} s, {state.cpu_seconds:.0f} of processors"
                + (f", {wrong} DIFFER" if wrong else ""))

    if workers == 1:
        for index in range(campaign.machines):
            done(run_machine(campaign, index))
        return states
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        futures = [pool.submit(run_machine, campaign, index) for index in range(campaign.machines)]
        try:
            for future in as_completed(futures):
                done(future.result())
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return states


def main(argv: list[str] | None = None) -> int:
    """Run a campaign and return the exit status, which is 1 if a pair differs."""
    parser = argparse.ArgumentParser(prog="python -m bitwright.campaign", description=__doc__)
    parser.add_argument("--machines", type=int, default=60)
    parser.add_argument("--pairs", type=int, default=1000, help="pairs of a machine and a Program, over all machines")
    parser.add_argument("--minutes", type=float, help="begin no simulation after this time; the next run does the rest")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="processes")
    parser.add_argument("--out", type=Path, default=Path("campaign-out"),
                        help="folder of what is done, from which the next run goes on")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(argv)
    if min(given.machines, given.pairs, given.jobs) < 1 or given.seed < 0:
        parser.error("machines, pairs and jobs must be at least 1, the seed at least 0")
    until = time.time() + 60 * given.minutes if given.minutes is not None else float("inf")
    campaign = Campaign(given.out, given.seed, given.machines, given.pairs, until)
    try:
        states = run_campaign(campaign, given.jobs)
    except (InputError, EngineError, OSError) as error:
        message(f"campaign: {error}")
        return 1
    report, equal = campaign_report(states, campaign.pairs)
    show(report, given.json)
    return 0 if equal else 1

