"""Random machines, each with random Programs, on the RTL and in the simulator.

Machines reach both ends of every range (`sim.testing.stimulus.machines.RANGES`), Programs what plain random ones never
reach (`sim.testing.coverage.extremes`). Everything follows from the seed; what is done is kept in a file, and a
campaign that was stopped goes on there. It is meant for those who change the hardware.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bitwright.campaign.batch import Pair, run_batch
from bitwright.campaign.report import Failure, Share
from bitwright.cli.console import steps
from bitwright.codesign.random_cases import keep
from bitwright.farm.job import Job, job
from bitwright.farm.outcome import Outcome
from bitwright.farm.run import run
from bitwright.farm.stand import Stand
from bitwright.farm.store import Store
from bitwright.farm.workers import Workers
from rtl.cosim.simulators import ICARUS, VERILATOR, Engine
from sim.arch.machine import Machine
from sim.errors import EngineError
from sim.testing.stimulus.cases import redraw
from sim.testing.stimulus.machines import campaign_machine

__all__ = ["RESULTS", "SEED", "Campaign", "jobs_of", "machine_of", "run_campaign"]

SEED = 10
"""Reaches both ends of every range with 60 machines."""
EVERY = 6
"""One of this many machines is wide and runs in Verilator; the others run in Icarus Verilog."""
ELEMENTS, WIDE_ELEMENTS, SMALL_ELEMENTS = 1024, 8192, 128
"""Largest product of rows, columns and lanes of a machine; the last where Programs are plain."""
CYCLES, WIDE_CYCLES, SMALL_CYCLES = 12_000, 100_000, 4_000
"""Largest number of cycles of a Program."""
BATCH, SMALL_BATCH = 6, 50
"""Programs that run in one simulation."""
RESULTS = "results.sqlite"
SECONDS = 10.0
"""Between two lines about how far the campaign has come."""


@dataclass(frozen=True)
class Campaign:
    """What a campaign runs.

    Attributes
    ----------
    seed : int
    machines, pairs : int
        Pairs of a machine and a Program, spread evenly over the machines.
    layers : int or None
        With a number, machines are small and Programs plain, of at most so many layers.
    """

    seed: int = SEED
    machines: int = 60
    pairs: int = 1000
    layers: int | None = None

    def pairs_of(self, index: int) -> int:
        """Return how many Programs run on a machine."""
        return self.pairs // self.machines + (index < self.pairs % self.machines)

    @property
    def has_wide(self) -> bool:
        """Whether wide machines, which run in Verilator, are among them."""
        return self.layers is None and self.machines >= EVERY

    @property
    def batch(self) -> int:
        """Programs that run in one simulation."""
        return BATCH if self.layers is None else SMALL_BATCH

    @property
    def batches(self) -> int:
        """Simulations of the whole campaign."""
        return sum(-(-self.pairs_of(index) // self.batch) for index in range(self.machines))


def machine_of(campaign: Campaign, index: int) -> tuple[Machine, Engine]:
    """Return machine `index` of a campaign and the simulator that runs it."""
    wide = campaign.layers is None and index % EVERY == EVERY - 1
    elements = SMALL_ELEMENTS if campaign.layers is not None else WIDE_ELEMENTS if wide else ELEMENTS
    machine = campaign_machine(np.random.default_rng((campaign.seed, index)), elements, wide)
    return (machine.model_copy(update={"name": f"campaign-{campaign.seed}-{index}"}),
            VERILATOR if wide else ICARUS)


def jobs_of(campaign: Campaign) -> Iterator[Job]:
    """Yield the simulations of a campaign, the machines in turn, so that any first part of it reaches all of them."""
    for first in range(0, campaign.pairs_of(0), campaign.batch):
        for index in range(campaign.machines):
            last = min(first + campaign.batch, campaign.pairs_of(index))
            if first < last:
                machine, engine = machine_of(campaign, index)
                most = SMALL_CYCLES if campaign.layers is not None else CYCLES if engine is ICARUS else WIDE_CYCLES
                yield job(run_batch, machine=machine.model_dump(mode="json"), engine=engine.name,
                          seed=[campaign.seed, index], first=first, last=last, most_cycles=most,
                          layers=campaign.layers)


def run_campaign(campaign: Campaign, folder: Path, workers: Workers, until: float = float("inf")) -> list[Share]:
    """Run what is not done yet, and return the shares of all simulations that are done.

    Parameters
    ----------
    campaign : Campaign
    folder : Path
        Holds what is done, and the cases that differ.
    workers : Workers
    until : float
        Time after which no simulation begins [s since the epoch].

    Raises
    ------
    InputError
        If a simulator is missing, or the folder cannot be used.
    EngineError
        If a simulation could not be made.
    """
    shares, stands = list[Share](), deque[Stand](maxlen=1)
    with Store(folder / RESULTS) as store, steps("campaign", campaign.batches, SECONDS) as progress:
        for outcome in run(jobs_of(campaign), store, workers, total=campaign.batches, until=until,
                           watch=stands.append):
            if outcome.failure:
                raise EngineError(outcome.failure)
            shares.append(_share(outcome, folder))
            wrong = sum(len(share.failures) for share in shares)
            progress.done(f"{sum(len(share.pairs) for share in shares):,} of {campaign.pairs:,} Programs"
                          + "".join(f"; {stand}" for stand in stands) + (f"; {wrong} DIFFER" if wrong else ""))
    return shares


def _share(outcome: Outcome, folder: Path) -> Share:
    """Return what a simulation has found, and keep the cases that differ."""
    given, value = outcome.job.parameters, outcome.value
    pairs = [Pair(**pair) for pair in value["pairs"]]
    failures = [_kept(pair, Machine.model_validate(given["machine"]), given["engine"], folder) for pair in pairs
                if pair.found]
    return Share(given["machine"], given["engine"], pairs, failures, value["coverage"], outcome.seconds,
                 value["cpu_seconds"])


def _kept(pair: Pair, machine: Machine, engine: str, folder: Path) -> Failure:
    """Keep the simplest case that differs, and return what differs with the command that repeats it."""
    drawn = redraw(pair.decisions, machine, **pair.options or {})
    assert drawn is not None, "what was drawn can be drawn again"
    place = keep(drawn[0], pair.found, folder / "failures")
    return Failure(tuple(pair.found), f"bitwright verify {place / 'program.safetensors'} -m {place / 'machine.yaml'} "
                   f"-i {place / 'inputs.npz'} --simulator {engine}")
