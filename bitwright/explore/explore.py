"""Explore a space: evaluate its candidates, keep what came of them, and find those that nothing is better than."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

from bitwright.explore.candidate import REFUSED, WITHIN, Candidate, Evaluated
from bitwright.explore.evaluate import evaluate
from bitwright.explore.finalist_files import write_finalist
from bitwright.explore.finalists import Finalist, chosen, finalist_jobs
from bitwright.explore.front import pareto_front
from bitwright.explore.legal import Dropped, Groups, LegalMachines
from bitwright.explore.networks import base_machine, network_data, technology_of
from bitwright.explore.points import Points
from bitwright.explore.search import Search, all_of, some_of
from bitwright.explore.space import Space, load_space
from bitwright.explore.tables import RESULTS, Tables
from bitwright.farm.job import Job, job
from bitwright.farm.run import run
from bitwright.farm.stand import Stand
from bitwright.farm.store import Store
from bitwright.farm.workers import Workers
from sim.arch.machine import Machine
from sim.energy.technology import Technology
from sim.errors import EngineError, InputError
from sim.io.yaml_model import built_in

__all__ = ["Exploration", "explore"]

BATCH = 20
"""Candidates that one job evaluates."""

Watch = Callable[[Stand, int], None]
"""Gets how far it has come, and how many candidates are within the limits."""


@dataclass(frozen=True)
class Exploration:
    """What came of a space.

    Attributes
    ----------
    space : Space
    technology : Technology
    machine : Machine
        The base.
    points : int
        Combinations of parameters and of ways to choose bits.
    dropped : tuple of Dropped
        Those that are no machines, by rule, the most frequent first.
    evaluated, within : int
        Candidates, and of these those within the limits.
    refused : tuple of (str, int)
        Why candidates were refused, the first sentence of each kind and how many there are.
    front : tuple of Evaluated
        Those within the limits that no other one is better than in all objectives.
    finalists : tuple of Finalist
        Some candidates of the front, simulated: one for each network.
    nearest : Evaluated or None
        The candidate that exceeds its limits by the least share; None if all were refused.
    """

    space: Space
    technology: Technology
    machine: Machine
    points: int
    dropped: tuple[Dropped, ...]
    evaluated: int
    within: int
    refused: tuple[tuple[str, int], ...]
    front: tuple[Evaluated, ...]
    finalists: tuple[Finalist, ...]
    nearest: Evaluated | None


def explore(path: Path, out: Path, workers: Workers, watch: Watch = lambda stand, within: None) -> Exploration:
    """Explore the space of a file.

    What a former run has evaluated is not evaluated again, so that a run that was killed goes on.

    Parameters
    ----------
    path : Path
        A space; files that it names are looked for beside it.
    out : Path
        Folder for results; `RESULTS` in it holds them all.
    workers : Workers
        What evaluates candidates; the result does not depend on it.
    watch : callable
        Gets the progress.

    Raises
    ------
    InputError
        If the space is wrong, has no legal machine, or the folder cannot be used.
    EngineError
        If a candidate could not be evaluated.
    """
    space, text = load_space(path)
    machine = base_machine(space, path.parent)
    technology = technology_of(space, machine, path.parent)
    if "area_mm2" in {figure.name for figure in (*space.bounds, *space.wanted)} and not technology.ART:
        raise InputError(f"technology '{technology.name}' has no areas, so that area_mm2 can be neither limit nor "
                         "objective")
    networks = [network_data(network, machine, path.parent) for network in space.networks]
    points, legal = Points(space), LegalMachines(space, machine)
    search = _search(space, points, legal)
    given = {"networks": networks, "technology": technology.model_dump(mode="json", exclude_defaults=True)}
    with Store(out / RESULTS) as store, Tables(out / RESULTS, space) as tables:
        tables.begin({"version": version("bitwright"), "space": text, "method": space.search.method,
                      "seed": space.search.seed, "machine": machine.name, "technology": technology.name,
                      "limits": {str(figure): limit for figure, limit in space.bounds.items()},
                      "objectives": [str(figure) for figure in space.wanted], "points": len(points)})
        found = _Evaluation(space, given, store, workers, tables, search, watch)
        found.run()
        dropped = sorted(legal.dropped.values(), key=lambda one: -one.machines)
        finalists = _simulated(found, space, given, path.parent, out)
        for one in chosen(found.front, space.finalists):
            write_finalist(one, space, _technology_name(space, machine, path.parent), out)
        tables.end(dropped, found.front, finalists, found.within)
    if not found.evaluated:
        raise InputError(f"none of the {len(points):,} points has a legal machine: {dropped[0].machines:,} are "
                         f"dropped by '{dropped[0].example}'")
    return Exploration(space, technology, machine, len(points), tuple(dropped), found.evaluated, found.within,
                       tuple(found.refused.items()), tuple(found.front), tuple(finalists), found.nearest)


def _search(space: Space, points: Points, legal: LegalMachines) -> Search:
    wanted = space.search
    if wanted.method == "exhaustive":
        return all_of(points, legal)
    if wanted.method == "random":
        return some_of(points, legal, wanted.candidates, wanted.seed)
    if find_spec("optuna") is None:
        raise InputError(f"search method {wanted.method} needs the package optuna, which is not installed: pip install "
                         "'bitwright[explore]'")
    from bitwright.explore.proposed import Proposed

    return Proposed(space, points, legal)


def _technology_name(space: Space, machine: Machine, folder: Path) -> str:
    """Return how a machine in any folder names the technology."""
    named = space.technology
    if named is None:
        return machine.technology
    return named if named in built_in("energy/technologies") else str((folder / named).resolve())


def _simulated(found: _Evaluation, space: Space, given: Mapping[str, Any], folder: Path,
               out: Path) -> list[Finalist]:
    """Simulate finalists, on the same workers."""
    places = [(one, place) for one in chosen(found.front, space.finalists) for place in range(len(space.networks))]
    jobs = [job for one in chosen(found.front, space.finalists)
            for job in finalist_jobs(one, space, given["networks"], given["technology"], folder, out)]
    simulated, started = list[Finalist](), time.monotonic()
    for (one, place), outcome in zip(places, run(jobs, found.store, found.workers), strict=True):
        if outcome.failure:
            raise InputError(f"candidate {one.candidate.number} could not be simulated: {outcome.failure}")
        choice = given["networks"][place]["choices"][one.candidate.point.choices[place]]
        simulated.append(Finalist.of(one, space.networks[place], choice, outcome.value, space))
        found.watch(Stand(len(simulated), 0, 0, len(jobs), time.monotonic() - started, "finalists"), found.within)
    return simulated


@dataclass
class _Evaluation:
    """Evaluates candidates in batches, each of which is a job, writes what comes of them, and keeps the front."""

    space: Space
    given: dict[str, Any]
    store: Store
    workers: Workers
    tables: Tables
    search: Search
    watch: Watch
    front: list[Evaluated] = field(default_factory=list)
    nearest: Evaluated | None = None
    refused: Groups = field(default_factory=Groups)
    evaluated: int = 0
    within: int = 0
    before: int = 0
    """Candidates that a former run has evaluated."""
    started: float = field(default_factory=time.monotonic)

    def run(self) -> None:
        """Evaluate all candidates of the search."""
        for generation in self.search.generations():
            drawn = deque[list[Candidate]]()
            for outcome in run(self._jobs(generation, drawn), self.store, self.workers):
                if outcome.failure:
                    raise EngineError(f"candidates could not be evaluated: {outcome.failure}")
                self._take([Evaluated.of(candidate, result, self.space)
                            for candidate, result in zip(drawn.popleft(), outcome.value, strict=True)])

    def _jobs(self, generation: Iterable[Candidate], drawn: deque[list[Candidate]]) -> Iterator[Job]:
        """Yield a job for each batch, and keep the batch until it is done."""
        candidates = iter(generation)
        while batch := [*islice(candidates, BATCH)]:
            described = job(evaluate, **self.given, candidates=[
                {"machine": candidate.machine.model_dump(mode="json"), "choices": candidate.point.choices}
                for candidate in batch])
            self.before += len(batch) if self.store.has(described) else 0
            drawn.append(batch)
            yield described

    def _take(self, results: Sequence[Evaluated]) -> None:
        self.tables.add(results)
        self.search.learn(results)
        self.evaluated += len(results)
        bounds = self.space.bounds
        for one in results:
            if one.status == REFUSED:
                self.refused.add(one.reason)
            elif self.nearest is None or one.excess(bounds) < self.nearest.excess(bounds):
                self.nearest = one
        within = [one for one in results if one.status == WITHIN]
        self.within += len(within)
        best = [*self.front, *within]
        self.front = [best[index] for index in pareto_front([one.objectives(self.space.wanted) for one in best])]
        self.watch(Stand(self.evaluated, min(self.before, self.evaluated), 0, self.search.total,
                         time.monotonic() - self.started, "candidates"), self.within)
