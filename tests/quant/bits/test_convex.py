"""The relaxation to real bits."""

import cvxpy as cp
import numpy as np
import pytest

from quant.bits.allocate import allocate
from quant.bits.allocation import Problem
from quant.bits.convex import _envelope, _real_bits, solve_convex
from sim.errors import EngineError


def two_layers(sensitivities: tuple[float, float], limit: float) -> Problem:
    """Losses F * 4**-bits, cost the sum of weight bits; activations have one width."""
    bits = np.arange(2, 9)
    cost = np.tile(bits[None, :, None], (2, 1, 1)) * np.array([1.0, 3.0])[:, None, None]
    losses = np.array(sensitivities)[:, None] * 4.0**-bits
    return Problem(("a", "b"), tuple(bits.tolist()), (8,), losses, np.zeros((2, 1)), {"bytes": cost}, {"bytes": limit})


@pytest.mark.parametrize("limit", [10.0, 14.0, 20.0, 27.0])
@pytest.mark.parametrize("sensitivities", [(1.0, 1.0), (50.0, 1.0), (1.0, 50.0)])
def test_real_bits_are_the_best_of_a_fine_grid(sensitivities: tuple[float, float], limit: float) -> None:
    """With one budget over two layers, all points where it is used up can be tried: none loses less."""
    problem = two_layers(sensitivities, limit)
    log_w, log_a = np.log(problem.weight_bits), np.log(problem.activation_bits)
    u, _ = _real_bits(problem, log_w, log_a)
    first = np.linspace(2, 8, 20001)
    second = np.clip((limit - first) / 3, 0, 8)

    def loss(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (np.interp(np.log(a), log_w, problem.weight_loss[0])
                + np.interp(np.log(b), log_w, problem.weight_loss[1]))

    possible = second >= 2
    best = loss(first[possible], second[possible]).min()
    assert np.exp(u) @ [1, 3] <= limit * (1 + 1e-6)
    assert loss(np.exp(u[:1]), np.exp(u[1:])).item() == pytest.approx(best, rel=1e-3, abs=1e-9)


def closed_form(sensitivity: np.ndarray, sizes: np.ndarray, limit: float) -> np.ndarray:
    """Real bits of least sum F 4**-b under sum n b <= limit, 2 <= b <= 8.

    b = clip(log2(2 ln 2 F / (price n)) / 2, 2, 8), with the price that uses up the limit, by bisection.
    """
    low, high = -200.0, 200.0
    for _ in range(200):
        price = (low + high) / 2
        bits = np.clip(0.5 * (np.log2(2 * np.log(2) * sensitivity / sizes) - price), 2, 8)
        low, high = (price, high) if bits @ sizes > limit else (low, price)
    return bits


@pytest.mark.parametrize("seed", range(6))
def test_real_bits_are_the_closed_form(seed: int) -> None:
    """Where the closed form comes out whole the tables lose nothing: the relaxation finds it, and milp exactly.

    Sensitivities are made from the bits; those at an end of the range are pushed beyond it, where the clip holds.
    """
    rng = np.random.default_rng(seed)
    sizes, bits = rng.uniform(1, 20, 6), rng.permutation([2, 8, *rng.integers(3, 8, 4)])
    sensitivity = sizes * 4.0**bits * np.select([bits == 2, bits == 8], [0.2, 5.0], 1.0)
    limit = float(sizes @ bits) * (1 + 1e-12)
    assert closed_form(sensitivity, sizes, limit) == pytest.approx(bits, abs=1e-6)
    widths = np.arange(2, 9)
    costs = sizes[:, None, None] * widths[None, :, None]
    problem = Problem(tuple("abcdef"), tuple(widths.tolist()), (8,), sensitivity[:, None] * 4.0**-widths,
                      np.zeros((6, 1)), {"bytes": costs}, {"bytes": limit})
    u, _ = _real_bits(problem, np.log(problem.weight_bits), np.log(problem.activation_bits))
    assert np.exp(u) == pytest.approx(bits, abs=0.02)
    assert [w for w, _ in allocate(problem, "milp").bits.values()] == bits.tolist()


def test_shares_are_largest_at_the_nearest_bits() -> None:
    """The pair with the largest share is the one nearest to the real bits, on a logarithmic scale."""
    problem = two_layers((1.0, 50.0), 20.0)
    log_w, log_a = np.log(problem.weight_bits), np.log(problem.activation_bits)
    u, _ = _real_bits(problem, log_w, log_a)
    shares = solve_convex(problem)
    assert shares.shape == (2, 7, 1)
    assert shares[:, :, 0].argmax(axis=1).tolist() == np.abs(u[:, None] - log_w).argmin(axis=1).tolist()


@pytest.mark.parametrize("seed", range(10))
def test_envelopes_are_the_largest_convex_function_below(seed: int) -> None:
    """At any x the envelope is the least height of all chords between two points that span x, tried one by one."""
    rng = np.random.default_rng(seed)
    points, values = np.sort(rng.normal(size=7)), rng.normal(size=7)
    x = cp.Variable()
    envelope = _envelope(x, points, values)
    assert envelope.is_convex()
    for x.value in np.linspace(points[0], points[-1], 23):
        chords = [np.interp(x.value, points[[i, j]], values[[i, j]]) for i in range(7) for j in range(i, 7)
                  if points[i] <= x.value <= points[j]]
        assert envelope.value == pytest.approx(min(chords))


def test_an_unmeetable_fit_still_guides() -> None:
    """A budget below what the fit can reach does not stop the relaxation: it goes as low as it can."""
    u, _ = _real_bits(two_layers((1.0, 1.0), 0.5), np.log(np.arange(2, 9)), np.log([8]))
    assert np.exp(u) == pytest.approx([2, 2], rel=1e-3)


def test_a_solver_that_fails_is_an_engine_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clarabel giving up is an EngineError, whether it raises or only says so."""
    def give_up(self: cp.Problem, **_: object) -> None:
        raise cp.error.SolverError("out of luck")

    monkeypatch.setattr(cp.Problem, "solve", give_up)
    with pytest.raises(EngineError, match=r"^the convex program of the allocation failed: out of luck$"):
        solve_convex(two_layers((1.0, 1.0), 20.0))
    monkeypatch.setattr(cp.Problem, "solve", lambda self, **_: None)
    with pytest.raises(EngineError, match=r"^the convex program of the allocation failed: Clarabel ended with status"):
        solve_convex(two_layers((1.0, 1.0), 20.0))
