"""Allocation up to the simulated cost."""

from collections.abc import Mapping

import numpy as np
import pytest

from quant.bits.allocate import allocate
from quant.bits.allocation import Problem
from quant.bits.fill_budget import fill_budget
from sim.errors import InputError

BITS = (2, 3, 4, 8)


def problem_with(limit: float, seed: int) -> Problem:
    """Twelve layers whose loss falls by 4 a bit and whose cost is the product of their bits."""
    rng = np.random.default_rng(seed)
    sizes = rng.lognormal(0, 1, (2, 12, 1))
    losses = sizes * np.array([4.0**-bits for bits in BITS])
    cost = rng.integers(50, 200, (12, 1, 1)) * np.multiply.outer(BITS, BITS)
    return Problem(tuple(f"l{row}" for row in range(12)), BITS, BITS, losses[0], losses[1], {"latency_cycles": cost},
                   {"latency_cycles": limit})


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("margin", [0.0, 0.05])
def test_the_simulated_cost_comes_close_to_the_budget_and_never_above(seed: int, margin: float) -> None:
    """Where the table is a fifth too high and more at narrow bits, the budget less its margin is spent to 3 %."""
    problem = problem_with(20_000, seed)

    def simulate(bits: Mapping[str, tuple[int, int]]) -> dict[str, float]:
        choice = problem.choice(bits)
        narrow = sum(min(pair) == 2 for pair in bits.values())
        return {"latency_cycles": float(problem.used("latency_cycles", choice)) * (0.85 - 0.01 * narrow),
                "energy_pj": 1.0}

    found, by_table = fill_budget(problem, "milp", simulate, margin), allocate(problem, "milp")
    assert found.used["latency_cycles"] == simulate(found.bits)["latency_cycles"]
    assert 0.97 * 20_000 * (1 - margin) < found.used["latency_cycles"] <= 20_000 * (1 - margin)
    assert found.objective < by_table.objective
    assert found.lower_bound == 0.0


def test_a_budget_below_every_entry_of_the_table_is_met_where_the_simulation_meets_it() -> None:
    """The table's least is no limit: what the simulation costs is."""
    least = int(problem_with(1e9, 0).costs["latency_cycles"].min(axis=(1, 2)).sum())
    problem = problem_with(0.9 * least, 0)
    with pytest.raises(InputError, match=r"^budget latency_cycles: .* cannot be met; the smallest achievable is \d+$"):
        allocate(problem)
    half = fill_budget(problem, "lp", lambda bits: {"latency_cycles": float(
        problem.used("latency_cycles", problem.choice(bits))) / 2, "energy_pj": 1.0}, 0.01)
    assert half.used["latency_cycles"] <= 0.9 * least


def test_an_impossible_budget_names_what_the_simulation_can_do() -> None:
    """The bits of least cost are the first to be simulated."""
    with pytest.raises(InputError, match=r"^budget latency_cycles: 10 cannot be met; the smallest achievable in the "
                                         r"simulation is about 77$"):
        fill_budget(problem_with(10, 0), "lp", lambda bits: {"latency_cycles": 77.0, "energy_pj": 1.0}, 0.0)


def test_what_the_table_proves_needs_no_margin() -> None:
    """Bits whose cost in the table is the budget are taken, though the simulation leaves no margin."""
    least = int(problem_with(1e9, 0).costs["latency_cycles"].min(axis=(1, 2)).sum())
    found = fill_budget(problem_with(least, 0), "lp", lambda bits: {"latency_cycles": float(least), "energy_pj": 1.0},
                        0.1)
    assert set(found.bits.values()) == {(2, 2)}
