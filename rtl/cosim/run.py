"""Run planned Programs on the accelerator's RTL: codes of every tensor, cycles of every op, all counters."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtl.cosim.jobs import write_job
from rtl.cosim.lean_bench import run_jobs
from rtl.cosim.requant_probe import Captured, in_place
from rtl.cosim.simulators import ICARUS, CocotbEngine, Engine, Progress, SimulationError, Window, cached_build
from rtl.cosim.simulators.lean import HARNESS
from rtl.encoding.hardware_id import hardware_json
from rtl.encoding.program_image import program_image
from rtl.verilog.cache import machine_text
from rtl.verilog.emit import TOP
from sim.arch.machine import Machine
from sim.energy.events import EVENTS, events_from_counters
from sim.errors import InputError
from sim.ir.formats import Format
from sim.ir.ops import Conv, Queue, Store, Tensor
from sim.mapping.activation_layout import read_bank_contents
from sim.plan.plan import Plan

__all__ = ["UNDEFINED", "IncompleteRun", "RtlResult", "build_machine", "ignore", "run", "run_all", "watch_op"]

Codes = NDArray[np.int32]

UNDEFINED = int(np.iinfo(np.int32).min)
"""Stands for a code of which the simulator does not know every bit: no tensor has such a code, so it equals none."""


@dataclass(frozen=True)
class RtlResult:
    """What the hardware made of some images.

    Attributes
    ----------
    codes : dict of str to int32 array, shape (N, channels, height, width)
        Every tensor, in the host's memory if Stores write it there, or else on chip; `UNDEFINED` where a bit is neither
        0 nor 1. Of a run that did not end, the tensors that were complete.
    ends : int64 array, shape (N, ops)
        Cycle in which each op had ended; the largest is the cycle count.
    counters : tuple of dict
        For each image, the hardware's own: `total` cycles, how they were spent (as in `sim.timing.timeline.Timeline`),
        and the events of `sim.energy.events`.
    on_chip : dict of str to int32 array, shape (N, channels, height, width)
        Every tensor that an op has completed on chip, also if it is stored then.
    planes : dict of str to int32 array, shape (N, channels, height, width)
        The undefined planes of each code, a bit each, of the tensors in `codes` that have any.
    captured : Captured or None
        Of the op that was watched.
    """

    codes: dict[str, Codes]
    ends: NDArray[np.int64]
    counters: tuple[dict[str, int], ...]
    on_chip: dict[str, Codes] = field(default_factory=dict)
    planes: dict[str, Codes] = field(default_factory=dict)
    captured: Captured | None = None


class IncompleteRun(SimulationError):
    """A run that did not end.

    Attributes
    ----------
    result : RtlResult
        The tensors that were complete, of all images up to the one that did not end.
    """

    def __init__(self, message: str, result: RtlResult) -> None:
        super().__init__(message)
        self.result = result


def ignore(_: int) -> None:
    """Take no notice of cycles."""


def build_machine(machine: Machine, engine: Engine = ICARUS, progress: Progress | None = None) -> Path:
    """Folder with the compiled accelerator of `machine`, from the cache where possible.

    Raises
    ------
    InputError
        If the engine is not installed.
    """
    engine.require()
    return cached_build(engine, machine_text(machine), TOP, progress)


def run(plan: Plan, inputs: Mapping[str, NDArray[np.integer]], *, jobs: int = 1, stall: float = 0.0, seed: int = 0,
        place: Path | None = None, engine: Engine = ICARUS, waves: Path | None = None,
        report: Callable[[int], None] = ignore) -> RtlResult:
    """Run images through the RTL.

    Every image starts from an idle machine, so that codes, cycles and counters are the same on any number of processes.

    Parameters
    ----------
    plan : Plan
    inputs : mapping of name to integer array, shape (N, channels, height, width)
        Codes of the tensors `plan.program.inputs`.
    jobs : int
        Processes of the simulator that share the images, at least 1.
    stall : float, 0 <= stall < 1
        Probability that a beat of either stream passes a cycle later.
    seed : int
        Of the gaps and of the lanes that carry no channel.
    place : Path or None
        Build to use; None: `build_machine`.
    engine : Engine
        The simulator.
    waves : Path or None
        Where to write all signals as FST; only `ICARUS` does.
    report : callable
        Gets how many cycles have been simulated since it was called last, now and then, from any thread; only `LEAN`
        calls it.

    Raises
    ------
    InputError
        If the inputs do not fit, a number does not fit into the hardware's fields, or the engine is not installed.
    SimulationError
        If the simulation fails or does not end; an `IncompleteRun` with what was complete, where something was.
    ValueError
        If there is no process, or more than one that would write the waveforms.
    """
    if jobs < 1:
        raise ValueError(f"jobs must be at least 1, not {jobs}")
    if waves and jobs > 1:
        raise ValueError(f"waveforms come from one process, not {jobs}")
    images = max((len(codes) for codes in inputs.values()), default=0)
    count = max(1, min(jobs, images))
    shares = [{name: np.array_split(codes, count)[i] for name, codes in inputs.items()} for i in range(count)]

    def run_share(share: Mapping[str, NDArray[np.integer]]) -> RtlResult:
        return run_all([(plan, share)], stall=stall, seed=seed, place=place, engine=engine, waves=waves,
                       report=report)[0]

    with ThreadPoolExecutor(count) as pool:
        return _joined(list(pool.map(run_share, shares)))


def watch_op(plan: Plan, inputs: Mapping[str, NDArray[np.integer]], number: int, *, place: Path | None = None,
             waves: Path | None = None, window: Window | None = None) -> RtlResult:
    """Run images through the RTL in Icarus Verilog, and look at the requantizers while one op runs.

    Parameters
    ----------
    plan, inputs, place, waves
        As in `run`.
    number : int
        Of the op in `plan.program.ops`; of a Conv the numbers are captured.
    window : Window or None
        Cycles of the run to which `waves` are confined.
    """
    watched = number if isinstance(plan.program.ops[number], Conv) else None
    return run_all([(plan, inputs)], place=place, waves=waves, watched=watched, window=window)[0]


def run_all(runs: Sequence[tuple[Plan, Mapping[str, NDArray[np.integer]]]], *, stall: float = 0.0, seed: int = 0,
            place: Path | None = None, engine: Engine = ICARUS, waves: Path | None = None,
            watched: int | None = None, window: Window | None = None,
            report: Callable[[int], None] = ignore) -> list[RtlResult]:
    """Run Programs with their inputs one after another in one simulation: each is loaded when the last has ended.

    All plans are for the same hardware; the memories behind its streams may differ. With `watched`, the requantizers
    are looked at while this op of every Program runs; with `window`, the waveforms are those of its cycles. Otherwise
    as in `run`.
    """
    if not 0 <= stall < 1:
        raise ValueError(f"stall must be in 0..1, 1 excluded, not {stall}")
    if len({hardware_json(plan.machine) for plan, _ in runs}) != 1:
        raise ValueError("the plans must be for one machine")
    described = [_describe(plan, inputs, stall, seed, watched) for plan, inputs in runs]
    place = place or build_machine(runs[0][0].machine, engine)
    with tempfile.TemporaryDirectory(prefix="bitwright-") as temporary:
        folder = Path(temporary)
        for number, ((plan, _), (arrays, facts)) in enumerate(zip(runs, described, strict=True)):
            write_job(folder, number, plan, arrays, facts)
        try:
            _simulate(engine, place, folder, waves, window, report)
        except SimulationError as error:
            if len(runs) == 1 and (folder / "result0.json").exists():
                raise IncompleteRun(str(error), _result(runs[0][0], folder, 0, watched)) from error
            raise
        return [_result(plan, folder, number, watched) for number, (plan, _) in enumerate(runs)]


def _simulate(engine: Engine, place: Path, folder: Path, waves: Path | None, window: Window | None,
              report: Callable[[int], None]) -> None:
    """Run the jobs in `folder`, and leave their results there."""
    if isinstance(engine, CocotbEngine):
        engine.run_bench(place, TOP, "rtl.cosim.program_bench", folder, {"BITWRIGHT_JOB": str(folder)}, waves,
                         window)
    elif waves is None:
        run_jobs(place / HARNESS, folder, report)
    else:
        raise InputError(f"{engine.title} writes no waveforms; {ICARUS.title} does")


def _joined(results: Sequence[RtlResult]) -> RtlResult:
    """Put the results of consecutive images together."""
    if len(results) == 1:
        return results[0]
    codes, on_chip = ({name: np.concatenate([getattr(result, what)[name] for result in results])
                       for name in getattr(results[0], what)} for what in ("codes", "on_chip"))
    planes = {name: np.concatenate([result.planes.get(name, np.zeros_like(result.codes[name])) for result in results])
              for name in codes if any(name in result.planes for result in results)}
    return RtlResult(codes, np.concatenate([result.ends for result in results]),
                     tuple(counters for result in results for counters in result.counters), on_chip, planes)


def _describe(plan: Plan, inputs: Mapping[str, NDArray[np.integer]], stall: float, seed: int,
              watched: int | None) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Check the inputs, and return what the bench must know besides the plan as arrays and facts."""
    arrays = plan.program.check_inputs(inputs)
    facts = {"images": len(arrays[plan.program.inputs[0].name]), "stall": stall, "seed": seed,
             "cycle_limit": _cycle_limit(plan, stall), "image": program_image(plan).hex(),
             "watched": None if watched is None else _compute_number(plan, watched)}
    return {f"input {name}": np.asarray(codes, np.int32) for name, codes in arrays.items()}, facts


def _compute_number(plan: Plan, number: int) -> int:
    """Return which of the Convs and Pools an op is."""
    return sum(op.queue is Queue.COMPUTE for op in plan.program.ops[:number])


def _result(plan: Plan, folder: Path, number: int, watched: int | None) -> RtlResult:
    """Read what the bench has written about a job; of one that did not end, what was complete on chip."""
    counters = json.loads((folder / f"result{number}.json").read_text())
    with np.load(folder / f"result{number}.npz") as arrays:
        found = dict(arrays)
    ended = len(counters) == len(found["ends"])
    ends = found["ends"] if ended else found["ends"][: len(counters) + 1]
    chip = {tensor.name: _on_chip(tensor, found[tensor.name][: len(ends)], plan.machine)
            for tensor in plan.program.tensors if tensor.name in found and _complete(plan, tensor.name, ends)}
    stored = {op.output for op in plan.program.ops if isinstance(op, Store)} if ended else set()
    both = {tensor.name: _in_host(tensor, found) if tensor.name in stored or tensor.name not in chip
            else chip[tensor.name] for tensor in plan.program.tensors if ended or tensor.name in chip}
    requantizers = {name.removeprefix("requantizer "): rows for name, rows in found.items()
                    if name.startswith("requantizer ")}
    return RtlResult({name: codes for name, (codes, _) in both.items()}, ends,
                     tuple(_events(values, plan.machine) for values in counters),
                     {name: codes for name, (codes, _) in chip.items()},
                     {name: planes for name, (_, planes) in both.items() if planes.any()},
                     in_place(plan, watched, requantizers) if watched is not None and requantizers else None)


def _complete(plan: Plan, name: str, ends: NDArray[np.int64]) -> bool:
    """Return whether a tensor was complete on chip in all images."""
    last = max(i for i, op in enumerate(plan.program.ops) if op.output == name and not isinstance(op, Store))
    return bool(ends[:, last].all())


def _cycle_limit(plan: Plan, stall: float) -> int:
    """More cycles than a run takes, unless it hangs."""
    beats = sum(schedule.stream_beats for schedule in plan.schedules)
    return int((2 * plan.timeline.total + beats) / (1 - stall)) + 100


def _on_chip(tensor: Tensor, words: NDArray[Any], machine: Machine) -> tuple[Codes, Codes]:
    """Return codes and undefined planes of a tensor on chip; `x` does not matter where no code lies.

    Words are characters, most significant lane first.
    """
    lanes = words[..., ::-1]
    plain = Tensor(tensor.name, tensor.height, tensor.width, tensor.parts, Format(tensor.format.bits, "unsigned"))
    unknown = ((lanes != ord("0")) & (lanes != ord("1"))).astype(np.uint8)
    codes = np.array([read_bank_contents(image, tensor, machine) for image in (lanes == ord("1")).astype(np.uint8)])
    return _marked(tensor, codes, np.array([read_bank_contents(image, plain, machine) for image in unknown]))


def _in_host(tensor: Tensor, found: Mapping[str, NDArray[Any]]) -> tuple[Codes, Codes]:
    """Return codes and undefined planes of a tensor in the host's memory."""
    codes = found.get(f"map {tensor.name}", np.zeros((0, *tensor.shape), np.int32))
    return _marked(tensor, codes, found.get(f"unknown {tensor.name}", np.zeros_like(codes)))


def _marked(tensor: Tensor, codes: NDArray[Any], planes: NDArray[Any]) -> tuple[Codes, Codes]:
    """Return codes of which those with undefined planes are `UNDEFINED`, and these planes."""
    shape = (-1, *tensor.shape)
    return (np.where(planes != 0, UNDEFINED, codes).astype(np.int32).reshape(shape),
            planes.astype(np.int32).reshape(shape))


def _events(counters: Mapping[str, int], machine: Machine) -> dict[str, int]:
    """Return the counters of cycles, `cycles` itself as `total`, and the events of `sim.energy.events`."""
    counted = {event.counter for event in EVENTS.values()}
    cycles = {name: value for name, value in counters.items() if name not in counted}
    return {"total": cycles.pop("cycles")} | cycles | events_from_counters(counters, machine)
