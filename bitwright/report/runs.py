"""Runs: what commands have written as JSON, checked and as objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sim.arch.machine import Machine
from sim.cost.estimate import Estimate
from sim.energy.band import Band

__all__ = ["BudgetUse", "CodesCompared", "CompareRun", "ComparedArea", "ComparedCandidate", "ComparedFigure",
           "ComparedLayer", "DemoRun", "EpochRecord", "EstimateRun", "ExploreRun", "Explored", "LayerLoss", "LayersRun",
           "MachinesRun", "NetworkRun", "OpCycles", "Piece", "Prices", "Provenance", "Run", "TensorCompared",
           "VerifyRun"]

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
class Piece:
    """A layer or tile on the RTL, on the codes that reach it; rows and channels are (first, end)."""

    op: str
    rows: tuple[int, int]
    channels: tuple[int, int]
    codes: int
    cycles: int
    found: tuple[str, ...] = ()


@dataclass(frozen=True)
class LayersRun:
    """Some layers of a network on the RTL, as `bitwright verify --layers` tells it."""

    simulator: str
    comparisons: tuple[CodesCompared, ...]
    skipped: str | None
    pieces: tuple[Piece, ...]
    network_cycles: int | None = None
    ok: bool = False


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


@dataclass(frozen=True)
class LayerLoss:
    """What a layer of a quantized network loses, as far as it was measured (`quant.analysis.layers`)."""

    name: str
    kind: str
    weight_bits: int | None = None
    tensor_bits: int | None = None
    weight_sqnr_db: float | None = None
    tensor_sqnr_db: float | None = None
    clipped_share: float | None = None
    output_sqnr_db: float | None = None
    fit_error_codes: float | None = None
    agreement: float | None = None


@dataclass(frozen=True)
class EpochRecord:
    """An epoch of a training."""

    epoch: int
    loss: float
    train_accuracy: float
    validation_accuracy: float | None = None


@dataclass(frozen=True)
class NetworkRun:
    """What `bitwright train` or `bitwright quantize` has made.

    Attributes
    ----------
    bits : str, list or dict
        One choice, several in turn, or of every layer.
    history : dict of str to epochs
        By the training; empty if none was.
    """

    network: str
    data: str
    scheme: str
    accuracy: dict[str, float]
    bits: str | list[str] | dict[str, tuple[int, int]] = ""
    layers: tuple[LayerLoss, ...] = ()
    history: dict[str, tuple[EpochRecord, ...]] = field(default_factory=dict)
    budgets: dict[str, BudgetUse] = field(default_factory=dict)
    fit_error_codes: float | None = None


@dataclass(frozen=True)
class ComparedCandidate:
    """One of those that `bitwright compare` compares."""

    name: str
    machine: str
    technology: str
    latency_cycles: int
    figures: dict[str, float | Band]


@dataclass(frozen=True)
class ComparedFigure:
    """A figure of the first candidate and of another; `open` if numbers in the bands can turn the order around."""

    figure: str
    other: str
    first_value: float | Band
    other_value: float | Band
    ratio: float | None
    open: bool


@dataclass(frozen=True)
class ComparedLayer:
    """A layer that several candidates have; None where one lacks it."""

    layer: str
    latency_cycles: tuple[int | None, ...]
    energy_pj: tuple[float | None, ...]


@dataclass(frozen=True)
class CompareRun:
    """What `bitwright compare` found."""

    candidates: tuple[ComparedCandidate, ...]
    figures: tuple[ComparedFigure, ...]
    layers: tuple[ComparedLayer, ...]


@dataclass(frozen=True)
class ComparedArea:
    """The area of a part in several machines, and for each whether its order and the first one's is open."""

    part: str
    areas_mm2: tuple[Band | None, ...]
    open: tuple[bool, ...]


@dataclass(frozen=True)
class MachinesRun:
    """What `bitwright compare` found of machines alone."""

    machines: tuple[str, ...]
    parameters: dict[str, tuple[Any, ...]]
    areas: tuple[ComparedArea, ...]


@dataclass(frozen=True)
class Explored:
    """A candidate of an exploration: its parameters, bits, and figures of all networks together."""

    number: int
    status: str
    reason: str
    on_front: bool
    parameters: dict[str, int | float]
    choice: str
    figures: dict[str, Band]


@dataclass(frozen=True)
class ExploreRun:
    """What `bitwright explore` has found, so far if it is not finished.

    Attributes
    ----------
    limits : dict of str to float
        By figure and end of its band, such as `power_mw.high`.
    objectives : tuple of str
        Likewise.
    dropped : tuple of (rule, machines, example)
    """

    finished: bool
    version: str
    space: str
    method: str
    seed: int
    machine: str
    technology: str
    limits: dict[str, float]
    objectives: tuple[str, ...]
    points: int
    dropped: tuple[tuple[str, int, str], ...]
    candidates: tuple[Explored, ...]


Run = EstimateRun | VerifyRun | LayersRun | DemoRun | NetworkRun | CompareRun | MachinesRun | ExploreRun
