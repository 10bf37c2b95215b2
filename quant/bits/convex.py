"""The relaxation to real bits, in the logarithms of the bits.

QBitOpt (Peters et al., "QBitOpt: Fast and Accurate Bitwidth Reallocation during Training", ICCV Workshops 2023, arXiv
2307.04535) allocates by convex optimisation. A cost that grows with the product of weight and activation bits is not
convex in the bits, but it is in their logarithms: c0 + c1 e^u + c2 e^v + c3 e^(u+v) with c >= 0 is fitted to each cost
table, and the loss is the lower convex envelope through its table points, exact at whole bits. The fit only guides:
what comes out is rounded and then repaired against the tables themselves.
"""

from __future__ import annotations

import warnings
from itertools import pairwise

import cvxpy as cp
import numpy as np
from cvxpy.atoms.elementwise.exp import exp
from cvxpy.atoms.elementwise.maximum import maximum
from numpy.typing import NDArray
from scipy.optimize import nnls

from quant.bits.allocation import Problem
from sim.errors import EngineError

__all__ = ["solve_convex"]

Reals = NDArray[np.float64]

OVER_PRICE = 1e3
"""Per share by which a fitted cost may exceed its limit: the fit can lie above the tables and leave no room."""


def solve_convex(problem: Problem) -> Reals:
    """Solve for real bits and give each choice a share that falls with its distance.

    Returns
    -------
    float array, shape (layers, weights, activations)
        exp(-|log distance of both bits|): largest at the choices nearest to the solution.

    Raises
    ------
    EngineError
        If Clarabel finds no solution.
    """
    log_w, log_a = np.log(problem.weight_bits), np.log(problem.activation_bits)
    u, v = _real_bits(problem, log_w, log_a)
    distance = np.abs(u[:, None, None] - log_w[:, None]) + np.abs(v[list(problem.group_of), None, None] - log_a)
    return np.asarray(np.exp(-distance), np.float64)


def _real_bits(problem: Problem, log_w: Reals, log_a: Reals) -> tuple[Reals, Reals]:
    """Return the best logarithms of weight bits, by layer, and of activation bits, by group."""
    u, v = cp.Variable(len(problem.layers)), cp.Variable(len(problem.groups))
    over = cp.Variable(max(len(problem.costs), 1), nonneg=True)
    size = float(np.ptp(problem.weight_loss) + np.ptp(problem.activation_loss)) or 1.0
    total: cp.Expression = over @ np.full(over.size, OVER_PRICE)
    constraints: list[cp.Constraint] = []
    for group, layers in enumerate(problem.groups):
        options = problem.activation_options(group)
        constraints += [v[group] >= log_a[options[0]], v[group] <= log_a[options[-1]]]
        loss = problem.activation_loss[list(layers)].sum(axis=0)
        total += _envelope(v[group], log_a[options], loss[options] / size)
    for layer in range(len(problem.layers)):
        options = problem.weight_options(layer)
        constraints += [u[layer] >= log_w[options[0]], u[layer] <= log_w[options[-1]]]
        total += _envelope(u[layer], log_w[options], problem.weight_loss[layer, options] / size)
    for number, (name, table) in enumerate(problem.costs.items()):
        scale = abs(float(problem.limits[name])) or 1.0
        fitted = _fitted(problem, np.asarray(table, np.float64) / scale, u, v)
        constraints.append(fitted <= problem.limits[name] / scale + over[number])
    _solve(cp.Problem(cp.Minimize(total), constraints))
    return np.asarray(u.value), np.asarray(v.value)


def _solve(program: cp.Problem) -> None:
    with warnings.catch_warnings():
        # An inaccurate optimum is as good a guide as an accurate one.
        warnings.filterwarnings("ignore", message="Solution may be inaccurate", category=UserWarning)
        try:
            program.solve(solver=cp.CLARABEL)
        except cp.error.SolverError as error:
            raise EngineError(f"the convex program of the allocation failed: {error}") from error
    if program.status not in (cp.OPTIMAL, cp.OPTIMAL_INACCURATE):
        raise EngineError(f"the convex program of the allocation failed: Clarabel ended with status {program.status}")


def _fitted(problem: Problem, table: Reals, u: cp.Variable, v: cp.Variable) -> cp.Expression:
    """Build the sum over layers of c0 + c1 e^u + c2 e^v + c3 e^(u+v), least-squares fits to each layer's table."""
    grid = np.meshgrid(problem.weight_bits, problem.activation_bits, indexing="ij")
    weights, activations = (axis.ravel() for axis in grid)
    columns = np.stack([np.ones(weights.size), weights, activations, weights * activations], axis=1)
    c0, c1, c2, c3 = np.array([nnls(columns, layer.ravel())[0] for layer in table]).T
    tied = v[list(problem.group_of)]
    cost: cp.Expression = c0.sum() + c1 @ exp(u) + c2 @ exp(tied) + c3 @ exp(u + tied)
    return cost


def _envelope(x: cp.Expression, points: Reals, values: NDArray[np.float64]) -> cp.Expression:
    """Return the largest convex function below (points, values), as a maximum of straight lines."""
    hull: list[int] = []
    for i in range(len(points)):
        while len(hull) > 1 and _is_above(points, values, hull[-2], hull[-1], i):
            hull.pop()
        hull.append(i)
    lines = [values[i] + (values[j] - values[i]) / (points[j] - points[i]) * (x - points[i])
             for i, j in pairwise(hull)]
    return maximum(*lines) if len(lines) > 1 else lines[0] if lines else cp.Constant(values[0])


def _is_above(points: Reals, values: Reals, a: int, b: int, c: int) -> bool:
    """Return whether point b does not lie below the line from a to c."""
    return bool((values[b] - values[a]) * (points[c] - points[a]) >= (values[c] - values[a]) * (points[b] - points[a]))
