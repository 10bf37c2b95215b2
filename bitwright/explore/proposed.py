"""Candidates that Optuna proposes, by what came of those before.

Optuna proposes and learns; it stores nothing. A run that goes on after it was stopped asks the same questions again and
gives the answers that are known, so that its proposals are those of a run that nobody has stopped. Optuna's own storage
would keep the trials, but neither the state of the random numbers nor what was running.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import optuna

from bitwright.explore.candidate import REFUSED, Candidate, Evaluated
from bitwright.explore.legal import LegalMachines
from bitwright.explore.points import Points
from bitwright.explore.space import Search, Space

__all__ = ["Proposed"]

POPULATION = {"nsga2": 50, "tpe": 20}
"""Trials that are asked for before their results are told."""
PATIENCE = 5
"""Generations without a new candidate after which the search ends."""


class Proposed:
    """Candidates of a multi-objective search.

    Parameters
    ----------
    space : Space
    points : Points
    legal : LegalMachines
    """

    def __init__(self, space: Space, points: Points, legal: LegalMachines) -> None:
        self._space, self._points, self._legal = space, points, legal
        self.total = min(space.search.candidates, len(points))
        self._places = {f"{index} {name}": size for index, (name, size) in enumerate(zip(
            (*points.axes, *(network.label for network in space.networks)), points.sizes, strict=True))}
        self._known: dict[int, Evaluated | None] = {}
        """What came of points; None where there is no machine, or nothing has come yet."""
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._study = optuna.create_study(directions=["minimize"] * len(space.wanted), sampler=_sampler(space.search))

    def generations(self) -> Iterator[list[Candidate]]:
        """Yield the candidates of a generation that are new, as long as there are some."""
        found = idle = 0
        while found < self.total and idle < PATIENCE:
            trials = [self._ask() for _ in range(POPULATION[self._space.search.method])]
            new = self._new(dict.fromkeys(number for _, number in trials))[:self.total - found]
            found, idle = found + len(new), 0 if new else idle + 1
            yield new
            for trial, number in trials:
                self._tell(trial, self._known.get(number))
        self.total = found

    def learn(self, results: Sequence[Evaluated]) -> None:
        """Take what came of candidates; Optuna is told when all of their generation are known."""
        self._known |= {one.candidate.number: one for one in results}

    def _ask(self) -> tuple[optuna.Trial, int]:
        """Return a trial, and the number of the point that it proposes."""
        trial = self._study.ask()
        return trial, self._points.number(tuple(
            trial.suggest_int(name, 0, size - 1) for name, size in self._places.items()))

    def _new(self, numbers: Sequence[int] | dict[int, None]) -> list[Candidate]:
        """Return the candidates of points that were not proposed before."""
        found = []
        for number in numbers:
            if number not in self._known:
                self._known[number] = None
                candidate = self._legal.candidate(number, self._points[number])
                found += [candidate] if candidate is not None else []
        return found

    def _tell(self, trial: optuna.Trial, result: Evaluated | None) -> None:
        if result is None or result.status == REFUSED:
            self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
            return
        if self._space.bounds:
            trial.set_constraint("limits", result.excess(self._space.bounds) - 1)
        self._study.tell(trial, result.objectives(self._space.wanted))


def _sampler(search: Search) -> optuna.samplers.BaseSampler:
    if search.method == "nsga2":
        return optuna.samplers.NSGAIISampler(population_size=POPULATION["nsga2"], seed=search.seed)
    return optuna.samplers.TPESampler(seed=search.seed, multivariate=True)
