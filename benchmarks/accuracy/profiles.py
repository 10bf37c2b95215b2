"""Choose the runs that a profile of `benchmarks.accuracy` makes, the ones that decide a question first.

Learning rates are not chosen by the author but by each method's own small sweep on the validation images; runs that
need the winner appear once the sweep is done. Methods that are compared train for equally many epochs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.accuracy.runs import FLOAT, Run

__all__ = ["PROFILES", "Profile", "planned"]

RESNET, MOBILENET = "resnet8", "glyph_mobilenet"
RATES = {"lsq": (0.03, 0.1, 0.2), "qil": (0.03, 0.1, 0.2)}
ROUNDING_RATES = (1e-2, 3e-2, 1e-1)
NAIVE = ({"scheme": "uniform", "fit": "range", "per_channel": False}, {"scheme": "uniform"},
         {"scheme": "power_of_two", "exponents": "nearest"}, {"scheme": "power_of_two"})
"""Float steps by range and by error, power-of-two steps next to the best float step and of least error."""
RECONSTRUCTED: tuple[dict[str, Any], ...] = (
    {"scheme": "uniform"}, {"scheme": "power_of_two", "exponents": "nearest"}, {"scheme": "power_of_two"},
    {"scheme": "power_of_two", "learn": "exponents"},
    {"scheme": "power_of_two", "learn": "exponents", "network": True})
"""Float steps; fixed neighbouring exponents, nearest and best; strict RAPQ without and with the network-level pass."""
NAIVE_BITS = ("2/4", "4/4", "3/4", "8/8")
DISTILLATION = 0.5
BUDGETS = (("latency_cycles", "2/3"), ("energy_pj", "2/3"), ("latency_cycles", "3/2"), ("latency_cycles", "2/2"))
"""A budget and the uniform bits, weights/activations, that spend it."""
MOBILE_BUDGET = ("latency_cycles", "3/3")
"""Between 2/2, which the MobileNet hardly survives, and 4/4."""
MOBILE_BITS = ("3/3", "2/4")
"""Fixed bits that may keep that budget."""
OUTER = "4/6"
"""Bits of the first and the last layer that QBitOpt's solutions come near to: fixed bits get the same freedom."""
LSQ_RATE = 0.2
"""What the sweep of the full profile chose on ResNet-8, for a profile that makes no sweep."""
FORMER: dict[str, Any] = {"discount": 1.0, "judge": "table"}
"""QBitOpt as published: losses of weights at full weight, costs by the table alone."""


@dataclass(frozen=True)
class Profile:
    """The size of a benchmark.

    Attributes
    ----------
    seeds, mobile_seeds : tuple of int
        Of ResNet-8 and of the MobileNet.
    iterations, sweep_iterations : int
        Of reconstruction, per unit.
    epochs, sweep_epochs, wide_epochs, mixed_epochs : int
        Of training at 2/2 bits, in sweeps, at 3/3 and 4/4, and under budgets.
    complete : bool
        With the MobileNet, progressive training, more bits, distillation and all budgets.
    """

    seeds: tuple[int, ...]
    mobile_seeds: tuple[int, ...]
    iterations: int
    sweep_iterations: int
    epochs: int
    sweep_epochs: int
    wide_epochs: int
    mixed_epochs: int
    complete: bool


PROFILES = {
    "quick": Profile((0,), (), 300, 100, 4, 2, 2, 4, complete=False),
    "full": Profile((0, 1, 2), (0, 1), 1000, 300, 12, 4, 4, 8, complete=True),
    "mobilenet-budget": Profile((), (0, 1, 2), 0, 0, 0, 0, 0, 4, complete=False),
}


def planned(profile: Profile, done: Mapping[str, dict[str, Any]]) -> Iterator[Run]:
    """Yield every run of the profile that is known by now, given the outcomes so far; what decides most comes first."""
    if not profile.seeds:
        yield from _mobile_budget(profile, LSQ_RATE)
        return
    for seed in profile.seeds:
        yield _run(RESNET, seed, "float", FLOAT[RESNET])
    rates = {scheme: _Sweep(done, [_trained(RESNET, 0, scheme, "2/2", profile.sweep_epochs, rate)
                                   for rate in RATES[scheme]]) for scheme in RATES}
    rounding = {scheme: _Sweep(done, [_rounding(profile, scheme, rate) for rate in ROUNDING_RATES])
                for scheme in ("uniform", "power_of_two")}
    for sweep in (*rounding.values(), *rates.values()):
        yield from sweep.runs
    if any(sweep.best is None for sweep in (*rounding.values(), *rates.values())):
        return
    best_rounding = {scheme: sweep.best["rate"] for scheme, sweep in rounding.items() if sweep.best}
    best = {scheme: sweep.best["rate"] for scheme, sweep in rates.items() if sweep.best}
    for seed in profile.seeds:
        yield from (_trained(RESNET, seed, scheme, "2/2", profile.epochs, rate) for scheme, rate in best.items())
        yield from _reconstructions(profile, RESNET, seed, best_rounding)
    yield from _under_budgets(profile, best["lsq"])
    for seed in profile.mobile_seeds:
        yield _run(MOBILENET, seed, "float", FLOAT[MOBILENET])
        yield from _reconstructions(profile, MOBILENET, seed, best_rounding)
    for network, seeds in ((RESNET, profile.seeds), (MOBILENET, profile.mobile_seeds)):
        for bits in NAIVE_BITS if seeds else ():
            yield from (_run(network, 0, "naive", {**settings, "bits": bits}) for settings in NAIVE)
    if profile.complete:
        yield from _extras(profile, best)


class _Sweep:
    """Runs of which one is best on the validation images; `best` has its settings once all are done."""

    def __init__(self, done: Mapping[str, dict[str, Any]], runs: list[Run]) -> None:
        self.runs = runs
        self.best: dict[str, Any] | None = None
        if all(run.key in done for run in runs):
            best = max(runs, key=lambda run: done[run.key]["accuracy"]["validation"])
            self.best = dict(best.settings)


def _run(network: str, seed: int, method: str, settings: Mapping[str, Any]) -> Run:
    return Run(network, seed, method, tuple(settings.items()))


def _trained(network: str, seed: int, scheme: str, bits: str, epochs: int, rate: float, **more: Any) -> Run:
    return _run(network, seed, "train", {"scheme": scheme, "bits": bits, "epochs": epochs, "rate": rate, **more})


def _rounding(profile: Profile, scheme: str, rate: float) -> Run:
    return _run(RESNET, 0, "reconstruct", {"scheme": scheme, "bits": "2/4", "rate": rate,
                                           "iterations": profile.sweep_iterations})


def _reconstructions(profile: Profile, network: str, seed: int, rates: Mapping[str, float]) -> Iterator[Run]:
    for settings in RECONSTRUCTED:
        yield _run(network, seed, "reconstruct", {**settings, "bits": "2/4", "rate": rates[settings["scheme"]],
                                                  "iterations": profile.iterations})


def _extras(profile: Profile, rates: Mapping[str, float]) -> Iterator[Run]:
    """Yield runs with distillation, more bits, progressive training or quantizers alone, and those of the MobileNet."""
    for seed in profile.seeds:
        yield _trained(RESNET, seed, "qil", "2/2", profile.epochs, rates["qil"], distillation=DISTILLATION)
    for scheme, rate in rates.items():
        yield _run(RESNET, 0, "progressive", {"scheme": scheme, "epochs": profile.epochs, "rate": rate})
        for bits in ("3/3", "4/4"):
            yield _trained(RESNET, 0, scheme, bits, profile.wide_epochs, rate)
        for bits in ("2/2", "4/4"):
            yield _trained(MOBILENET, 0, scheme, bits, profile.wide_epochs, rate)
    for more in ({}, {"other_images": True}):
        yield _trained(RESNET, 0, "qil", "4/4", profile.wide_epochs, rates["qil"], quantizers_only=True, **more)
    for seed in profile.seeds:
        yield _trained(RESNET, seed, "lsq", "2/2", profile.epochs, rates["lsq"], distillation=DISTILLATION)


def _under_budgets(profile: Profile, rate: float) -> Iterator[Run]:
    """Yield runs of QBitOpt, and of the fixed bits that keep the same budgets, for equally many epochs."""
    budgets = BUDGETS if profile.complete else BUDGETS[:1]
    common = {"scheme": "lsq", "epochs": profile.mixed_epochs, "rate": rate}
    for seed in profile.seeds:
        for name, uniform in budgets:
            moving = {**common, "budget": name, "of": uniform, "when": "during"}
            yield from (_run(RESNET, seed, "mixed", {**moving, **how}) for how in ({}, FORMER))
        yield from _fixed(RESNET, seed, dict.fromkeys(["2/2", *(uniform for _, uniform in budgets)]), profile, rate)
    yield from _mobile_budget(profile, rate)
    for seed in profile.seeds if profile.complete else ():
        yield _run(RESNET, seed, "mixed", {**common, "budget": budgets[0][0], "of": budgets[0][1], "when": "once"})


def _mobile_budget(profile: Profile, rate: float) -> Iterator[Run]:
    """Yield the same of the MobileNet under its one budget, all of a seed before the next."""
    name, uniform = MOBILE_BUDGET
    for seed in profile.mobile_seeds:
        yield _run(MOBILENET, seed, "float", FLOAT[MOBILENET])
        yield _run(MOBILENET, seed, "mixed", {"scheme": "lsq", "epochs": profile.mixed_epochs, "rate": rate,
                                              "budget": name, "of": uniform, "when": "during"})
        yield from _fixed(MOBILENET, seed, MOBILE_BITS, profile, rate)


def _fixed(network: str, seed: int, widths: Iterable[str], profile: Profile, rate: float) -> Iterator[Run]:
    """Yield runs of fixed bits, with those of the first and the last layer that QBitOpt comes near to and with 8."""
    for bits in widths:
        yield _trained(network, seed, "lsq", bits, profile.mixed_epochs, rate, outer=OUTER)
        yield _trained(network, seed, "lsq", bits, profile.mixed_epochs, rate)
