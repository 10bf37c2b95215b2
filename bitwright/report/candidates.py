"""Runs as candidates of a comparison: estimates that were written, the networks of a demo, a quantized network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from bitwright.codesign.comparison import Candidate
from bitwright.codesign.costs import estimate
from bitwright.report.of_provenance import machine_of
from bitwright.report.read_run import read_run
from bitwright.report.runs import DemoRun, EstimateRun, NetworkRun
from sim.arch.machine import Machine
from sim.cost.estimate import Estimate
from sim.energy.model import energy
from sim.energy.technology import Technology, builtin_technologies, load_technology
from sim.errors import InputError
from sim.io.bounds import shown_path
from sim.ir.serialize import load_program

__all__ = ["candidates_of"]

PROGRAM = "program.safetensors"


def candidates_of(source: Path, targets: Mapping[str, tuple[Machine, Technology]]) -> Iterator[Candidate]:
    """Yield what a run has of estimates; the Program of a quantized network is estimated on each of `targets`.

    Raises
    ------
    InputError
        If the run cannot be read, or there is nothing in it that has a cost.
    """
    run, provenance = read_run(source)
    match run:
        case EstimateRun():
            for bits, cost in run.choices.items():
                name = f"{source.stem} {bits}" if len(run.choices) > 1 else source.stem
                yield _written(name, cost, run.machine, run.machine_name, run.prices.technology)
        case DemoRun():
            for network, cost in run.programs.items():
                accuracy = {"test": run.accuracy[network]} if network in run.accuracy else {}
                yield _written(f"{source.name} {network}", cost, machine_of(provenance), run.machine, "", accuracy)
        case NetworkRun() if (source / PROGRAM).is_file():
            program = load_program(source / PROGRAM)
            for target, (machine, technology) in targets.items():
                name = f"{source.name} {target}" if len(targets) > 1 else source.name
                yield Candidate(name, machine, technology, estimate(program, machine, technology=technology),
                                accuracy=run.accuracy)
        case _:
            raise InputError(f"run '{shown_path(source)}' has no costs to compare; those of estimate, of demo and of a "
                             "quantized network have")


def _written(name: str, cost: Estimate, machine: Machine | None, machine_name: str, technology: str,
             accuracy: dict[str, float] | None = None) -> Candidate:
    """Return a candidate of a run; its technology is known if the prices of today make the energy of then."""
    technology = technology or ("" if machine is None else machine.technology)
    priced = load_technology(technology) if machine and technology in builtin_technologies() else None
    if machine and priced and energy(cost.events, machine, priced).nominal_pj != cost.energy.nominal_pj:
        priced = None
    return Candidate(name, machine, priced, cost, machine_name, technology, accuracy or {})
