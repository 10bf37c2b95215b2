"""Runs: what commands have written as JSON, checked and as objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sim.arch.machine import Machine
from sim.cost.estimate import Estimate

__all__ = ["BudgetUse", "CodesCompared", "DemoRun", "EstimateRun", "OpCycles", "Prices", "Provenance", "Run",
           "TensorCompared", "VerifyRun"]

Provenance = Mapping[str, Any]


@dataclass(frozen=True)
class Prices:
    """What the prices of an estimate hold for, and how many of them have which basis."""

    technology: str
    node_nm: float
    voltage_v: float
    bases: dict[str, int]
    highest_clock_mhz: float | None = None


@dataclass(frozen=True)
class EstimateRun:
    """Estimates of a network on a machine.

    Attributes
    ----------
    name : str
        Of the network.
    machine_name : str
    machine : Machine or None
        None: it is not known, but by its name.
    prices : Prices
    choices : dict of str to Estimate
        By the bits; one of "" if the network has bits of its own.
    uncertain : tuple of (str, str)
        Choices whose order of energy is open.
    """

    name: str
    machine_name: str
    machine: Machine | None
    prices: Prices
    choices: dict[str, Estimate]
    uncertain: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class OpCycles:
    """Where an op ends: as predicted and as the RTL counted [cycles]."""

    name: str
    predicted: int
    counted: int


@dataclass(frozen=True)
class TensorCompared:
    """Codes of a tensor in two engines."""

    name: str
    codes: int
    mismatches: int
    undefined: int


@dataclass(frozen=True)
class CodesCompared:
    """All codes in two engines."""

    engines: tuple[str, str]
    tensors: int
    codes: int
    mismatches: int
    by_tensor: tuple[TensorCompared, ...]
    first: dict[str, Any] | None = None


@dataclass(frozen=True)
class VerifyRun:
    """A Program in every engine, as `bitwright verify` tells it."""

    simulator: str
    failure: str | None
    comparisons: tuple[CodesCompared, ...]
    skipped: str | None
    layers: tuple[OpCycles, ...]
    predicted: dict[str, int]
    counted: tuple[dict[str, int], ...]
    unmet: tuple[str, ...] = ()
    divergence: dict[str, Any] | None = None
    exercised: dict[str, Any] | None = None

    @property
    def ok(self) -> bool:
        """Return whether all codes, the cycles of every op and all counters are equal."""
        return (self.failure is None and not any(one.mismatches for one in self.comparisons)
                and all(op.predicted == op.counted for op in self.layers)
                and all(counters == self.predicted for counters in self.counted))


@dataclass(frozen=True)
class BudgetUse:
    """A limit, and what is used of it."""

    limit: float
    used: float | None


@dataclass(frozen=True)
class DemoRun:
    """What `bitwright demo` found."""

    machine: str
    seed: int
    accuracy: dict[str, float]
    budgets: dict[str, BudgetUse]
    bits: dict[str, tuple[int, int]]
    reallocations: int
    programs: dict[str, Estimate]
    verifications: dict[str, VerifyRun]
    ok: bool = field(default=False)


Run = EstimateRun | VerifyRun | DemoRun
