"""What may be wrong with an op, and whether that makes all the codes that the RTL made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bitwright.divergence.conv_run import Array, ConvRun
from rtl.cosim.requant_probe import UNKNOWN
from rtl.cosim.run import UNDEFINED

__all__ = ["ANYTHING", "Diagnosis", "Hypothesis", "Mask", "Scope", "column_scopes", "conv_scopes", "diagnose"]

Mask = NDArray[np.bool_]
Scope = tuple[str, Mask]
"""Part of the hardware in words, and the codes of a map (channels, rows, columns) that it makes."""
ANYTHING = int(np.iinfo(np.int64).max)
"""Stands for a code of which a hypothesis says nothing."""
MOST_NAMED = 5
"""Other hypotheses that a diagnosis names."""


@dataclass(frozen=True, eq=False)
class Hypothesis:
    """A fault of one field.

    Attributes
    ----------
    field : str
        What is wrong.
    text : str
        How.
    codes : int64 array, shape (N, O, own rows, own columns)
        What the op then writes; `UNDEFINED` where that has undefined bits, `ANYTHING` where it is not known.
    accumulator, residual : int64 arrays of the same shape, or None
        What the requantizer is then given; None: what the contract says.
    moved : int64 array of the same shape, or None
        The rounded sum at the zero point; None: what the contract makes of accumulator and residual.
    """

    field: str
    text: str
    codes: Array
    accumulator: Array | None = None
    residual: Array | None = None
    moved: Array | None = None


@dataclass(frozen=True)
class Diagnosis:
    """What is wrong with an op.

    Attributes
    ----------
    field : str or None
        None if no hypothesis makes the codes of the RTL.
    text : str
        How it is wrong.
    where : str
        Part of the hardware to which the fault is confined, "everywhere" if to none.
    reproduced : int
        Wrong codes that follow from it: all of them, or 0.
    tried : int
        Hypotheses.
    others : tuple of str
        Others that make the same codes.
    """

    field: str | None
    text: str
    where: str
    reproduced: int
    tried: int
    others: tuple[str, ...]


def diagnose(hypotheses: Iterable[Hypothesis], scopes: Iterable[Scope], expected: Array, found: Array, comparable: Mask,
             run: ConvRun | None = None) -> Diagnosis:
    """Find the hypothesis from which all codes of an op follow, in the smallest number of words: first come first.

    Parameters
    ----------
    hypotheses : iterable of Hypothesis
        The likelier ones first.
    scopes : iterable of Scope
        To which a fault may be confined.
    expected, found : int64 arrays, shape (N, O, rows, columns)
        Codes of the contract and of the RTL.
    comparable : bool array of the same shape
        Codes for which the op had read no undefined ones.
    run : ConvRun or None
        With numbers captured at the requantizers, which must fit, too.
    """
    wrong = ((expected != found) & comparable).any(axis=0)
    fitting = [(text, mask) for text, mask in scopes if not (wrong & ~mask).any()]
    tried, matches = 0, list[tuple[Hypothesis, str]]()
    for one in hypotheses:
        tried += 1
        scope = next((text for text, mask in fitting if _follows(one, mask, expected, found, comparable, run)), None)
        if scope is not None:
            matches.append((one, scope))
    if not matches:
        return Diagnosis(None, f"none of {tried} hypotheses makes these codes", _smallest(fitting), 0, tried, ())
    matches.sort(key=lambda match: match[1] != fitting[0][0])
    (best, where), *rest = matches
    return Diagnosis(best.field, best.text, where, int(np.count_nonzero((expected != found) & comparable)), tried,
                     tuple(f"{one.field}: {one.text}, {scope}" for one, scope in rest[:MOST_NAMED]))


def conv_scopes(run: ConvRun) -> Iterator[Scope]:
    """Yield the parts of the machine that make codes of a Conv: all of it, then columns, rows, and smaller ones."""
    machine, schedule = run.plan.machine, run.schedule
    shape = run.expected.shape[1:]
    channel, y, x = np.indices(shape)
    yield "everywhere", np.ones(shape, np.bool_)
    row, column, per_unit = channel % machine.rows, y % machine.columns, machine.rows // machine.requantizers
    tile = channel // (schedule.tile_channel_groups * machine.rows)
    chunk = (y // machine.columns * shape[2] + x) // schedule.chunk_pixels
    bank = (tile * schedule.chunk_count + chunk) % 2
    for what, numbers in (("column", column), ("row", row), ("requantizers", row // per_unit), ("row tile", tile),
                          ("accumulator bank", bank), ("weight slot", tile % 2)):
        for number in np.unique(numbers).tolist():
            yield f"{what} {number}", numbers == number
    turn = (tile * schedule.pixels + y // machine.columns * shape[2] + x) % 2
    first = (y // machine.columns * shape[2] + x) % schedule.chunk_pixels == 0
    yield "all pixels but the first one of every tile", ~first
    yield "the first pixel of every tile", first
    for what, numbers in (("requantizer", row // per_unit), ("element of row", row)):
        for number in np.unique(numbers).tolist():
            for c in range(machine.columns):
                yield f"{what} {number}, column {c}", (numbers == number) & (column == c)
                for which, text in enumerate(("even", "odd")):
                    yield (f"{what} {number}, column {c}, in {text} pixels",
                           (numbers == number) & (column == c) & (turn == which))


def column_scopes(shape: tuple[int, ...], columns: int) -> Iterator[Scope]:
    """Yield all of a map, and the rows that lie in the bank of each column."""
    yield "everywhere", np.ones(shape, np.bool_)
    for column in range(columns):
        yield f"column {column}", np.indices(shape)[1] % columns == column


def _follows(one: Hypothesis, mask: Mask, expected: Array, found: Array, comparable: Mask, run: ConvRun | None) -> bool:
    """Return whether a fault confined to a scope makes the codes of the RTL, and what was captured on the way."""
    codes = np.where(mask, one.codes, expected)
    if ((codes != found) & (codes != ANYTHING) & comparable).any():
        return False
    if run is None or run.captured is None:
        return True
    certain = comparable & (codes != UNDEFINED)
    acc = run.accumulator if one.accumulator is None else np.where(mask, one.accumulator, run.accumulator)
    residual = run.residual if one.residual is None else np.where(mask, one.residual, run.residual)
    right = run.requantizer.moved(acc, residual)
    moved = right if one.moved is None else np.where(mask, one.moved, right)
    return _was_seen(run, certain, acc, residual, moved) or _was_seen(
        run, certain, run.accumulator, run.residual, moved)


def _was_seen(run: ConvRun, certain: Mask, acc: Array, residual: Array, moved: Array) -> bool:
    """Return whether these numbers were captured: what the requantizer is given, and what it makes of what it takes.

    A fault may change a number before the requantizer is given it, or inside.
    """
    seen = run.captured
    if seen is None:
        return True
    pairs = [(seen.accumulator, acc), (seen.moved, moved)]
    if run.conv.residual is not None:
        pairs.append((seen.residual, residual))
    return not any(((found != UNKNOWN) & certain & (found != wanted)).any() for found, wanted in pairs)


def _smallest(scopes: list[Scope]) -> str:
    return min(scopes, key=lambda scope: np.count_nonzero(scope[1]))[0] if scopes else "everywhere"
