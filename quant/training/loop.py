"""Training, in float and with quantizers: one loop, one recipe record, everything seeded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, pi

import torch
from torch import Tensor, nn
from torch.nn import functional

from quant.data.split import Split
from quant.quantizers.base import Quantizer

__all__ = ["FLOAT", "QAT", "Progress", "Recipe", "accuracy", "reestimate_norms", "train"]

Progress = Callable[[int, float, float], None]
"""Called after each epoch with its number from 1, its mean loss and its accuracy on the training images."""

StepHook = Callable[[int, torch.optim.Optimizer], None]
"""Called after each optimizer step with its number from 1."""


@dataclass(frozen=True)
class Recipe:
    """How to train: SGD with Nesterov momentum, a linear warm-up and a cosine to 0.

    Attributes
    ----------
    epochs, batch : int
    rate : float
        Largest learning rate.
    decay : float
        Weight decay, on convolution and linear weights alone.
    warmup : float
        Share of the steps in which the rate rises.
    shift : int
        Images are shifted by up to so many pixels each way, a new shift for each batch [pixels].
    seed : int
        Of the order of images and of the shifts.
    """

    epochs: int
    batch: int = 64
    rate: float = 0.1
    decay: float = 5e-4
    warmup: float = 0.05
    shift: int = 1
    seed: int = 0

    def steps(self, images: int) -> int:
        """Optimizer steps altogether; the last, incomplete batch of an epoch is left out."""
        return self.epochs * max(images // self.batch, 1)


FLOAT = Recipe(epochs=40)
"""From random weights to about 98 % on the digits."""
QAT = Recipe(epochs=25, rate=0.03, decay=1e-4)
"""From a float network with fresh quantizers; follow it by `reestimate_norms`."""


def train(model: nn.Module, data: Split, recipe: Recipe, *, progress: Progress | None = None,
          after_step: StepHook | None = None) -> None:
    """Train `model` in place on the cross-entropy and leave it in eval mode.

    Parameters
    ----------
    model : nn.Module
        Gives logits, shape (n, classes); may hold quantizers, whose constraints are enforced after each step.
    data : Split
    recipe : Recipe
    progress, after_step : callable, optional
    """
    generator = torch.Generator().manual_seed(recipe.seed)
    optimizer = torch.optim.SGD(_groups(model, recipe.decay), lr=recipe.rate, momentum=0.9, nesterov=True)
    total = recipe.steps(len(data))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, total, recipe.warmup))
    quantizers = [module for module in model.modules() if isinstance(module, Quantizer)]
    images, done = data.images, 0
    model.train()
    for epoch in range(1, recipe.epochs + 1):
        order = torch.randperm(len(data), generator=generator)
        loss_sum, correct = 0.0, 0
        for batch in order[:total // recipe.epochs * recipe.batch].split(recipe.batch):
            logits = model(_shifted(images[batch], recipe.shift, generator))
            loss = functional.cross_entropy(logits, data.labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            for quantizer in quantizers:
                quantizer.project()
            done += 1
            if after_step is not None:
                after_step(done, optimizer)
            loss_sum += float(loss.detach()) * len(batch)
            correct += int((logits.argmax(1) == data.labels[batch]).sum())
        if progress is not None:
            seen = min(total // recipe.epochs * recipe.batch, len(data))
            progress(epoch, loss_sum / seen, correct / seen)
    model.eval()


def _groups(model: nn.Module, decay: float) -> list[dict[str, object]]:
    """Weights decay; biases, BatchNorm and the quantizers' parameters do not."""
    parameters = list(model.parameters())
    return [{"params": [p for p in parameters if p.ndim > 1], "weight_decay": decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0}]


def _rate(step: int, total: int, warmup: float) -> float:
    if step < warmup * total:
        return (step + 1) / (warmup * total + 1)
    return 0.5 * (1.0 + cos(pi * step / total))


def _shifted(images: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """The batch shifted by up to `most` pixels each way, zeros moving in."""
    if most == 0:
        return images
    down, right = torch.randint(0, 2 * most + 1, (2,), generator=generator).tolist()
    height, width = images.shape[2:]
    return functional.pad(images, (most, most, most, most))[:, :, down:down + height, right:right + width]


def accuracy(model: nn.Module, data: Split) -> float:
    """Share of images whose largest logit is the label's, in 0..1; `model` in eval mode."""
    with torch.no_grad():
        return float((model(data.images).argmax(1) == data.labels).double().mean())


def reestimate_norms(model: nn.Module, images: Tensor, batch: int = 64) -> None:
    """Recompute the statistics of every BatchNorm over `images`, then leave `model` in eval mode.

    They become the average of the batches' own, each by its number of images. During training they lag behind weights
    and bits that still move.
    """
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
    model.train()
    seen = 0
    with torch.no_grad():
        for part in images.split(batch):
            seen += len(part)
            for norm in norms:
                norm.momentum = len(part) / seen
            model(part)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.eval()
