"""Coverage bins follow from Plans; failing cases shrink and survive on disk."""

import re
from itertools import count

import numpy as np
import pytest
from hypothesis import find, settings

from sim.errors import InputError
from sim.machine import load_machine
from sim.memory import Memory
from sim.plan import plan
from sim.records import Conv, Pool
from sim.testing import RandomChoices, random_machine, random_program
from sim.testing.bins import GROUPS
from sim.testing.cases import draw_case, load_case, redraw, save_case, shrink_case
from sim.testing.coverage import Coverage, Group
from sim.testing.directed import directed_cases
from sim.testing.recorded import RecordedChoices
from sim.testing.situations import edge
from sim.testing.strategies import cases
from sim.testing.views import views
from sim.timing import timeline

TINY = load_machine("tiny")


def planned(seed: int):
    """A Plan on a random machine whose memory has slots."""
    rng = np.random.default_rng(seed)
    machine = random_machine(rng).model_copy(update={"memory": Memory(latency_cycles=3, beats=2, period_cycles=3)})
    return plan(random_program(rng, machine), machine)


@pytest.mark.parametrize("seed", range(8))
def test_views_add_up_to_the_timeline(seed: int) -> None:
    """Spans are the timeline's starts and ends, and what the records wait sums to its counters."""
    one = planned(seed)
    seen, times = views(one), timeline(one)
    assert [view.span for view in seen] == list(zip(times.starts, times.ends, strict=True))
    for counter in ("wait_accumulator", "wait_weights", "starved", "blocked"):
        assert sum(getattr(view, counter) for view in seen) == getattr(times, counter)


def test_edges() -> None:
    """One or many tiles, the last one full or short."""
    assert [edge(count, 4) for count in (3, 4, 7, 8)] == ["one short", "one full", "many short", "many full"]


def test_bins_are_met_by_records_that_have_them() -> None:
    """A Conv of known bits meets that bin of `bits` and no other; counting is by record."""
    case = draw_case(RandomChoices(np.random.default_rng(3)), TINY, layers=1, kinds=["dense"], traits=[])
    (conv,) = case.plan.program.convs
    met = {values: count for (name, values), count in Coverage(GROUPS).bins_of(case.plan).items() if name == "bits"}
    assert met == {("dense", conv.weight_format.bits, case.program.tensor(conv.input).format.bits): 1}


def test_what_is_said_to_be_impossible_must_not_happen() -> None:
    """A combination that was excluded and is met is an error that gives the reason."""
    group = Group("kinds", {"kind": ("dense", "max")}, lambda view: [(view.kind,)],
                  lambda values: "nobody multiplies" if values == ("dense",) else None)
    coverage = Coverage([group])
    assert (coverage.declared, coverage.excluded) == (1, {("kinds", ("dense",)): "nobody multiplies"})
    case = draw_case(RandomChoices(np.random.default_rng(3)), TINY, layers=1, kinds=["dense"], traits=[])
    message = "kinds: kind dense was met, but was declared impossible: nobody multiplies"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        coverage.bins_of(case.plan)


def test_counts_of_several_processes_add_up() -> None:
    """What one process has met is added to another's by its text; unknown texts are dropped."""
    one, other = Coverage(GROUPS), Coverage(GROUPS)
    one.add(one.bins_of(planned(1)))
    other.add(other.bins_of(planned(2)))
    both = len(one.counts.keys() | other.counts.keys())
    one.add_counts({**other.counts, "gone: kind dense": 3})
    assert one.covered == both
    assert len(one.missing) == one.declared - both
    assert sum(met for _, _, met, _ in one.table()) == both


def test_aimed_cases_add_bins_each_time() -> None:
    """Every case that is chosen meets a bin that was missing, and a few meet a third of all."""
    coverage = Coverage(GROUPS)
    for case, decisions in directed_cases(np.random.default_rng(0), TINY, coverage, 8):
        before = coverage.covered
        coverage.add(coverage.bins_of(case.plan))
        assert coverage.covered > before
        assert decisions
    assert coverage.percent > 33


@pytest.mark.parametrize("seed", range(5))
def test_recorded_decisions_give_the_same_case(seed: int) -> None:
    """Read back, the decisions make an equal Program with equal codes, and are what was used."""
    choices = RecordedChoices(RandomChoices(np.random.default_rng(seed)))
    case = draw_case(choices, TINY)
    drawn = redraw(choices.decisions, TINY)
    assert drawn is not None
    assert drawn[1] == choices.decisions
    assert drawn[0].program.tensors == case.program.tensors
    assert drawn[0].machine == case.machine
    assert all(np.array_equal(drawn[0].inputs[name], codes) for name, codes in case.inputs.items())


def pools(case) -> bool:
    """A stand-in for a fault of the hardware: it shows on any Pool."""
    return any(isinstance(record, Pool) for record in case.plan.program.records)


def test_recorded_cases_shrink_to_the_least_that_fails() -> None:
    """Of a Program of several layers a single 1 x 1 Pool on one pixel is left."""
    for seed in count():
        choices = RecordedChoices(RandomChoices(np.random.default_rng(seed)))
        case = draw_case(choices, TINY, layers=6)
        if pools(case) and len(case.program.records) > 4:
            break
    assert_plain(shrink_case(choices.decisions, TINY, pools, 400, layers=6))


def test_hypothesis_shrinks_to_the_least_that_fails() -> None:
    """The strategies find a failing case and leave the same single Pool."""
    search = settings(max_examples=200, database=None, derandomize=True, deadline=None)
    assert_plain(find(cases([TINY]), pools, settings=search))


def assert_plain(case) -> None:
    (pool,) = case.program.records
    assert isinstance(pool, Pool)
    assert pool.kernel == (1, 1)
    assert {(tensor.height, tensor.width, tensor.format.bits) for tensor in case.program.tensors} == {(1, 1, 1)}


def test_cases_survive_on_disk(tmp_path) -> None:
    """A saved case is read back equal, is saved once, and leaves no other file."""
    case = draw_case(RandomChoices(np.random.default_rng(1)), TINY)
    place = save_case(case, tmp_path)
    assert save_case(case, tmp_path) == place
    assert [path.name for path in tmp_path.iterdir()] == [place.name]
    again = load_case(place)
    assert again.machine == case.machine
    assert again.program.tensors == case.program.tensors
    for one, other in zip(again.program.records, case.program.records, strict=True):
        if isinstance(one, Conv) and isinstance(other, Conv):
            assert np.array_equal(one.weights, other.weights)
    assert all(np.array_equal(again.inputs[name], codes) for name, codes in case.inputs.items())


def test_decisions_that_do_not_fit_give_no_case(monkeypatch) -> None:
    """A refusal by `plan` is no case, not an error."""

    def refuse(program, machine):
        raise InputError("too large")

    monkeypatch.setattr("sim.testing.cases.plan", refuse)
    assert redraw([], TINY) is None
