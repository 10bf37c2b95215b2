"""Training, in float and with quantizers: one loop, everything seeded, resumable, on one device or many."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from pathlib import Path
from time import perf_counter
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn import functional

from quant.data.images import Images
from quant.quantizers.base import Quantizer
from quant.training.checkpoint import describe_run, load_checkpoint, save_checkpoint
from quant.training.distributed import check_share, count, is_first, same_on_all, share, spread
from quant.training.evaluate import accuracy
from quant.training.history import Epoch, best_epoch
from quant.training.memory_format import arranged, lay_out, training_order
from quant.training.recipe import Recipe
from quant.training.rehearsal import rehearse, trained_dtype
from sim.errors import InputError
from sim.io.bounds import shown, shown_path

__all__ = ["Keep", "Progress", "Resumable", "StepHook", "train"]

Progress = Callable[[Epoch], None]
"""Called after each epoch."""
Keep = Literal["best", "last"]


class StepHook(Protocol):
    """Called after each optimizer step with its number from 1."""

    def __call__(self, step: int, optimizer: torch.optim.Optimizer, /) -> None: ...


@runtime_checkable
class Resumable(Protocol):
    """A step hook whose state belongs to the training's."""

    def state(self) -> dict[str, Any]:
        """Return all that later steps depend on, for JSON."""

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from there."""


def train(model: nn.Module, data: Images, recipe: Recipe, *, validation: Images | None = None,
          keep: Keep | None = None, teacher: nn.Module | None = None, checkpoint: Path | None = None,
          half: bool = False, progress: Progress | None = None, after_step: StepHook | None = None) -> list[Epoch]:
    """Train `model` in place on the cross-entropy and leave it in eval mode.

    On one machine and one thread of its CPU the same arguments give the same bits, whether or not the training was
    interrupted. Another CPU, or other versions of torch, give other weights, which are as good.

    Parameters
    ----------
    model : nn.Module
        Gives logits, shape (n, classes); may hold quantizers, whose constraints are enforced after each step. It
        trains on the device where it is.
    data : Images
    recipe : Recipe
    validation : Images, optional
        What the model is judged by after each epoch; it learns nothing from them.
    keep : {"best", "last"}, optional
        Which epoch's model is the result: that of the highest validation accuracy, of equal ones the last, or the last
        one. If None, the best if there are validation images and nothing is called after each step.
    teacher : nn.Module, optional
        In eval mode; needed for `recipe.distillation`.
    checkpoint : Path, optional
        File that is written after each epoch. If it is there, training goes on from it.
    half : bool
        Convolutions and matrix products in bfloat16; quantizers round in float32.
    progress, after_step : callable, optional
        An `after_step` that is `Resumable` is part of the checkpoint.

    Returns
    -------
    list of Epoch
        The history, that of a training before it was interrupted as well.

    Raises
    ------
    InputError
        If the teacher is missing, the best epoch is to be kept without validation images, several processes cannot
        share a batch, there are fewer images than a batch has, an image or labels do not fit the model, a batch is too
        small for a BatchNorm, or the checkpoint is of another run: all before the first step. After any step, if the
        loss is not finite any more.
    """
    if recipe.distillation and teacher is None:
        raise InputError(f"distillation {recipe.distillation} needs a teacher")
    if len(data) < recipe.batch:
        raise InputError(f"a batch of {recipe.batch} needs as many images, not {len(data)}")
    if keep == "best" and validation is None:
        raise InputError("the best epoch is that of the highest validation accuracy: give validation images")
    kept = keep or ("last" if validation is None or after_step is not None else "best")
    check_share(recipe.batch)
    labels = rehearse(model, data, recipe.batch // count(), teacher)
    if recipe.shift and data.codes(slice(0, 1)).ndim != 4:
        raise InputError(f"only images of shape (n, C, H, W) can be shifted: the recipe's shift must be 0, not "
                         f"{recipe.shift}")
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        run = _Training(model, data, labels, recipe, teacher, half, after_step, validation, kept)
        return run.run(checkpoint, progress)


class _Training:
    """A run: what changes from step to step."""

    def __init__(self, model: nn.Module, data: Images, labels: Tensor, recipe: Recipe, teacher: nn.Module | None,
                 half: bool, after_step: StepHook | None, validation: Images | None, keep: Keep) -> None:
        self.validation, self.keep = validation, keep
        self.history: list[Epoch] = []
        self.best: dict[str, Tensor] | None = None
        self.model, self.data, self.recipe, self.teacher = model, data, recipe, teacher
        self.half, self.after_step = half, after_step
        hook: object = after_step
        self.resumable = hook if isinstance(hook, Resumable) else None
        self.device = next(model.parameters()).device
        self.generator = torch.Generator().manual_seed(recipe.seed)
        self.quantizers = [module for module in model.modules() if isinstance(module, Quantizer)]
        self.groups = _groups(model, self.quantizers, recipe)
        self.optimizer = torch.optim.SGD(self.groups, lr=recipe.rate, momentum=0.9, nesterov=True)
        self.order = training_order(model)
        self.total = recipe.steps(len(data))
        self.labels, self.dtype = labels.to(self.device), trained_dtype(model)
        self.steps = 0

    def run(self, checkpoint: Path | None, progress: Progress | None) -> list[Epoch]:
        """Train to the end; return the history."""
        described = {} if checkpoint is None else describe_run(
            self.model, self.data, self.recipe, self.validation, self.keep, half=self.half, teacher=self.teacher)
        if checkpoint is not None and checkpoint.exists():
            self._resume(checkpoint, described)
        lay_out(self.model, self.order)
        frozen = _freeze(self.model, self.quantizers) if self.recipe.quantizers_only else []
        parallel = spread(self.model)
        self.model.train()
        try:
            for epoch in range(len(self.history) + 1, self.recipe.epochs + 1):
                record = self._record(parallel, epoch)
                if checkpoint is not None and is_first():
                    hook = None if self.resumable is None else self.resumable.state()
                    save_checkpoint(checkpoint, described, self.history, self.model, self.optimizer,
                                    self._generators(), hook, self.best)
                if progress is not None and is_first():
                    progress(record)
        finally:
            for parameter in frozen:
                parameter.requires_grad_(True)
            lay_out(self.model, torch.contiguous_format)
        self._take_best()
        self.model.eval()
        return self.history

    def _record(self, parallel: nn.Module, epoch: int) -> Epoch:
        """Train for an epoch, judge the model, and keep its state if it is the best so far."""
        started = perf_counter()
        loss, right = self._epoch(parallel, epoch)
        judged = None
        if self.validation is not None and is_first():
            judged = accuracy(self.model.eval(), self.validation)
            self.model.train()
        rate = self.recipe.rate * self.recipe.rate_at(self.steps - 1, self.total)
        record = Epoch(epoch, loss, right, judged, rate, perf_counter() - started)
        self.history.append(record)
        if self.keep == "best" and best_epoch(self.history) is record:
            self.best = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
        return record

    def _take_best(self) -> None:
        """Go back to the best epoch if that is kept, in all processes."""
        if self.keep == "last":
            return
        if self.best is not None:
            self.model.load_state_dict(self.best)
        same_on_all(*self.model.state_dict().values())

    def _epoch(self, parallel: nn.Module, epoch: int) -> tuple[float, float]:
        """Train for an epoch; return the mean loss and the accuracy over its images."""
        steps = self.total // self.recipe.epochs
        order = torch.randperm(len(self.data), generator=self.generator)
        losses, right = torch.zeros(steps), torch.zeros((), dtype=torch.int64)
        for step, batch in enumerate(order[: steps * self.recipe.batch].split(self.recipe.batch)):
            which = share(batch)
            loss, correct = self._step(parallel, which)
            losses[step] = loss
            right += correct
            if not isfinite(float(loss)):
                raise InputError(f"the loss became {float(loss)} in epoch {epoch}: lower the rate of "
                                 f"{self.recipe.rate:g}")
            if self.after_step is not None:
                self.after_step(self.steps, self.optimizer)
        if not all(bool(parameter.isfinite().all()) for parameter in self.model.parameters()):
            raise InputError(f"weights became infinite in epoch {epoch}: lower the rate of {self.recipe.rate:g}")
        seen = steps * len(which)
        return float(losses.mean()), int(right) / seen

    def _step(self, parallel: nn.Module, which: Tensor) -> tuple[Tensor, Tensor]:
        """Take one optimizer step; return its loss and how many images were right."""
        images = _shifted(self.data.drawn(which, self.generator), self.recipe.shift, self.generator)
        images = arranged(images.to(self.device, self.dtype), self.order)
        labels = self.labels[which]
        for group in self.optimizer.param_groups:
            group["lr"] = group["rate"] * self.recipe.rate_at(self.steps, self.total)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            logits = parallel(images)
        loss = self._loss(logits.to(self.dtype), images, labels)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        for quantizer in self.quantizers:
            quantizer.project()
        self.steps += 1
        return loss.detach().cpu(), (logits.argmax(1) == labels).sum().cpu()

    def _loss(self, logits: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        loss = functional.cross_entropy(logits, labels)
        if not self.recipe.distillation or self.teacher is None:
            return loss
        with torch.no_grad():
            taught = self.teacher(images)
        soft = self.recipe.temperature
        apart = functional.kl_div((logits / soft).log_softmax(1), (taught / soft).log_softmax(1), reduction="batchmean",
                                  log_target=True)
        return (1.0 - self.recipe.distillation) * loss + self.recipe.distillation * soft**2 * apart

    def _generators(self) -> dict[str, Tensor]:
        states = {"order": self.generator.get_state(), "cpu": torch.get_rng_state()}
        return states | ({"cuda": torch.cuda.get_rng_state(self.device)} if self.device.type == "cuda" else {})

    def _resume(self, checkpoint: Path, described: dict[str, Any]) -> None:
        self.history, generators, hook, self.best = load_checkpoint(
            checkpoint, described, self.model, self.optimizer, self._generators())
        self.generator.set_state(generators["order"])
        torch.set_rng_state(generators["cpu"])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(generators["cuda"], self.device)
        self._restore(f"checkpoint '{shown_path(checkpoint)}'", hook)
        self.steps = len(self.history) * (self.total // self.recipe.epochs)

    def _restore(self, where: str, hook: dict[str, Any] | None) -> None:
        """Give what is called after each step its state back; `where` begins errors."""
        if (self.resumable is None) != (hook is None):
            which = "without a state of" if hook is None else "with a state of"
            raise InputError(f"{where} is of another run, {which} what is called after each step; give another place "
                             "or remove it")
        if self.resumable is None or hook is None:
            return
        try:
            self.resumable.restore(hook)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"{where}: the state of what is called after each step is not understood "
                             f"({shown(error)})") from None


def _groups(model: nn.Module, quantizers: list[Quantizer], recipe: Recipe) -> list[dict[str, Any]]:
    """Return the parameter groups: only weights decay, and quantizers have their own learning rate."""
    own = {id(parameter) for quantizer in quantizers for parameter in quantizer.parameters()}
    parameters = list(model.parameters())
    interval, rest = ([p for p in parameters if (id(p) in own) == of_quantizer] for of_quantizer in (True, False))
    return [{"params": [p for p in rest if p.ndim > 1], "weight_decay": recipe.decay, "rate": recipe.rate},
            {"params": [p for p in rest if p.ndim <= 1], "weight_decay": 0.0, "rate": recipe.rate},
            {"params": interval, "weight_decay": 0.0, "rate": recipe.rate * recipe.interval_rate}]


def _freeze(model: nn.Module, quantizers: list[Quantizer]) -> list[nn.Parameter]:
    """Let only the quantizers' parameters learn; gives those that were frozen."""
    own = {id(parameter) for quantizer in quantizers for parameter in quantizer.parameters()}
    frozen = [p for p in model.parameters() if id(p) not in own and p.requires_grad]
    for parameter in frozen:
        parameter.requires_grad_(False)
    return frozen


def _shifted(images: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """Return the batch shifted by up to `most` pixels each way, zeros moving in."""
    if most == 0:
        return images
    down, right = torch.randint(0, 2 * most + 1, (2,), generator=generator).tolist()
    height, width = images.shape[2:]
    return functional.pad(images, (most, most, most, most))[:, :, down:down + height, right:right + width]
