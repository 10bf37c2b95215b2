"""Random Programs on random machines: found where coverage is missing, shrunk when they fail, replayed for ever."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import find, settings
from hypothesis.errors import NoSuchExample

from rtl.cosim.run import run_all
from rtl.cosim.scoreboard import differences
from rtl.cosim.simulators import SimulationError
from rtl.encoding.descriptors import describe
from rtl.encoding.geometry import Geometry
from sim.arch.machine import Machine, load_machine
from sim.ir.ops import Layer
from sim.plan.plan import Plan
from sim.testing import RandomChoices, random_machine
from sim.testing.coverage.coverage import Coverage
from sim.testing.coverage.directed import directed_cases, directed_options
from sim.testing.harness.hypothesis_strategies import cases
from sim.testing.stimulus.cases import Case, draw_case, load_case, save_case, shrink_case
from sim.testing.stimulus.recorded_choices import RecordedChoices

REGRESSIONS = Path(__file__).parent / "regressions"
BATCH = 8
"""Programs of one simulation."""
ATTEMPTS = 150
"""Runs that shrinking may take."""
ROUNDS = 20
"""Batches on every machine, at most."""


def small_machine(name: str, **changes: object) -> Machine:
    """A machine that is quick to simulate, with all roundings and digits."""
    return Machine(**load_machine("tiny").model_dump() | {"name": name, "terms": 4} | changes)


MACHINES = (
    small_machine("banded", rows=2, columns=3, lanes=16, requantizers=1, acc_depth=5, stream_bits=32, act_regions=4,
                  region_words=32),
    small_machine("even", rows=4, columns=4, lanes=8, requantizers=2, acc_depth=1, stream_bits=8, act_regions=6,
                  region_words=128),
    small_machine("thin", rows=2, columns=2, lanes=8, requantizers=2, acc_depth=7, stream_bits=16, act_regions=5,
                  region_words=64),
    small_machine("slow", rows=1, columns=3, lanes=8, requantizers=1, acc_depth=4, stream_bits=4, act_regions=8,
                  region_words=64, acc_bits=8),
    small_machine("depthwise", rows=4, columns=4, lanes=16, requantizers=4, acc_depth=8, stream_bits=64, act_regions=4,
                  region_words=64, depthwise_lanes=8, acc_bits=13),
)
"""Together they meet all bins: strides that share factors with columns, beats of words and parts of words, bands,
accumulators so narrow that sums wrap."""


def faults(case: Case) -> list[str]:
    """What the RTL does otherwise than the simulator; that it does not run is one more thing."""
    try:
        (result,) = run_all([(case.plan, case.inputs)])
    except SimulationError as error:
        return [str(error).splitlines()[0]]
    return differences(case.plan, case.inputs, result)


def keep(case: Case, folder: Path = REGRESSIONS) -> str:
    """Save a failing case; a sentence that names it."""
    found = faults(case)
    kept = save_case(Case(case.program, case.machine, case.inputs, {"found": found}), folder)
    return f"{found}; kept as {kept}"


def check(drawn: Sequence[tuple[Case, list[int]]], coverage: Coverage) -> None:
    """Run cases in one simulation, one after another; the first that differs is shrunk and kept."""
    try:
        results = run_all([(case.plan, case.inputs) for case, _ in drawn])
    except SimulationError:
        results = []
    for number, (case, decisions) in enumerate(drawn):
        if differences(case.plan, case.inputs, results[number]) if results else faults(case):
            options = directed_options(case.machine)
            minimal, _ = shrink_case(decisions, case.machine, lambda one: bool(faults(one)), ATTEMPTS, **options)
            pytest.fail(keep(minimal))
        coverage.add(coverage.bins_of(case.plan, case.codes))
    assert results, "the Programs fail behind one another and pass alone"


@pytest.mark.parametrize("place", sorted(REGRESSIONS.glob("*/")), ids=lambda place: place.name)
def test_what_failed_once_passes(place: Path) -> None:
    """Every case that was kept agrees by now."""
    assert faults(load_case(place)) == []


@pytest.mark.parametrize("goal", [89, pytest.param(100, marks=pytest.mark.nightly)])
def test_programs_aimed_at_missing_bins_are_exact(coverage: Coverage, goal: float) -> None:
    """Programs chosen for the bins they add agree: codes of all tensors, ends of all ops, all counters.

    Together they meet so many percent of the bins.
    """
    aimed = Coverage(coverage.groups)
    for number, (index, machine) in product(range(ROUNDS), enumerate(MACHINES)):
        if aimed.percent >= goal:
            break
        drawn = []
        for case, decisions in directed_cases(np.random.default_rng((number, index)), machine, aimed, BATCH):
            aimed.add(aimed.bins_of(case.plan, case.codes))
            drawn.append((case, decisions))
        if drawn:
            check(drawn, coverage)
    assert aimed.percent >= goal, [aimed.text(missing) for missing in aimed.missing]


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.nightly) for seed in range(2, 40))])
def test_random_machines_are_exact(seed: int) -> None:
    """What hypothesis draws on a random machine agrees; what does not is shrunk and kept."""
    machine = random_machine(np.random.default_rng(seed))
    search = settings(settings.get_profile("steady"), max_examples=4, database=None)
    try:
        minimal = find(cases([machine]), lambda case: bool(faults(case)), settings=search)
    except NoSuchExample:
        return
    pytest.fail(keep(minimal))


@pytest.mark.nightly
def test_a_planted_fault_shrinks_to_a_plain_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With signed activations taken for unsigned, a random case shrinks to one layer of one pixel, and is kept.

    The kept case fails again on the faulty machine and agrees on the right one.
    """
    machine = MACHINES[0]
    decisions, failing = next(drawn for drawn in random_cases(machine) if "signed" in activation_kinds(drawn[1]))
    with monkeypatch.context() as faulty:
        faulty.setattr("rtl.encoding.program_image.describe", describe_unsigned)
        assert faults(failing) != []
        minimal, _ = shrink_case(decisions, machine, lambda case: bool(faults(case)), ATTEMPTS)
        keep(minimal, tmp_path)
        (kept,) = map(load_case, tmp_path.iterdir())
        assert faults(kept) != []
    layers = [op for op in kept.program.ops if isinstance(op, Layer)]
    assert len(layers) == 1
    assert kept.program.tensor(layers[0].output).shape[1:] == (1, 1)
    assert faults(kept) == []


def describe_unsigned(planned: Plan, geometry: Geometry) -> list[int]:
    """Descriptors that take all activations for unsigned."""
    return [word & ~(1 << geometry.descriptor["signed_a"].offset) for word in describe(planned, geometry)]


def random_cases(machine: Machine) -> Iterator[tuple[list[int], Case]]:
    """Cases with their decisions."""
    for seed in count():
        choices = RecordedChoices(RandomChoices(np.random.default_rng(seed)))
        case = draw_case(choices, machine)
        yield choices.decisions, case


def activation_kinds(case: Case) -> set[str]:
    """Kinds of the tensors that Convs read."""
    return {case.program.tensor(conv.input).format.kind for conv in case.program.convs}
