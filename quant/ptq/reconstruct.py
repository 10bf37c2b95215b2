"""Choose how each weight rounds, and at which step, so that what a unit puts out stays what it was in float.

Unit after unit in execution order: the input comes from the quantized units before, the target from the float model,
so that a unit also makes up for errors before it. All weights of a unit learn together (BRECQ: Li et al., ICLR 2021,
arXiv 2102.05426), reading tensors of which a random half of the elements is left unquantized (QDrop: Wei et al., ICLR
2022, arXiv 2203.05740). The steps and signs of the weights are chosen before, by what the layers put out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from time import monotonic
from typing import cast

import torch
from torch import Tensor, fx, nn

from quant.calibration.images import Data
from quant.calibration.prefix import Prefix
from quant.calibration.samples import outputs
from quant.calibration.stored import Stored, StoredInputs, stored
from quant.convert import round_biases
from quant.factors import as_stored, factors_of
from quant.ptq.checkpoint import describe_reconstruction, load_progress, save_progress
from quant.ptq.clock import Clock, work_of
from quant.ptq.guidance import fisher_of_outputs
from quant.ptq.images import read_for_reconstruction
from quant.ptq.learner import Learner, sample_of_images
from quant.ptq.loss import loss_exponent
from quant.ptq.options import Reconstruction
from quant.ptq.report import Moment, UnitReport
from quant.ptq.together import positions_for
from quant.ptq.units import Unit, layer_of, units
from quant.quantizers.strict import check_steps, has_power_of_two_steps
from quant.stages.stages import stages
from quant.trace.inputs import Inputs, Read, each
from quant.training.memory_format import arranged, lay_out, training_order
from sim.errors import InputError

__all__ = ["Moment", "Reconstruction", "UnitReport", "reconstruct"]

DEFAULT = Reconstruction()


def reconstruct(quantized: fx.GraphModule, model: nn.Module, data: Data, how: Reconstruction = DEFAULT, *,
                progress: Callable[[UnitReport], None] | None = None, during: Callable[[Moment], None] | None = None,
                checkpoint: str | Path | None = None) -> list[UnitReport]:
    """Learn the rounding of every layer of `quantized` in place; its weights end on their grid.

    A unit for which nothing learnt is better than rounding to nearest falls back to the latter, and its report says so.
    On one machine and one thread the same arguments give the same bits, stopped and resumed or not.

    Parameters
    ----------
    quantized : fx.GraphModule
        From `quantize(model, ...)` by a scheme that folds BatchNorms; in eval mode.
    model : nn.Module
        The float model it came from, in eval mode.
    data : float Tensor, shape (n, C, H, W), uint8 if the input is pixels; or an iterable of such batches
        32..1024 inputs, as for `quantize`; no labels are needed.
    how : Reconstruction
    progress : callable, optional
        Called after each unit.
    during : callable, optional
        Called after each iteration.
    checkpoint : path, optional
        File to write after each unit; if it is there, what it holds is not learnt again, nor reported to `progress`.

    Returns
    -------
    list of UnitReport
        In the order of the units.

    Raises
    ------
    InputError
        If there are too few or too many images, they are not finite, the model does not run on them, or the checkpoint
        is damaged or of another run.
    EngineError
        If a step of a power-of-two model is no power of two in the end, which would be a fault of this function.
    """
    exact, images = read_for_reconstruction(quantized, model, data, how.downscale)
    strict = has_power_of_two_steps(quantized)
    generator = torch.Generator().manual_seed(how.seed)
    work = _Work(quantized, exact, images, how, generator)
    reports: list[UnitReport] = []
    place = None if checkpoint is None else Path(checkpoint)
    run = describe_reconstruction(quantized, model, images, how) if place is not None else {}
    if place is not None and place.exists():
        reports = load_progress(place, run, quantized, generator, len(work.units))
    for report in work.do(len(reports), during):
        reports.append(report)
        if place is not None:
            save_progress(place, run, quantized, generator, reports)
        if progress is not None:
            progress(report)
    if strict:
        round_biases(quantized)
        check_steps(quantized)
    return reports


class _Work:
    """The units, and what they are learnt from."""

    def __init__(self, quantized: fx.GraphModule, exact: fx.GraphModule, data: Read, how: Reconstruction,
                 generator: torch.Generator) -> None:
        self.quantized, self.exact, self.how, self.generator = quantized, exact, how, generator
        self.units = units(quantized)
        order = training_order(quantized)
        for graph in (quantized, exact):
            lay_out(graph, order)
        data = (arranged(data, order) if isinstance(data, torch.Tensor) else
                Inputs([arranged(tensor, order) for tensor in data.tensors]))
        self.data, self.before = data, Prefix(quantized, data)
        self.target = Prefix(exact, data if how.rounding == "learnt" else data[sample_of_images(len(data))])
        found = stages(quantized)
        self.names, self.factors = {stage.end: stage.name for stage in found}, factors_of(quantized, found)
        self.given = {stage.end for stage in found if stage.kind == "input"}
        self.ends = {stage.name: stage for stage in stages(exact)}
        for unit in self.units:
            for name in (*(self.names[node] for node in unit.inputs), unit.last.name):
                if name not in self.ends:
                    raise InputError(f"the model is not the one that was quantized: it has no '{name}'")

    def do(self, done: int, during: Callable[[Moment], None] | None) -> Iterator[UnitReport]:
        """Learn the units after the first `done`, one for each report."""
        work = [work_of(self.quantized, unit) for unit in self.units[done:]]
        clock = Clock(sum(work) * self.how.iterations)
        sums = self._sums(self.units[done:]) if self.how.rounding == "together" else {}
        for number, (unit, amount) in enumerate(zip(self.units[done:], work, strict=True), done + 1):
            began, learner = monotonic(), self._learner(unit, sums)

            def tick(iteration: int, unit: Unit = unit, number: int = number, amount: float = amount) -> None:
                left = clock.count(amount)
                if during is not None:
                    during(Moment(unit.last.name, number, len(self.units), iteration, self.how.iterations, left))

            first, last, fell_back = learner.learn(tick)
            learner.finish()
            yield UnitReport(unit.last.name, first, last, fell_back, monotonic() - began)

    def _learner(self, unit: Unit, sums: dict[fx.Node, tuple[Tensor, Tensor]]) -> Learner:
        same = {node: self.ends[self.names[node]].end for node in unit.inputs}
        last = self.ends[unit.last.name]
        inputs = self.before.of(unit.inputs)
        real = self.target.of([*same.values(), last.end])
        norm = self.exact.get_submodule(last.norm) if last.norm and self.how.norm_exponent else None
        wanted = {node: self._as_stored(real[end], node) for node, end in same.items() if node not in self.given}
        return Learner(self.quantized, unit, inputs, wanted, self._as_stored(real[last.end], unit.last.end),
                       {stage.end: sums.pop(stage.end) for stage in unit.stages if stage.end in sums},
                       loss_exponent(cast("nn.BatchNorm2d | None", norm)), self.how, self.generator)

    def _sums(self, some: Sequence[Unit]) -> dict[fx.Node, tuple[Tensor, Tensor]]:
        """Return what the activations of these units' layers read in float, as the quantized network stores it."""
        ends = {stage.end: self.ends[stage.name] for unit in some for stage in unit.stages
                if layer_of(self.quantized, stage) is not None}
        given = [stored(tensor, None) for tensor in each(self.data)]
        found = outputs(self.exact, ends.values(), given[0] if len(given) == 1 else StoredInputs(given), positions_for)
        fisher = fisher_of_outputs(self.exact, ends.values(), self.data)
        of: dict[fx.Node, tuple[Tensor, Tensor]] = {}
        for end, stage in ends.items():
            path, factor = str(stage.compute.target), self.factors.get(end)
            metric = fisher[path]
            if factor is not None:
                metric = metric * factor.to(metric) * factor.to(metric)[:, None]
            of[end] = as_stored(found[path], factor), metric
        return of

    def _as_stored(self, real: Stored, node: fx.Node) -> Stored:
        """Return a tensor of the float network as the quantized one stores it at `node`."""
        factor = self.factors.get(node)
        return real if factor is None else stored(as_stored(real.values(), factor), None)
