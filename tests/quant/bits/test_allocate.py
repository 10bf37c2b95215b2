"""Allocation: no budget is ever exceeded, and the loss is as small as the method promises."""

import itertools
import re
from dataclasses import replace
from fractions import Fraction
from math import inf
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant.bits.allocate import Method, allocate
from quant.bits.allocation import Allocation, Choice, Problem
from quant.bits.bounds import certified_bound, legal
from quant.bits.relaxation import solve_relaxation
from sim.errors import EngineError, InputError

RISING = ("latency_cycles", "energy_pj")
COSTS = (*RISING, "balance")
METHODS: tuple[Method, ...] = ("lp", "milp", "convex", "greedy")


def random_problem(rng: np.random.Generator, layers: int, options: int = 7, *, tied: bool = True, pinned: bool = True,
                   tightness: float | None = None, names: tuple[str, ...] = COSTS) -> Problem:
    """Losses that fall and costs that rise with the bits, by no law in particular; integers, floats and negatives."""
    bits = tuple(range(2, 2 + options))
    shape = (layers, options, options)
    losses = [np.sort(rng.lognormal(0, 3, (layers, options)), axis=1)[:, ::-1] for _ in range(2)]
    sizes = rng.lognormal(0, 1, (layers, 1, 1))
    product = sizes * np.multiply.outer(bits, bits)
    tables = {
        "latency_cycles": np.ceil(1000 * product + rng.uniform(0, 2000, shape)).astype(np.int64),
        "energy_pj": product * rng.uniform(0.7, 1.3, shape),
        "balance": rng.integers(-3, 9, shape),
    }
    share = rng.uniform(0, 1) if tightness is None else tightness
    ties = tuple((i, i + 1) for i in range(0, layers - 1, 3)) if tied else ()
    allowed_weights = {layers - 1: bits[-1:]} if pinned else {}
    allowed_activations = {0: (bits[options // 2],)} if pinned else {}
    # A limit between what the cheapest and the dearest entries cost; the pinned layers keep it possible most times.
    limits = {name: float(table.min(axis=(1, 2)).sum() * (1 - share) + table.max(axis=(1, 2)).sum() * share)
              for name, table in tables.items()}
    chosen = rng.permutation(names)[: rng.integers(1, len(names) + 1)].tolist()
    return Problem(tuple(f"l{i}" for i in range(layers)), bits, bits, losses[0].copy(), losses[1].copy(),
                   {name: tables[name] for name in chosen}, {name: limits[name] for name in chosen}, ties,
                   allowed_weights, allowed_activations)


def solve(problem: Problem, method: Method) -> Allocation | None:
    """The allocation, or None where none exists."""
    try:
        return allocate(problem, method)
    except InputError:
        return None


def all_choices(problem: Problem) -> list[Choice]:
    """Every legal choice, budgets aside, enumerated the slow way."""
    tensors = [problem.activation_options(group) for group in range(len(problem.groups))]
    weights = [problem.weight_options(layer) for layer in range(len(problem.layers))]
    return [np.array([(w[layer], a[problem.group_of[layer]]) for layer in range(len(problem.layers))])
            for w in itertools.product(*weights) for a in itertools.product(*tensors)]


def exact_cost(problem: Problem, name: str, bits: dict[str, tuple[int, int]]) -> Fraction:
    """The cost of an allocation, added up here from the original table."""
    total = Fraction(0)
    for row, layer in enumerate(problem.layers):
        w, a = bits[layer]
        entry = problem.costs[name][row, problem.weight_bits.index(w), problem.activation_bits.index(a)]
        total += Fraction(entry.item())
    return total


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 14), st.sampled_from(METHODS))
def test_budgets_ties_and_pins_always_hold(seed: int, layers: int, method: Method) -> None:
    """Whatever the tables: used <= limit in exact arithmetic, shared tensors agree, pinned bits stay."""
    problem = random_problem(np.random.default_rng(seed), layers)
    found = solve(problem, method)
    if found is None:
        return
    for name, limit in problem.limits.items():
        assert exact_cost(problem, name, found.bits) <= Fraction(limit)
        assert found.used[name] == float(exact_cost(problem, name, found.bits))
    for tie in problem.ties:
        assert len({found.bits[problem.layers[layer]][1] for layer in tie}) == 1
    assert all(found.bits[problem.layers[layer]][0] in bits for layer, bits in problem.allowed_weights.items())
    assert all(found.bits[problem.layers[layer]][1] in bits for layer, bits in problem.allowed_activations.items())
    assert found.gap >= 0
    assert found.gap == found.objective - found.lower_bound


@pytest.mark.parametrize("seed", range(25))
def test_exact_method_equals_brute_force(seed: int) -> None:
    """On small problems the MILP finds the least loss there is, or nothing where there is nothing."""
    problem = random_problem(np.random.default_rng(seed), 3, options=3)
    losses = [problem.loss(choice) for choice in all_choices(problem) if problem.keeps_budgets(choice)]
    found = solve(problem, "milp")
    assert (found is None) == (not losses)
    if found is not None:
        assert found.objective == min(losses)


def spread_out(problem: Problem, rng: np.random.Generator, largest: float) -> Problem:
    """Some losses made enormous: of widths that a sensible choice never takes, or of any."""
    weight_loss, activation_loss = problem.weight_loss.copy(), problem.activation_loss.copy()
    for table in (weight_loss, activation_loss):
        rows = rng.random(len(table)) < 0.5
        table[rows, 0] += largest * rng.random(rows.sum())
        table[rng.random(table.shape) < 0.1] += largest
    return replace(problem, weight_loss=weight_loss, activation_loss=activation_loss)


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1e3, 1e6, 1e9, 1e12]), st.sampled_from(METHODS))
def test_widely_spread_losses_change_no_promise(seed: int, largest: float, method: Method) -> None:
    """Losses up to 1e12 beside losses of 1: milp is the optimum, and no method's bound is above it."""
    rng = np.random.default_rng(seed)
    problem = spread_out(random_problem(rng, 3, options=3), rng, largest)
    losses = [problem.loss(choice) for choice in all_choices(problem) if problem.keeps_budgets(choice)]
    found = solve(problem, method)
    assert (found is None) == (not losses)
    if found is not None:
        assert found.lower_bound <= min(losses) <= found.objective
        assert method != "milp" or found.lower_bound == found.objective == min(losses)


@pytest.mark.parametrize("largest", [1e9, 1e12])
def test_one_irrelevant_loss_spoils_nothing(largest: float) -> None:
    """Ten layers of ordinary losses and one whose first width loses 1e9 or more: the same bits as without it."""
    problem = random_problem(np.random.default_rng(5), 10, pinned=False, tightness=0.3, names=RISING)
    expected = allocate(problem, "milp")
    (row,) = [row for row, layer in enumerate(problem.layers) if layer == "l4"]
    assert expected.bits["l4"][0] != problem.weight_bits[0]
    weight_loss = problem.weight_loss.copy()
    weight_loss[row, 0] = largest
    found = allocate(replace(problem, weight_loss=weight_loss), "milp")
    assert (found.bits, found.objective) == (expected.bits, expected.objective)
    assert found.gap == pytest.approx(0, abs=0.01 * found.objective)


def test_bounds_hold_when_the_proof_is_cut_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """With no steps for the proof, or some, the bound of milp stays below the optimum and rises to it."""
    problem = random_problem(np.random.default_rng(2), 6, pinned=False, tightness=0.3, names=RISING)
    best, bounds = allocate(problem, "milp").objective, []
    for steps in (0, 3, 30, 5000):
        monkeypatch.setattr("quant.bits.allocate.STEPS", steps)
        found = allocate(problem, "milp")
        assert found.objective == best
        bounds.append(found.lower_bound)
    assert bounds == sorted(bounds)
    assert bounds[0] < bounds[-1] == best


@pytest.mark.parametrize("seed", range(12))
def test_small_problems_of_many_budgets_are_proven(seed: int) -> None:
    """Where several budgets bind at once, prices bound the loss badly; the search proves the optimum all the same."""
    rng = np.random.default_rng(seed)
    layers, bits = int(rng.integers(6, 10)), (2, 4, 8)
    losses = [np.sort(10 ** rng.uniform(-3, 3, (layers, 3)), axis=1)[:, ::-1].copy() for _ in range(2)]
    shapes = [np.outer(bits, bits), np.tile(np.array(bits)[:, None], 3), np.tile(bits, (3, 1))]
    sizes = np.round(10 ** rng.uniform(0, 2, (6, layers))) * (rng.random((6, layers)) < 0.7)
    costs = {str(k): row[:, None, None] * shapes[k % 3] for k, row in enumerate(sizes)}
    least, most = ({k: pick(table, axis=(1, 2)).sum() for k, table in costs.items()} for pick in (np.min, np.max))
    limits = {k: float(least[k] + (most[k] - least[k]) * rng.uniform(0.1, 0.6)) for k in costs}
    names = tuple(map(str, range(layers)))
    found = allocate(Problem(names, bits, bits, losses[0], losses[1], costs, limits), "milp")
    assert found.lower_bound == found.objective


@pytest.mark.parametrize(("solver", "method", "text"), [
    ("linprog", "lp", "the linear program of the allocation failed: out of luck"),
    ("milp", "milp", "branch and bound of the allocation failed: out of luck"),
])
def test_solvers_that_fail_are_engines_that_fail(
        solver: str, method: Method, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """HiGHS giving up is an EngineError with its own words, not a traceback."""
    monkeypatch.setattr(f"quant.bits.relaxation.{solver}",
                        lambda *_, **__: SimpleNamespace(status=4, x=None, message="out of luck"))
    with pytest.raises(EngineError, match=f"^{re.escape(text)}$"):
        allocate(one_cost(10, [1, 20]), method)


@pytest.mark.parametrize("method", ["lp", "convex", "greedy"])
@pytest.mark.parametrize("seed", range(15))
def test_fast_methods_find_something_wherever_there_is_something(seed: int, method: Method) -> None:
    """Feasible problems are solved, with a loss at least the optimum's and a bound at most the optimum."""
    problem = random_problem(np.random.default_rng(1000 + seed), 3, options=3)
    losses = [problem.loss(choice) for choice in all_choices(problem) if problem.keeps_budgets(choice)]
    found = solve(problem, method)
    assert (found is None) == (not losses)
    if found is not None:
        assert found.lower_bound <= min(losses) <= found.objective


def test_fast_methods_come_close_on_real_sizes() -> None:
    """On 40 layers with costs that rise with the bits: lp within 2 % of the optimum, convex within 25 %."""
    for seed in range(3):
        problem = random_problem(np.random.default_rng(seed), 40, pinned=False, tightness=0.3, names=RISING)
        best = allocate(problem, "milp").objective
        assert best <= allocate(problem, "lp").objective <= 1.02 * best
        assert best <= allocate(problem, "convex").objective <= 1.25 * best


@pytest.mark.parametrize("seed", range(6))
def test_greed_is_right_where_every_bit_costs_the_same(seed: int) -> None:
    """With losses that fall ever slower and one price for a bit of any tensor, greedy is the optimum."""
    rng = np.random.default_rng(seed)
    bits = np.arange(2, 9)
    losses = rng.lognormal(0, 2, (12, 1)) * 4.0**-bits, rng.lognormal(0, 2, (12, 1)) * 4.0**-bits
    costs = np.tile(np.add.outer(bits, bits), (12, 1, 1))
    problem = Problem(tuple("abcdefghijkl"), tuple(bits.tolist()), tuple(bits.tolist()), *losses, {"bits": costs},
                      {"bits": float(rng.integers(60, 180))})
    assert allocate(problem, "greedy").objective == pytest.approx(allocate(problem, "milp").objective, rel=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_larger_budgets_never_lose_more(seed: int) -> None:
    """The exact loss falls, or stays, when a limit grows."""
    problem = random_problem(np.random.default_rng(seed), 8, pinned=False, tightness=0.1)
    losses = [allocate(replace(problem, limits={name: limit + abs(limit) * more for name, limit in
                                                problem.limits.items()}), "milp").objective
              for more in (0.0, 0.1, 0.2, 0.5, 1.0, 3.0)]
    assert losses == sorted(losses, reverse=True)
    assert losses[0] > losses[-1]


def test_without_limits_everything_is_wide() -> None:
    """Budgets that forbid nothing give every layer its widest bits, by every method, at no gap."""
    problem = random_problem(np.random.default_rng(4), 6, tied=False, pinned=False)
    problem = replace(problem, limits=dict.fromkeys(problem.limits, 1e12))
    for method in METHODS:
        found = allocate(problem, method)
        assert set(found.bits.values()) == {(8, 8)}
        assert found.gap == pytest.approx(0, abs=1e-12)


def one_cost(limit: float, table: list[int | float], name: str = "latency_cycles") -> Problem:
    """One layer, two weight widths, one activation width."""
    return Problem(("conv",), (2, 4), (8,), np.array([[3.0, 1.0]]), np.zeros((1, 1)),
                   {name: np.array([[[entry] for entry in table]])}, {name: limit})


@pytest.mark.parametrize("method", METHODS)
def test_a_budget_is_met_to_the_last_unit(method: Method) -> None:
    """A limit of exactly the cost allows it; one unit, or the smallest float, less does not."""
    assert allocate(one_cost(10**9, [10, 10**9]), method).bits == {"conv": (4, 8)}
    assert allocate(one_cost(10**9 - 1, [10, 10**9]), method).bits == {"conv": (2, 8)}
    price = 0.1 + 0.2
    assert allocate(one_cost(price, [0.1, price]), method).bits == {"conv": (4, 8)}
    assert allocate(one_cost(np.nextafter(price, 0).item(), [0.1, price]), method).bits == {"conv": (2, 8)}


@pytest.mark.parametrize("method", METHODS)
def test_sums_are_compared_exactly(method: Method) -> None:
    """Ten times 0.1 is more than 1 in binary floats, though a float sum says less: the budget of 1 refuses it."""
    costs = np.tile(np.array([[[0.0], [0.1]]]), (10, 1, 1))
    losses = np.tile([[1.0, 0.0]], (10, 1)), np.zeros((10, 1))
    problem = Problem(tuple("abcdefghij"), (2, 4), (8,), *losses, {"energy_pj": costs}, {"energy_pj": 1.0})
    found = allocate(problem, method)
    assert sum(bits == (4, 8) for bits in found.bits.values()) == 9


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("problem", "text"), [
    (one_cost(1000, [1234, 2000]), "budget latency_cycles: 1000 cannot be met; the smallest achievable is 1234"),
    (one_cost(-0.5, [0.25, 1.0], "energy_pj"), "budget energy_pj: -0.5 cannot be met; the smallest achievable is 0.25"),
])
def test_impossible_budgets_say_what_is_possible(problem: Problem, text: str, method: Method) -> None:
    """The message names the budget, the limit and the smallest value that could be achieved."""
    with pytest.raises(InputError, match=f"^{re.escape(text)}$"):
        allocate(problem, method)


@pytest.mark.parametrize("seed", range(10))
def test_the_smallest_achievable_value_is_achievable(seed: int) -> None:
    """Taking the message's own number as the limit succeeds; the next smaller float is refused again."""
    problem = random_problem(np.random.default_rng(seed), 5)
    name = next(iter(problem.costs))
    alone = replace(problem, costs={name: problem.costs[name]}, limits={name: -1e9})
    with pytest.raises(InputError) as caught:
        allocate(alone)
    smallest = float(str(caught.value).rsplit(" ", 1)[1])
    assert allocate(replace(alone, limits={name: smallest})).used[name] <= smallest
    with pytest.raises(InputError):
        allocate(replace(alone, limits={name: np.nextafter(smallest, -inf).item()}))


@pytest.mark.parametrize("method", METHODS)
def test_budgets_that_conflict_say_so(method: Method) -> None:
    """Two budgets that can each be met, but never together, are named together."""
    costs = {"latency_cycles": np.array([[[1], [9]]]), "energy_pj": np.array([[[9], [1]]])}
    problem = Problem(("conv",), (2, 4), (8,), np.zeros((1, 2)), np.zeros((1, 1)), costs,
                      {"latency_cycles": 5, "energy_pj": 5.5})
    text = "budgets latency_cycles: 5 and energy_pj: 5.5 cannot be met together, though each can be met alone"
    with pytest.raises(InputError, match=f"^{re.escape(text)}$"):
        allocate(problem, method)


def test_conflicts_that_fractions_could_solve_are_found_too() -> None:
    """Halves of two layers would keep both budgets, whole bits cannot: every method says so."""
    costs = {"latency_cycles": np.array([[[0], [3]]]), "energy_pj": np.array([[[3], [0]]])}
    problem = Problem(("conv",), (2, 4), (8,), np.zeros((1, 2)), np.zeros((1, 1)), costs,
                      {"latency_cycles": 2, "energy_pj": 2})
    for method in METHODS:
        with pytest.raises(InputError, match=r"^budgets latency_cycles: 2 and energy_pj: 2 cannot be met together"):
            allocate(problem, method)


def test_any_prices_bound_the_loss() -> None:
    """Lagrangian duality holds for arbitrary prices, and the relaxation's are the best of those tried."""
    rng = np.random.default_rng(7)
    problem = random_problem(rng, 3, options=3, tightness=0.4)
    least = min(problem.loss(choice) for choice in all_choices(problem) if problem.keeps_budgets(choice))
    relaxed = solve_relaxation(problem, legal(problem))
    assert relaxed is not None
    best = certified_bound(problem, relaxed.prices)
    assert best <= least
    for _ in range(50):
        prices = {name: price * rng.lognormal(0, 1) + rng.exponential(1e-6) for name, price in relaxed.prices.items()}
        assert certified_bound(problem, prices) <= best + 1e-9 * abs(best)


def test_solvers_print_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    """Results go to stdout, so compiled solvers must not: HiGHS prints on this problem when it is left to."""
    for seed in (1, 4, 5):
        allocate(random_problem(np.random.default_rng(seed), 40, pinned=False, tightness=0.3, names=RISING), "milp")
    assert capfd.readouterr() == ("", "")


def test_refuses_unknown_methods() -> None:
    """The methods are named."""
    with pytest.raises(InputError, match=r"^method must be one of lp, milp, convex, greedy, not guess$"):
        allocate(one_cost(10, [1, 2]), "guess")


def test_refuses_a_problem_without_layers() -> None:
    """A Program of pools alone has no bits to choose."""
    none = np.zeros((0, 2))
    with pytest.raises(InputError, match=r"^there are no layers to choose bits for$"):
        allocate(Problem((), (2, 4), (2, 4), none, none, {}, {}))
