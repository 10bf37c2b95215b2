"""Turn the runs of `benchmarks.accuracy` into tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import mean, stdev
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy.paired import Comparison, compare
from benchmarks.accuracy.runs import PROGRESSION

__all__ = ["Tables", "tables"]

Result = Mapping[str, Any]
Group = tuple[str, ...]

TEST_IMAGES = 10_000


@dataclass
class Tables:
    """Tables for people, comparisons for machines."""

    tables: list[tuple[str, list[str], list[list[object]]]] = field(default_factory=list)
    comparisons: list[dict[str, Any]] = field(default_factory=list)


def tables(results: Sequence[Result]) -> Tables:
    """Build all tables of these results."""
    found = Tables()
    groups: dict[Group, list[Result]] = {}
    for result in results:
        groups.setdefault(group_of(result), []).append(result)
    found.tables.append(("accuracy of the integer Program, mean over seeds [%]",
                         ["network", "method", "bits W/A", "settings", "seeds", "test", "sd", "held-out fonts",
                          "cycles", "nJ"], [row(group, members) for group, members in groups.items()]))
    rows = []
    for question, first, second in questions(groups):
        seeds = sorted({r["seed"] for r in groups[first]} & {r["seed"] for r in groups[second]})
        outcome = compare(*([right_of(groups[group], seed) for seed in seeds] for group in (first, second)))
        found.comparisons.append({"question": question, "first": list(first), "second": list(second), "seeds": seeds,
                                  "mean": outcome.mean, "verdict": outcome.verdict, **asdict(outcome)})
        rows.append([question, *_cells(outcome)])
    found.tables.append(("first minus second, on the same seeds and images [points]",
                         ["question", "mean", "per seed", "standard error", "McNemar p per seed", "verdict"], rows))
    return found


def group_of(result: Result) -> Group:
    """Return what runs of several seeds have in common: network, method, bits, settings that tell methods apart."""
    settings = dict(result["settings"])
    bits = settings.pop("bits", "")
    if "budget" in settings:
        bits = f"mixed, {settings.pop('budget')} of {settings.pop('of')}"
    return (result["network"], result["method"], bits,
            ", ".join(f"{name} {value}" for name, value in settings.items()))


def row(group: Group, members: Sequence[Result]) -> list[object]:
    """Return a line of the big table."""
    network, method, bits, settings = group
    tests = [member["accuracy"]["test"] for member in members]
    costs = [member["cost"] for member in members if "cost" in member]
    return [network, method, bits, settings, len(members), mean(tests), stdev(tests) if len(tests) > 1 else "",
            mean(member["accuracy"]["held_out"] for member in members),
            max(cost["latency_cycles"] for cost in costs) if costs else "",
            max(cost["energy_pj"] for cost in costs) / 1e3 if costs else ""]


def questions(groups: Mapping[Group, Sequence[Result]]) -> list[tuple[str, Group, Group]]:
    """Return which methods are compared with each other, where both have run."""
    asked: list[tuple[str, Group, Group]] = []

    def ask(question: str, first: Group | None, second: Group | None) -> None:
        if first is not None and second is not None:
            asked.append((f"{first[0]}: {question}", first, second))

    for network in dict.fromkeys(group[0] for group in groups):
        find = Finder(groups, network)
        strict = find("reconstruct", "2/4", scheme="power_of_two", learn="exponents", network=True)
        fixed = find.best([find("reconstruct", "2/4", scheme="power_of_two", exponents="nearest"),
                           find("reconstruct", "2/4", scheme="power_of_two")])
        ask("strict RAPQ against the best fixed neighbouring exponents", strict, fixed)
        ask("strict RAPQ against float steps", strict, find("reconstruct", "2/4", scheme="uniform"))
        ask("the network-level pass", strict,
            find("reconstruct", "2/4", scheme="power_of_two", learn="exponents"))
        for bits in ("2/2", "3/3", "4/4"):
            ask(f"QIL against LSQ at {bits}", find("train", bits, scheme="qil"), find("train", bits, scheme="lsq"))
        taught = find("train", "2/2", scheme="qil", distillation=0.5)
        ask("QIL with distillation against LSQ at 2/2", taught, find("train", "2/2", scheme="lsq"))
        ask("QIL against LSQ at 2/2, both with distillation", taught,
            find("train", "2/2", scheme="lsq", distillation=0.5))
        for scheme in ("lsq", "qil"):
            progressive = find("progressive", "", scheme=scheme)
            ask(f"progressive against direct, {scheme}", progressive, find("train", "2/2", scheme=scheme))
            if progressive is not None:
                ask(f"progressive against direct with the epochs of its last stage, {scheme}", progressive,
                    find.last_stage(progressive))
        for group in find.under_budgets("during"):
            former = " as published" if "judge" in groups[group][0]["settings"] else ""
            ask(f"{group[2]}{former} against the best fixed bits within it", group, find.fixed_within(group))
            if not former:
                ask(f"{group[2]}: bits moved against bits chosen once", group, find.twin(group))
                ask(f"{group[2]}: discount and simulation against QBitOpt as published", group, find.former(group))
    return asked


class Finder:
    """Looks up groups of a network by their settings; a group with settings that were not asked for is another."""

    def __init__(self, groups: Mapping[Group, Sequence[Result]], network: str) -> None:
        self.groups = {group: members for group, members in groups.items() if group[0] == network}

    def __call__(self, method: str, bits: str, **settings: Any) -> Group | None:
        free = {"iterations", "rate", "epochs", "bits"}
        found = [group for group, members in self.groups.items() if group[1] == method and group[2] == bits
                 and {k: v for k, v in members[0]["settings"].items() if k not in free} == settings]
        return self.longest(found)

    def longest(self, found: Sequence[Group]) -> Group | None:
        """Return the group with most seeds and, among those, the longest runs: sweeps are short."""
        effort = {group: (len(self.groups[group]), self.effort(group)) for group in found}
        return max(found, key=lambda group: effort[group], default=None)

    def effort(self, group: Group) -> int:
        """Epochs or iterations."""
        settings = self.groups[group][0]["settings"]
        return int(settings.get("epochs", settings.get("iterations", 0)))

    def accuracy(self, group: Group) -> float:
        """Mean over the seeds [%]."""
        return mean(member["accuracy"]["test"] for member in self.groups[group])

    def best(self, found: Sequence[Group | None]) -> Group | None:
        """Return the most accurate group."""
        return max((group for group in found if group is not None), key=self.accuracy, default=None)

    def under_budgets(self, when: str) -> list[Group]:
        """Groups of mixed bits."""
        return [group for group, members in self.groups.items()
                if group[1] == "mixed" and members[0]["settings"]["when"] == when]

    def last_stage(self, group: Group) -> Group | None:
        """Return the group that was trained at 2/2 alone, for as long as the last stage of a progressive one."""
        settings = self.groups[group][0]["settings"]
        wanted = {**settings, "bits": "2/2", "epochs": settings["epochs"] // len(PROGRESSION)}
        return next((other for other, members in self.groups.items()
                     if other[1] == "train" and members[0]["settings"] == wanted), None)

    def twin(self, group: Group) -> Group | None:
        """Return the group under the same budget whose bits were chosen once."""
        return next((other for other in self.under_budgets("once") if other[2] == group[2]), None)

    def former(self, group: Group) -> Group | None:
        """Return the group under the same budget without discount and simulation."""
        return next((other for other in self.under_budgets("during")
                     if other[2] == group[2] and "judge" in self.groups[other][0]["settings"]), None)

    def fixed_within(self, group: Group) -> Group | None:
        """Return the most accurate fixed bits, trained for as many epochs, that keep the budget.

        So do those that it was made from, whatever training has done to their digits and so to their cost.
        """
        mine = self.groups[group][0]
        name, limit = mine["settings"]["budget"], min(member["limit"] for member in self.groups[group])
        return self.best([other for other, members in self.groups.items()
                          if other[1] == "train" and self.effort(other) == self.effort(group)
                          and members[0]["settings"]["scheme"] == mine["settings"]["scheme"]
                          and len(members) == len(self.groups[group])
                          and (other[2] == mine["settings"]["of"]
                               or all(member["cost"][name] <= limit for member in members))])


def right_of(members: Sequence[Result], seed: int) -> NDArray[np.bool_]:
    """Tell which test images the run of that seed had right."""
    (found,) = (member for member in members if member["seed"] == seed)
    bits = np.frombuffer(bytes.fromhex(found["right"]), np.uint8)
    return np.unpackbits(bits)[:TEST_IMAGES].astype(np.bool_)


def _cells(outcome: Comparison) -> list[object]:
    return [outcome.mean, " ".join(f"{value:+.2f}" for value in outcome.differences),
            " ".join(f"{value:.2f}" for value in outcome.standard_errors),
            " ".join(f"{value:.2g}" for value in outcome.p_values), outcome.verdict]
