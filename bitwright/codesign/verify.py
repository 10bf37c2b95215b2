"""The same Program in four engines that share no code: torch, the simulator, ONNX Runtime and the RTL."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bitwright.codesign.compare import Comparison, compare_codes
from bitwright.codesign.costs import plan as place
from bitwright.codesign.divergence import Divergence, diverge
from bitwright.codesign.exercised import Exercised, exercised
from bitwright.codesign.layers_between import layers_between
from bitwright.codesign.onnx_engine import compare_onnx, require_onnx
from bitwright.codesign.progress import SILENT, Progress
from bitwright.codesign.rtl_run import AUTO, DEFAULTS, RtlOptions, chosen_engine, run_on_rtl
from quant.reference import run_reference
from rtl.cosim.run import IncompleteRun
from rtl.cosim.scoreboard import expected_counters
from rtl.cosim.simulators import ICARUS, Engine, SimulationError
from sim.arch.machine import Machine
from sim.errors import InputError
from sim.functional.reference import simulate
from sim.io.html_table import html_table
from sim.ir.program import Program
from sim.plan.plan import Plan

__all__ = ["STEPS", "LayerCycles", "Verification", "verify", "verify_plan"]

STEPS = 4
"""Steps of a verification: one for each engine."""


@dataclass(frozen=True)
class LayerCycles:
    """The cycle in which an op ends: predicted, and counted by the RTL for the image that differs most."""

    name: str
    predicted: int
    counted: int


@dataclass(frozen=True)
class Verification:
    """The outcome of running one Program in every engine.

    Attributes
    ----------
    simulator : str
        The engine that ran the RTL.
    failure : str or None
        Why the RTL did not run to its end; then there are no results of the RTL.
    comparisons : tuple of Comparison
        Torch and, where it runs, ONNX Runtime against the simulator on all images, RTL against the simulator on the
        first ones.
    skipped : str or None
        Why ONNX Runtime has not run; None if it has.
    layers : tuple of LayerCycles
    predicted : dict of str to int
        Cycle and event counters of one image.
    counted : tuple of dict of str to int
        The RTL's, for each of its images.
    unmet : tuple of str
        Situations that the ops of the Program could have met and did not on the RTL.
    exercised : Exercised or None
        What the images on the RTL have exercised and what they have not; None if the RTL did not end.
    divergence : Divergence or None
        What is wrong with the RTL, where codes that it completed differ.
    """

    simulator: str
    failure: str | None
    comparisons: tuple[Comparison, ...]
    skipped: str | None
    layers: tuple[LayerCycles, ...]
    predicted: dict[str, int]
    counted: tuple[dict[str, int], ...]
    unmet: tuple[str, ...]
    divergence: Divergence | None = None
    exercised: Exercised | None = None

    @property
    def mismatches(self) -> int:
        """Count the codes that differ, over all engines and tensors."""
        return sum(c.mismatches for c in self.comparisons)

    @property
    def tensors_compared(self) -> int:
        """Count the tensors compared, over all engines."""
        return sum(c.tensors for c in self.comparisons)

    @property
    def ok(self) -> bool:
        """Return whether all codes, the cycles of every op and all counters are equal."""
        cycles = all(layer.predicted == layer.counted for layer in self.layers)
        counters = all(counters == self.predicted for counters in self.counted)
        return self.failure is None and not self.mismatches and cycles and counters

    def __bool__(self) -> bool:
        return self.ok

    def _repr_html_(self) -> str:
        engines = ([" = ".join(one.engines), one.tensors, one.codes, one.mismatches] for one in self.comparisons)
        ends = ([op.name, op.predicted, op.counted] for op in self.layers)
        verdict = "equal" if self.ok else "NOT EQUAL"
        return (html_table(verdict, ["engines", "tensors", "codes", "mismatches"], engines)
                + html_table("end of every op [cycles]", ["op", "predicted", "counted"], ends))


def verify(program: Program, machine: Machine | str | Path, inputs: Mapping[str, NDArray[np.integer]], *,
           first: str | None = None, last: str | None = None, rtl_images: int | None = None, simulator: str = AUTO,
           jobs: int = 1, waves: str | Path | None = None, onnxruntime: bool | None = None,
           divergence: str | Path | None = None) -> Verification:
    """Compare PyTorch, the simulator, ONNX Runtime and the RTL on every code, and the RTL on every cycle and event.

    Parameters
    ----------
    program : Program
    machine : Machine, str or Path
        A built-in machine by its name (tiny, edge, large), or a YAML file that describes one.
    inputs : mapping of name to integer array, shape (N, channels, height, width)
        Codes of every input; N is at least 1.
    first, last : str, optional
        Names of ops: only these and those between them are compared, as a Program of their own (`sim.ir.cut`), on what
        the plain loops make of the inputs up to there.
    rtl_images : int, 1..N, optional
        How many images run on the RTL, which takes much longer than the others; all if None.
    simulator : {"auto", "icarus", "verilator", "lean"}
        What simulates the RTL; `auto` takes the installed one that is expected to end first. Only Icarus Verilog knows
        undefined bits.
    jobs : int, at least 1
        Processes that share the images on the RTL.
    waves : str or Path, optional
        File for the waveforms of the RTL, FST, which Icarus Verilog writes in one process.
    onnxruntime : bool, optional
        Whether ONNX Runtime runs the exported model; by default it does where it is installed.
    divergence : str or Path, optional
        Folder for what is found out about a difference: a report, the smallest case that shows it, waveforms.

    Returns
    -------
    Verification
        True in a condition if everything is equal.

    Raises
    ------
    InputError
        If the Program does not fit on the machine, an input is missing or wrong, the ops cannot be cut out, or the
        simulator of the RTL or a wanted ONNX Runtime is not installed; then the message says how to install it.
    """
    program, inputs = layers_between(program, inputs, first, last)
    planned = place(program, machine)
    images = len(next(iter(planned.program.check_inputs(inputs).values())))
    count = images if rtl_images is None else rtl_images
    if not 1 <= count <= images:
        raise InputError(f"images that run on the RTL must be 1..{images}, not {count}" if images else
                         "there must be at least one image, not 0")
    options = RtlOptions(simulator, jobs, None if waves is None else Path(waves),
                         None if divergence is None else Path(divergence))
    return verify_plan("program", planned, inputs, count, options, onnxruntime=onnxruntime)


def verify_plan(name: str, plan: Plan, inputs: Mapping[str, NDArray[np.integer]], rtl_images: int,
                options: RtlOptions = DEFAULTS, progress: Progress = SILENT, *,
                onnxruntime: bool | None = None) -> Verification:
    """Run all `inputs` in torch, the simulator and ONNX Runtime and the first `rtl_images` on the RTL, and compare.

    Parameters
    ----------
    name : str
        Of the Program, for the progress.
    plan : Plan
    inputs : mapping of name to integer array, shape (N, C, H, W)
    rtl_images : int
        At most N.
    options : RtlOptions
        How to run on the RTL.
    progress : Progress
        Gets STEPS steps.
    onnxruntime : bool, optional
        As for `verify`.

    Raises
    ------
    InputError
        If the inputs do not fit, or the simulator of the RTL or one of the options is not available.
    """
    program = plan.program
    engine = chosen_engine(plan, rtl_images, options)
    engine.require()
    if options.divergence is not None:
        ICARUS.require()
    skipped = require_onnx(onnxruntime)
    progress.note(f"{name}: simulator")
    simulated = simulate(program, inputs)
    progress.done(f"{name}: simulated")
    reference = run_reference(program, inputs)
    comparisons = [compare_codes(program, ("torch", "simulator"), reference, simulated)]
    progress.done(f"{name}: compared with torch")
    if skipped is None:
        comparisons.append(compare_onnx(program, inputs, simulated))
    progress.done(f"{name}: {skipped or 'compared with ONNX Runtime'}")
    before = Verification(engine.name, None, tuple(comparisons), skipped, (), expected_counters(plan), (), ())
    engines = {what: {name: codes[:rtl_images] for name, codes in whole.items()}
               for what, whole in (("simulator", simulated), ("torch", reference))}
    some = {name: np.asarray(codes[:rtl_images], np.int32) for name, codes in inputs.items()}
    found = _with_rtl(before, engine, plan, some, engines, options, lambda text: progress.note(f"{name}: {text}"))
    progress.done(f"{name}: compared with the RTL")
    return found


def _with_rtl(before: Verification, engine: Engine, plan: Plan, inputs: Mapping[str, NDArray[np.int32]],
              engines: Mapping[str, Mapping[str, NDArray[np.int32]]], options: RtlOptions,
              note: Callable[[str], None]) -> Verification:
    """Run images on the RTL and add what comes of it, also of a run that does not end, to a verification."""
    failure, simulated = None, engines["simulator"]
    try:
        on_rtl = run_on_rtl(engine, plan, inputs, options, note)
    except IncompleteRun as error:
        on_rtl, failure = error.result, str(error)
    except SimulationError as error:
        return replace(before, failure=str(error))
    complete = {name: simulated[name][: len(codes)] for name, codes in on_rtl.codes.items()}
    compared = compare_codes(plan.program, ("RTL", "simulator"), on_rtl.codes, complete)
    after = replace(before, failure=failure, comparisons=(*before.comparisons, compared))
    if compared.mismatches or failure:
        note("looking for what is wrong")
        after = replace(after, divergence=diverge(plan, inputs, on_rtl, engines, options.divergence))
    if failure:
        return after
    met = exercised(plan, simulated)
    return replace(after, layers=_layer_cycles(plan, on_rtl.ends), counted=on_rtl.counters, unmet=met.unmet,
                   exercised=met)


def _layer_cycles(plan: Plan, ends: NDArray[np.int64]) -> tuple[LayerCycles, ...]:
    predicted = np.array(plan.timeline.ends)
    worst = np.abs(ends - predicted).argmax(axis=0)
    counted = ends[worst, np.arange(len(predicted))]
    return tuple(LayerCycles(op.name, int(p), int(c))
                 for op, p, c in zip(plan.program.ops, predicted, counted, strict=True))
