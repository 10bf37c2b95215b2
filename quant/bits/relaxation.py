"""The allocation problem as a linear program: one variable per layer and pair of bits.

x[l, w, a] is 1 for the pair that layer l gets. Each layer gets one pair, layers that share a tensor share the sums
over w, and every budget is a row. Integer x are exact allocations; the relaxation to 0 <= x <= 1 bounds the loss from
below and leaves at most as many layers undecided as there are budgets.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, linprog, milp
from scipy.sparse import csr_array, lil_array

from quant.bits.allocation import Choice, Problem
from quant.bits.bounds import Allowed
from sim.errors import EngineError

__all__ = ["Relaxed", "solve_relaxation", "solve_whole"]

TIME_LIMIT = 60.0
"""Time limit of branch and bound [s]; after it the best choice so far counts."""

ROW_SIZE = 1e3
"""Rows are scaled to this largest entry, so that the solver's absolute tolerance of 1e-6 is a billionth of it."""
LOSS_SIZE = 1e4
"""Likewise for the loss, whose optimum is often a thousandth of its largest entry."""


@dataclass(frozen=True)
class Relaxed:
    """A fractional solution: `shares` of shape (layers, weights, activations), `prices` of the budgets, at least 0."""

    shares: NDArray[np.float64]
    prices: dict[str, float]


@dataclass(frozen=True)
class _Rows:
    """The linear program in scaled units."""

    objective: NDArray[np.float64]
    unit: float
    equalities: csr_array
    right_sides: NDArray[np.float64]
    budgets: NDArray[np.float64]
    limits: NDArray[np.float64]
    scales: list[float]
    upper: NDArray[np.float64]


def _rows(problem: Problem, allowed: Allowed) -> _Rows:
    loss = problem.weight_loss[:, :, None] + problem.activation_loss[:, None, :]
    loss = loss - np.where(allowed, loss, np.inf).min(axis=(1, 2), keepdims=True)
    loss[~allowed] = 0.0  # a choice that is ruled out must not set the scale
    unit = (float(loss.max()) or 1.0) / LOSS_SIZE
    scales = [ROW_SIZE / (float(np.abs(table).max()) or 1.0) for table in problem.costs.values()]
    budgets = np.array([np.ravel(table) * scale for table, scale in
                        zip(problem.costs.values(), scales, strict=True)]).reshape(len(scales), allowed.size)
    limits = np.array([float(problem.limits[name]) * scale for name, scale in
                       zip(problem.costs, scales, strict=True)])
    equalities, right_sides = _equalities(problem, allowed.shape)
    return _Rows(loss.ravel() / unit, unit, equalities, right_sides, budgets, limits, scales,
                 allowed.ravel().astype(np.float64))


def _equalities(problem: Problem, shape: tuple[int, ...]) -> tuple[csr_array, NDArray[np.float64]]:
    index = np.arange(np.prod(shape)).reshape(shape)
    ties = [(group[0], other) for group in problem.groups for other in group[1:]]
    rows = lil_array((shape[0] + len(ties) * shape[2], index.size))
    for layer in range(shape[0]):
        rows[[layer], index[layer].ravel()] = 1.0
    for number, (first, other) in enumerate(ties):
        for a in range(shape[2]):
            row = shape[0] + number * shape[2] + a
            rows[[row], index[first, :, a]] = 1.0
            rows[[row], index[other, :, a]] = -1.0
    return csr_array(rows), np.concatenate([np.ones(shape[0]), np.zeros(len(ties) * shape[2])])


def solve_relaxation(problem: Problem, allowed: Allowed) -> Relaxed | None:
    """Solve the linear program by HiGHS; None if even fractions of bits cannot keep the budgets together.

    Raises
    ------
    EngineError
        If HiGHS gives up.
    """
    rows = _rows(problem, allowed)
    result = linprog(rows.objective, rows.budgets, rows.limits, rows.equalities, rows.right_sides,
                     np.stack([np.zeros_like(rows.upper), rows.upper], axis=1), method="highs")
    if result.status == 2:
        return None
    if result.status:
        raise EngineError(f"the linear program of the allocation failed: {result.message}")
    prices = np.maximum(-np.asarray(result.ineqlin.marginals), 0.0) * np.array(rows.scales) * rows.unit
    return Relaxed(result.x.reshape(allowed.shape), dict(zip(problem.costs, prices.tolist(), strict=True)))


def solve_whole(problem: Problem, allowed: Allowed) -> Choice | None:
    """Return the best allowed choice by HiGHS's branch and bound, to its tolerances; None if nothing keeps the budgets.

    HiGHS allows a budget to be exceeded by its tolerance. A choice that does so is cut off, and it goes on. After
    `TIME_LIMIT` the best choice so far counts.

    Raises
    ------
    EngineError
        If HiGHS gives up, or finds nothing in time.
    """
    rows = _rows(problem, allowed)
    cuts: list[NDArray[np.float64]] = []
    while True:
        constraints = [LinearConstraint(rows.equalities, rows.right_sides, rows.right_sides),
                       LinearConstraint(rows.budgets, -np.inf, rows.limits)]
        if cuts:
            constraints.append(LinearConstraint(np.array(cuts), -np.inf, len(problem.layers) - 1))
        with _quiet():
            result = milp(rows.objective, integrality=np.ones_like(rows.upper), bounds=Bounds(0.0, rows.upper),
                          constraints=constraints, options={"mip_rel_gap": 0.0, "time_limit": TIME_LIMIT})
        if result.status == 2:
            return None
        if result.x is None:
            raise EngineError(f"branch and bound of the allocation failed: {result.message}")
        choice = _decode(problem, result.x)
        if problem.keeps_budgets(choice):
            return choice
        cuts.append(np.round(result.x))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep compiled code from printing: HiGHS 1.12 has a debug print without a switch, and stdout is for results."""
    libc, kept = ctypes.CDLL(None), os.dup(1)
    libc.fflush(None)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    try:
        yield
    finally:
        libc.fflush(None)
        os.dup2(kept, 1)
        os.close(kept)


def _decode(problem: Problem, x: NDArray[np.float64]) -> Choice:
    best = x.reshape(len(problem.layers), -1).argmax(axis=1)
    return np.stack(np.divmod(best, len(problem.activation_bits)), axis=1)
