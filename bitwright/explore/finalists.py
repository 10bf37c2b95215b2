"""Finalists of an exploration: their Programs, simulated, against every limit and budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bitwright.explore.candidate import Evaluated
from bitwright.explore.digest import digest_of
from bitwright.explore.figures import FLOORS, Bands
from bitwright.explore.finalist_files import finalist_folder, plain_name
from bitwright.explore.simulate import simulate
from bitwright.explore.space import NetworkSpace, Space
from bitwright.farm.job import Job, job

__all__ = ["Check", "Finalist", "chosen", "finalist_jobs"]


@dataclass(frozen=True)
class Check:
    """A limit of the space, or a budget that bits were allocated under, and what the simulation says.

    Attributes
    ----------
    name : str
    bound : float
    value : float
    holds : bool
    """

    name: str
    bound: float
    value: float
    holds: bool

    def __str__(self) -> str:
        kept = "at least" if self.name in FLOORS else "at most"
        return f"{self.name} {self.value:.6g}, {'' if self.holds else 'not '}{kept} {self.bound:.6g}"


@dataclass(frozen=True)
class Finalist:
    """One network of a candidate, simulated.

    Attributes
    ----------
    candidate : int
    network : str
    quantized : bool
        Whether the Program is that of the trained network, not one of its shapes with all digits of the machine.
    figures : dict of str to bands
    accuracy : float or None
        Of the integer Program on the test images, in 0..1; None if there are none.
    checks : tuple of Check
    """

    candidate: int
    network: str
    quantized: bool
    figures: Bands
    accuracy: float | None
    checks: tuple[Check, ...]

    @classmethod
    def of(cls, one: Evaluated, network: NetworkSpace, choice: Mapping[str, Any], result: Mapping[str, Any],
           space: Space) -> Finalist:
        """Read what `simulate` returned."""
        bands = result["figures"] | one.machine
        values = [(str(figure), limit, figure.of(bands), figure.breaks) for figure, limit in space.bounds.items()]
        checks = [Check(name, limit, value, not breaks(value, limit)) for name, limit, value, breaks in values
                  if value is not None]
        for name, limit in choice.get("budgets", {}).items():
            if name in result["costs"]:
                cost = result["costs"][name]
                checks.append(Check(name, limit, cost, cost >= limit if name in FLOORS else cost <= limit))
        return cls(one.candidate.number, network.label, network.weights is not None, result["figures"],
                   result["accuracy"], tuple(checks))


def chosen(front: Sequence[Evaluated], count: int) -> list[Evaluated]:
    """Return so many candidates of a front, both ends and evenly between them.

    Examples
    --------
    >>> chosen("abcdefg", 3)
    ['a', 'd', 'g']
    """
    if count >= len(front):
        return list(front)
    return [front[round(place * (len(front) - 1) / max(count - 1, 1))] for place in range(count)]


def finalist_jobs(one: Evaluated, space: Space, networks: Sequence[Mapping[str, Any]],
                  technology: Mapping[str, Any], folder: Path, out: Path) -> list[Job]:
    """Return the simulations of a candidate, one for each network; `out` gets what trained ones leave."""
    return [job(simulate, network=networks[place], machine=one.candidate.machine.model_dump(mode="json"),
                technology=technology, choice=one.candidate.point.choices[place],
                bits=one.networks[network.label].bits, trained=_trained(one, network, folder, out))
            for place, network in enumerate(space.networks)]


def _trained(one: Evaluated, network: NetworkSpace, folder: Path, out: Path) -> dict[str, Any] | None:
    """Return where a trained network and its images are, with absolute paths for files."""
    if network.weights is None or network.data is None:
        return None
    weights = folder / network.weights
    model, data = (str((folder / name).resolve()) if (folder / name).exists() else name
                   for name in (network.network, network.data))
    return {"network": model, "weights": str(weights.resolve()), "sha256": digest_of(weights), "data": data,
            "scheme": network.steps, "epochs": network.epochs, "folder": str((out / "trainings").resolve()),
            "program": str((finalist_folder(one, out) / f"{plain_name(network.label)}.safetensors").resolve())}
