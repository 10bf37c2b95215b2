"""Find what is wrong: the first op that is wrong by itself, its first wrong code, and the field behind them all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from bitwright.divergence.accumulator_faults import accumulator_faults, plane_faults
from bitwright.divergence.conv_run import ConvRun, in_format
from bitwright.divergence.hypothesis import (
    ANYTHING,
    Diagnosis,
    Hypothesis,
    column_scopes,
    conv_scopes,
    diagnose,
)
from bitwright.divergence.operand_faults import operand_faults
from bitwright.divergence.ops import OpCheck, check_ops
from bitwright.divergence.output_faults import output_faults
from bitwright.divergence.pool_faults import pool_faults
from bitwright.divergence.requantizer_faults import requantizer_faults
from bitwright.divergence.transfer_faults import transfer_faults
from bitwright.divergence.undefined import undefined_bits
from quant.reference import conv_steps
from rtl.cosim.requant_probe import UNKNOWN, Captured
from rtl.cosim.run import UNDEFINED, RtlResult
from sim.inspect.explain import Explanation, explain_code
from sim.inspect.writers import Pixel
from sim.ir.ops import Conv, Pool, Store
from sim.mapping.conv_schedule import ConvSchedule
from sim.plan.plan import Plan
from sim.testing.coverage.conv_values import conv_values

__all__ = ["EngineSteps", "Findings", "FirstWrong", "OpVerdict", "Stages", "Watch", "find"]

Codes = NDArray[np.int32]
Watch = Callable[[OpCheck, int, Explanation], Captured | None]
"""Runs a wrong op on an image again, by its number; returns what the requantizers take and give if it is a Conv."""


@dataclass(frozen=True)
class EngineSteps:
    """How an engine comes to the code of a Conv.

    Attributes
    ----------
    accumulator, value, requantized : int
        The accumulator, v before the shift, and the code before a table, which is the index where there is one.
    """

    accumulator: int
    value: int
    requantized: int


@dataclass(frozen=True)
class FirstWrong:
    """The first code that an op has made wrong by itself.

    Attributes
    ----------
    op, tensor : str
    image, channel, y, x : int
        In the tensor.
    plane : int or None
        The lowest plane that differs; of undefined bits, the lowest of those.
    rtl : int or None
        None for undefined bits.
    expected : int
        What the contract makes of what the op had read.
    engines : dict of str to int
        What every other engine has there.
    steps : dict of str to EngineSteps
        How these engines come to it, of a Conv.
    """

    op: str
    tensor: str
    image: int
    channel: int
    y: int
    x: int
    plane: int | None
    rtl: int | None
    expected: int
    engines: dict[str, int]
    steps: dict[str, EngineSteps]


@dataclass(frozen=True)
class OpVerdict:
    """What is to be said of an op.

    Attributes
    ----------
    op, tensor : str
    verdict : {"right", "wrong by itself", "only read wrong codes"}
    codes : int
        That it wrote.
    wrong_by_itself, undefined : int
        Codes that do not follow from what it had read, and of these those with undefined bits.
    wrong_read : int
        Codes that it read and that the simulator does not have.
    """

    op: str
    tensor: str
    verdict: str
    codes: int
    wrong_by_itself: int
    undefined: int
    wrong_read: int


@dataclass(frozen=True)
class Stages:
    """At the requantizers of the first wrong op, for the image of its first wrong code.

    Attributes
    ----------
    accumulator, residual : int or None
        What the RTL's requantizer took for the first wrong code; None if it has undefined bits or was not seen.
    requantized : int or None
        What it gave, before a table.
    wrong_accumulators, wrong_residuals : int
        Of all codes of the op.
    wrong_requantized : int
        Codes that do not follow from what the requantizer took.
    wrong_after : int
        Codes that are not what the requantizer gave, through the table.
    """

    accumulator: int | None
    residual: int | None
    requantized: int | None
    wrong_accumulators: int
    wrong_residuals: int
    wrong_requantized: int
    wrong_after: int


@dataclass(frozen=True)
class Findings:
    """Where the RTL departs from the contract.

    Attributes
    ----------
    first : FirstWrong
    ops : tuple of OpVerdict
        Every op of the Plan that the RTL has completed, in order.
    explanation : Explanation
        Of the first wrong code, out of what the op had read on the RTL.
    diagnosis : Diagnosis
        Of all wrong codes of its op.
    stages : Stages or None
        None where the requantizers were not looked at.
    """

    first: FirstWrong
    ops: tuple[OpVerdict, ...]
    explanation: Explanation
    diagnosis: Diagnosis
    stages: Stages | None


def find(plan: Plan, inputs: Mapping[str, Codes], result: RtlResult, engines: Mapping[str, Mapping[str, Codes]],
         watch: Watch | None = None) -> Findings | None:
    """Find the first op that is wrong by itself and say what of it is; None if every op is right.

    Parameters
    ----------
    plan : Plan
    inputs : mapping of str to int32 array, shape (N, channels, height, width)
        Of the images on the RTL.
    result : RtlResult
        Also of a run that did not end.
    engines : mapping of str to mapping of str to int32 array
        Codes of every tensor in other engines; the first one is the simulator.
    watch : Watch or None
        Looks at the requantizers, once.
    """
    simulated = next(iter(engines.values()))
    checks = list(check_ops(plan, inputs, result, simulated))
    wrong = next((check for check in checks if check.wrong.any()), None)
    if wrong is None:
        return None
    image, place = _first_place(wrong)
    explanation = _explanation(plan, wrong, image, place, simulated)
    captured = None if watch is None else watch(wrong, image, explanation)
    run = _conv_run(plan, wrong, image, captured)
    return Findings(_first(plan, wrong, image, place, engines, result), tuple(map(_verdict, checks)), explanation,
                    _diagnosis(plan, wrong, image, result, run),
                    None if run is None or captured is None else _stages(run, wrong, image, place, captured))


def _first_place(check: OpCheck) -> tuple[int, tuple[int, int, int]]:
    """Return the image and the place in the op's own map of its first wrong code."""
    image, *place = (int(number) for number in np.argwhere(check.wrong)[0])
    return image, (place[0], place[1], place[2])


def _verdict(check: OpCheck) -> OpVerdict:
    own = int(np.count_nonzero(check.wrong))
    verdict = "wrong by itself" if own else "only read wrong codes" if check.wrong_before else "right"
    return OpVerdict(check.op.name, check.tensor, verdict, check.found.size, own, check.undefined, check.wrong_before)


def _first(plan: Plan, check: OpCheck, image: int, place: tuple[int, int, int],
           engines: Mapping[str, Mapping[str, Codes]], result: RtlResult) -> FirstWrong:
    channel, y, x = (int(number) for number in check.places[(slice(None), *place)])
    there = image, channel, y, x
    found, expected = int(check.found[(image, *place)]), int(check.expected[(image, *place)])
    planes = found ^ expected
    if found == UNDEFINED:
        planes = int(result.planes[check.tensor][there]) if check.tensor in result.planes else 0
    return FirstWrong(check.op.name, check.tensor, *there, (planes & -planes).bit_length() - 1 if planes else None,
                      None if found == UNDEFINED else found, expected,
                      {name: int(codes[check.tensor][there]) for name, codes in engines.items()
                       if check.tensor in codes}, _steps(plan, check, (image, *place), engines))


def _steps(plan: Plan, check: OpCheck, own: tuple[int, ...],
           engines: Mapping[str, Mapping[str, Codes]]) -> dict[str, EngineSteps]:
    """Return how the plain loops and torch come to a code of the op's own map, each from the codes that it has."""
    conv, found = check.op, dict[str, EngineSteps]()
    if isinstance(conv, Conv) and "simulator" in engines:
        values = conv_values(plan.program, conv, engines["simulator"])
        found["simulator"] = EngineSteps(*(int(array[own]) for array in (
            values.wrapped, values.totals, values.requantized)))
    if isinstance(conv, Conv) and "torch" in engines:
        steps = conv_steps(plan.program, conv, engines["torch"])
        found["torch"] = EngineSteps(*(int(array[own]) for array in (
            steps.accumulator, steps.value, steps.requantized)))
    return found


def _explanation(plan: Plan, check: OpCheck, image: int, place: tuple[int, int, int],
                 simulated: Mapping[str, Codes]) -> Explanation:
    channel, y, x = (int(number) for number in check.places[(slice(None), *place)])
    written = simulated[check.tensor][: image + 1].copy()
    written[image, channel, y, x] = check.expected[(image, *place)]
    codes = {**{name: array[: image + 1] for name, array in simulated.items()},
             **{name: array[: image + 1] for name, array in check.read.items()}, check.tensor: written}
    return explain_code(plan, codes, check.tensor, image, Pixel(channel, y, x))


def _conv_run(plan: Plan, check: OpCheck, image: int, captured: Captured | None) -> ConvRun | None:
    """Return the Conv of a check on one image; None for other ops."""
    conv, schedule = check.op, plan.schedules[check.number]
    if not isinstance(conv, Conv) or not isinstance(schedule, ConvSchedule):
        return None
    one = slice(image, image + 1)
    shape = (1, *check.expected.shape[1:])
    residual = np.zeros(shape, np.int64)
    if conv.residual is not None:
        part = plan.program.tensor(conv.residual).part_slice(conv.residual_part)
        residual = np.broadcast_to(check.read[conv.residual][one, part], shape).astype(np.int64)
    return ConvRun(plan, conv, schedule, plan.program.tensor(conv.input), check.read[conv.input][one], residual,
                   captured)


def _diagnosis(plan: Plan, check: OpCheck, image: int, result: RtlResult, run: ConvRun | None) -> Diagnosis:
    """Look for the hypothesis from which all codes of the image follow."""
    one = slice(image, image + 1)
    expected, found, comparable = check.expected[one], check.found[one], check.comparable[one]
    scopes = list(conv_scopes(run) if run else column_scopes(expected.shape[1:], plan.machine.columns))
    hypotheses = _of_conv(plan, run) if run else _of_other(plan, check, expected, image)
    diagnosis = diagnose(hypotheses, scopes, expected, found, comparable, run)
    undefined = check.wrong[one] & (found == UNDEFINED)
    if diagnosis.field is None and undefined.any() and check.tensor in result.planes:
        planes = result.planes[check.tensor][one][(slice(None), *check.places)].astype(np.int64)
        return undefined_bits(undefined, planes, plan.program.tensor(check.tensor).format.bits, scopes,
                              diagnosis.tried)
    return diagnosis


def _of_conv(plan: Plan, run: ConvRun) -> Iterator[Hypothesis]:
    fmt = plan.program.tensor(run.conv.output).format
    return chain(requantizer_faults(run), output_faults(run.expected, fmt, plan.machine), operand_faults(run),
                 accumulator_faults(run), plane_faults(run))


def _of_other(plan: Plan, check: OpCheck, expected: NDArray[np.int64], image: int) -> Iterator[Hypothesis]:
    """Yield faults of a Pool, Load or Store."""
    op, target = check.op, plan.program.tensor(check.tensor)
    if isinstance(op, Pool):
        source = plan.program.tensor(op.input)
        read = check.read[op.input][image : image + 1, source.run_slice(op.input_parts)].astype(np.int64)
        size = expected.shape[2], expected.shape[3]
        return chain(pool_faults(op, read, source.format, size), output_faults(expected, target.format, plan.machine))
    moved = plan.program.tensor(op.input if isinstance(op, Store) else op.output)
    field, rest = ("stored words", UNDEFINED) if isinstance(op, Store) else ("loaded words", ANYTHING)
    return transfer_faults(expected, moved, plan.machine, field, rest)


def _stages(run: ConvRun, check: OpCheck, image: int, place: tuple[int, int, int], captured: Captured) -> Stages:
    """Count at which stage the numbers of the RTL part from those of the contract."""
    known = check.comparable[image : image + 1]
    has_residual = run.conv.residual is not None
    residual = captured.residual if has_residual else run.residual
    given = run.requantizer.codes(np.where(captured.accumulator == UNKNOWN, 0, captured.accumulator),
                                  np.where(residual == UNKNOWN, 0, residual))
    whole = (captured.accumulator != UNKNOWN) & (residual != UNKNOWN) & known
    code_format = run.requantizer.code_format
    after = run.output(in_format(np.where(captured.code == UNKNOWN, run.requantizer.low, captured.code), code_format))
    there = (0, *place)
    acc, other, code = (int(numbers[there]) for numbers in (captured.accumulator, captured.residual, captured.code))
    found = check.found[image : image + 1]
    seen = [(numbers != UNKNOWN) | (found == UNDEFINED) for numbers in (captured.accumulator, captured.residual)]
    counts = ((captured.accumulator != run.accumulator) & known & seen[0],
              (captured.residual != run.residual) & known & seen[1] & has_residual,
              (captured.code != given) & whole,
              (found != after) & (captured.code != UNKNOWN) & known)
    return Stages(None if acc == UNKNOWN else acc, None if other == UNKNOWN or not has_residual else other,
                  None if code == UNKNOWN else code, *(int(np.count_nonzero(count)) for count in counts))


