"""Coverage bins count what happened in a run; failing cases shrink and survive on disk."""

import re
from collections import Counter
from itertools import count

import numpy as np
import pytest
from hypothesis import find, settings

from sim.arch.host_memory import Memory
from sim.arch.machine import load_machine
from sim.errors import InputError
from sim.functional.reference import simulate
from sim.ir.arithmetic import Arithmetic
from sim.ir.formats import Format
from sim.ir.ops import Conv, Pool, Tensor
from sim.ir.program import Program
from sim.ir.signed_digits import digits_of
from sim.plan.plan import plan
from sim.testing import TRAITS, RandomChoices, SteeredChoices, corner_inputs, random_machine, random_program
from sim.testing.coverage.bins import GROUPS
from sim.testing.coverage.coverage import Coverage
from sim.testing.coverage.directed import directed_cases
from sim.testing.coverage.layer_bins import edge
from sim.testing.coverage.op_view import op_views
from sim.testing.coverage.tally import Group
from sim.testing.coverage.value_bins import SIDES
from sim.testing.harness.hypothesis_strategies import cases
from sim.testing.stimulus.cases import draw_case, load_case, redraw, save_case, shrink_case
from sim.testing.stimulus.recorded_choices import RecordedChoices

TINY = load_machine("tiny")


def planned(seed: int):
    """A Plan on a random machine whose memory has slots."""
    rng = np.random.default_rng(seed)
    machine = random_machine(rng).model_copy(update={"memory": Memory(latency_cycles=3, beats=2, period_cycles=3)})
    return plan(random_program(rng, machine), machine)


def codes_of(one):
    """Codes of a run of corners."""
    return simulate(one.program, corner_inputs(np.random.default_rng(0), one.program, 1))


@pytest.mark.parametrize("seed", range(8))
def test_views_add_up_to_the_timeline(seed: int) -> None:
    """Spans are the timeline's starts and ends, and what the ops wait sums to its counters."""
    one = planned(seed)
    seen, times = op_views(one, codes_of(one)), one.timeline
    assert [view.span for view in seen] == list(zip(times.starts, times.ends, strict=True))
    for counter in ("wait_accumulator", "wait_weights", "starved", "blocked"):
        assert sum(getattr(view, counter) for view in seen) == getattr(times, counter)


def test_edges() -> None:
    """One or many tiles, the last one full or short."""
    assert [edge(count, 4) for count in (3, 4, 7, 8)] == ["one short", "one full", "many short", "many full"]


def test_bins_are_met_by_ops_that_have_them() -> None:
    """An add that waits for its weights alone meets that bin of `waiting` and no other; counting is by op."""
    case = draw_case(RandomChoices(np.random.default_rng(3)), TINY, layers=1, kinds=["add"], traits=[])
    met = Coverage(GROUPS).bins_of(case.plan, case.codes)
    assert {values: times for (name, values), times in met.items() if name == "waiting"} == {("add", "weights"): 1}


def test_what_is_said_to_be_impossible_must_not_happen() -> None:
    """A combination that was excluded and is met is an error that gives the reason."""
    group = Group("kinds", {"kind": ("dense", "max")}, lambda view: [(view.kind,)],
                  lambda values: "nobody multiplies" if values == ("dense",) else None)
    coverage = Coverage([group])
    assert (coverage.declared, coverage.excluded) == (1, {("kinds", ("dense",)): "nobody multiplies"})
    case = draw_case(RandomChoices(np.random.default_rng(3)), TINY, layers=1, kinds=["dense"], traits=[])
    message = "kinds: kind dense was met, but was declared impossible: nobody multiplies"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        coverage.bins_of(case.plan, case.codes)


def test_counts_of_several_processes_add_up() -> None:
    """What one process has met is added to another's by its text; unknown texts are dropped."""
    one, other = Coverage(GROUPS), Coverage(GROUPS)
    one.add(one.bins_of(planned(1), codes_of(planned(1))))
    other.add(other.bins_of(planned(2), codes_of(planned(2))))
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
        coverage.add(coverage.bins_of(case.plan, case.codes))
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
    return any(isinstance(op, Pool) for op in case.plan.program.ops)


def test_recorded_cases_shrink_to_the_least_that_fails() -> None:
    """Of a Program of several layers a single 1 x 1 Pool on one pixel is left."""
    for seed in count():
        choices = RecordedChoices(RandomChoices(np.random.default_rng(seed)))
        case = draw_case(choices, TINY, layers=6)
        if pools(case) and len(case.program.ops) > 4:
            break
    assert_plain(shrink_case(choices.decisions, TINY, pools, 400, layers=6)[0])


@pytest.mark.parametrize(("without", "before"), [(("slice", "unequal"), 0), ((), 1)])
def test_hypothesis_shrinks_to_the_least_that_fails(without: tuple[str, ...], before: int) -> None:
    """The strategies find a failing case and leave the same single Pool.

    Hypothesis takes away a few decisions at a time. With all traits a layer has more than that, and one may stay before
    the Pool, as plain as it is.
    """
    search = settings(max_examples=200, database=None, derandomize=True, deadline=None)
    traits = [trait for trait in TRAITS if trait not in without]
    assert_plain(find(cases([TINY], traits=traits), pools, settings=search), before)


def assert_plain(case, before: int = 0) -> None:
    *others, pool = case.program.ops
    assert len(others) <= before
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
    for one, other in zip(again.program.ops, case.program.ops, strict=True):
        if isinstance(one, Conv) and isinstance(other, Conv):
            assert np.array_equal(one.weights, other.weights)
    assert all(np.array_equal(again.inputs[name], codes) for name, codes in case.inputs.items())


def test_decisions_that_do_not_fit_give_no_case(monkeypatch) -> None:
    """A refusal by `plan` is no case, not an error."""

    def refuse(program, machine):
        raise InputError("too large")

    monkeypatch.setattr("sim.testing.stimulus.cases.plan", refuse)
    assert redraw([], TINY) is None


COUNTING = tuple(group for group in GROUPS if group.declared is not None)
"""Groups whose bins a Program can declare without meeting them."""


def met_by(group: Group, view) -> set:
    return set(group.sample(view)) & set(group.bins)


def declared_by(group: Group, view) -> set:
    assert group.declared is not None
    return set(group.declared(view)) & set(group.bins)


@pytest.fixture(scope="module")
def runs():
    """Views of runs on machines of narrow accumulators: each Program with codes of corners, and with zeros alone.

    The last Programs have small layers that end in tables, so that some wait for slots.
    """
    found = []
    small = [{"table": [True], "channels": [1, 2], "weight_bits": [1], "layers": [4], "concat": [False]}] * 4
    for seed in range(40, 220):
        rng = np.random.default_rng(seed)
        machine = random_machine(rng).model_copy(update={"acc_bits": 8 + seed % 9})
        choices = RandomChoices(rng) if seed < 190 else SteeredChoices(RandomChoices(rng), small)
        try:
            case = draw_case(choices, machine, layers=4)
        except InputError:
            continue
        dull = {tensor.name: np.zeros((1, *tensor.shape), np.int32) for tensor in case.program.inputs}
        codes = case.codes, simulate(case.plan.program, dull)
        found += [view for one in codes for view in op_views(case.plan, one)]
    return found


@pytest.mark.parametrize("group", COUNTING, ids=lambda group: group.name)
def test_a_flag_without_the_event_covers_nothing(runs, group) -> None:
    """What is met is declared, or is to wait for nothing; some bin is met by some, not all, that declare it."""
    declared, met = Counter(), Counter()
    for view in runs:
        assert met_by(group, view) <= declared_by(group, view) | {("nothing",), (view.kind, "nothing")}
        declared.update(declared_by(group, view))
        met.update(met_by(group, view) & declared_by(group, view))
    assert any(0 < met[values] < times for values, times in declared.items())


@pytest.mark.parametrize("name", ["bits", "plain bits", "signs", "bipolar", "depthwise lanes", "residuals"])
def test_codes_of_zero_reach_no_high_plane(runs, name) -> None:
    """Whatever bits a format has: a layer that reads and adds nothing but zeros meets no bin of them."""
    (group,) = (group for group in GROUPS if group.name == name)
    dull = [view for view in runs if declared_by(group, view) and all(
        not view.codes[one].any() for one in view.op.reads)]
    assert dull
    assert not any(met_by(group, view) for view in dull)


def test_no_sum_of_a_wide_accumulator_wraps() -> None:
    """A Program that may wrap and whose sums all fit meets no bin of wraps; narrow its accumulator and it does."""
    for acc_bits, wraps in ((24, False), (9, True)):
        machine = TINY.model_copy(update={"acc_bits": acc_bits})
        source = Tensor("a", 1, 2, (1,), Format(8, "signed"))
        target = Tensor("b", 1, 2, (1,), Format(8, "signed"))
        conv = Conv("c", "a", "b", np.full((1, 1, 1, 1), 7, np.int8), Format(4, "signed"), digits_of([[1]]),
                    np.zeros(1, np.int64), np.zeros(1, np.int64), -128, 127)
        program = Program((source, target), (conv,), Arithmetic(acc_bits=acc_bits, window=10, terms=3, wrap=True))
        planned = plan(program, machine)
        codes = simulate(planned.program, {"a": np.array([[[[127, -128]]]])})
        met = {values for name, values in Coverage(GROUPS).bins_of(planned, codes) if name == "wraps"}
        assert met == ({("dense", "top"), ("dense", "bottom")} if wraps else set())


@pytest.mark.parametrize(("offset", "code"), [(-3, "negative even"), (-1, "negative odd"), (1, "positive even"),
                                              (3, "positive odd")])
@pytest.mark.parametrize("rounding", ["half_up", "half_even", "floor"])
def test_ties_are_told_apart(rounding, offset, code) -> None:
    """v / 2 of an odd v lies between two codes: its sign and the parity of the code below are the bin, and no other."""
    fmt = Format(4, "signed")
    conv = Conv("c", "a", "b", np.zeros((1, 1, 1, 1), np.int8), fmt, digits_of([[1]]), np.ones(1, np.int64),
                np.array([offset]), -8, 7)
    program = Program((Tensor("a", 1, 1, (1,), fmt), Tensor("b", 1, 1, (1,), fmt)), (conv,),
                      Arithmetic(acc_bits=24, window=10, terms=3, rounding=rounding))
    planned = plan(program, TINY)
    codes = simulate(planned.program, {"a": np.zeros((1, 1, 1, 1), np.int32)})
    met = {values for name, values in Coverage(GROUPS).bins_of(planned, codes) if name == "ties"}
    assert met == {(rounding, code)}
    unmet = {values for name, values in Coverage(GROUPS).unmet(planned, codes) if name == "ties"}
    assert unmet == {(rounding, side) for side in SIDES} - met
