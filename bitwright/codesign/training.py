"""Training of networks in float, or with quantizers at one width after another."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import fx, nn

from bitwright.codesign.networks import calibration_images, few_pixels, lowered_for
from bitwright.codesign.post_training import quantize_network
from bitwright.codesign.progress import Progress
from quant.data.registry import DataSet
from quant.schemes import Scheme
from quant.training.history import Epoch
from quant.training.loop import Keep, StepHook, train
from quant.training.norms import reestimate_norms
from quant.training.progressive import narrow
from quant.training.recipe import Recipe
from sim.arch.machine import Machine
from sim.errors import InputError

__all__ = ["Training", "check_widths", "recipe_for"]

CHECKED = 8
"""Images with which it is tried whether a network can be lowered: enough to fit some steps."""
FLOAT_RATE, QUANTIZED_RATE = 0.1, 0.05
FLOAT_DECAY, QUANTIZED_DECAY = 5e-4, 1e-4


def recipe_for(scheme: str, epochs: int, batch: int, rate: float | None, **others: Any) -> Recipe:
    """Make the recipe of a scheme, with its usual weight decay and, if `rate` is None, its usual learning rate.

    Parameters
    ----------
    scheme : {"float", "qil", "lsq"}
    epochs, batch, rate, others
        As for `quant.training.recipe.Recipe`.
    """
    usual, decay = (FLOAT_RATE, FLOAT_DECAY) if scheme == "float" else (QUANTIZED_RATE, QUANTIZED_DECAY)
    return Recipe(epochs, batch, usual if rate is None else rate, decay, **others)


def check_widths(net: nn.Module, data: DataSet, scheme: Scheme, widths: list[tuple[int, int]], first_last_bits: int,
                 machine: Machine) -> None:
    """Refuse widths that are trained twice, and a network that no machine's Program computes, before it is trained.

    Raises
    ------
    InputError
        With what is wrong.
    """
    if len({*widths}) < len(widths):
        raise InputError(f"each width is trained once, not {', '.join(f'{w}/{a}' for w, a in widths)}")
    few = data.train.values(slice(0, CHECKED))
    for bits in widths:
        lowered_for(quantize_network(net, data.train, few, scheme, bits, first_last_bits), data, machine)


@dataclass(frozen=True)
class Training:
    """How networks are trained, one after another.

    Attributes
    ----------
    recipe : Recipe
        Of each training.
    data : DataSet
    device : torch.device
    bf16 : bool
        Compute convolutions in bfloat16.
    folder : Path
        Gets a checkpoint after each epoch, from which the same training goes on.
    progress : Progress
        Gets a step for each epoch.
    keep : {"best", "last"}, optional
        Which epoch's model is the result; if None, the best where the images to choose it by are not those to judge by.
    histories : dict of str to list of Epoch
        Of the trainings that are done, by their names.
    """

    recipe: Recipe
    data: DataSet
    device: torch.device
    bf16: bool
    folder: Path
    progress: Progress
    keep: Keep | None = None
    histories: dict[str, list[Epoch]] = field(default_factory=dict)

    def float_network(self, net: nn.Module) -> nn.Module:
        """Train a network without quantizers, in place, and return it."""
        self.train(net, "float")
        return net

    def quantized(self, net: nn.Module, scheme: Scheme, widths: list[tuple[int, int]],
                  first_last_bits: int) -> fx.GraphModule:
        """Quantize a copy of a float network and train it at one width after another.

        Parameters
        ----------
        net : nn.Module
            Also the teacher, if the recipe has distillation.
        scheme : Scheme
        widths : list of (int, int)
            Bits of weights and activations.
        first_last_bits : int
            Bits of the first and the last layer.
        """
        images = calibration_images(self.data.train)
        few = few_pixels(images)
        model = quantize_network(net, self.data.train, few, scheme, widths[0], first_last_bits)
        teacher = net.to(self.device).eval() if self.recipe.distillation else None
        for number, bits in enumerate(widths):
            if number:
                narrow(model.cpu(), few, widths[number - 1], bits, first_last_bits=first_last_bits)
            self.train(model, f"{bits[0]}+{bits[1]}", teacher, len(widths) - number - 1)
        reestimate_norms(model.cpu(), images)
        return model

    def train(self, model: nn.Module, name: str, teacher: nn.Module | None = None, left: int = 0,
              after_step: StepHook | None = None) -> None:
        """Train a model; `left` trainings come after this one. With `after_step` the last epoch is the result."""
        def report(record: Epoch) -> None:
            judged = record.validation_accuracy
            validation = "" if judged is None else f", validation accuracy {100 * judged:.1f} %"
            remaining = self.recipe.epochs * (left + 1) - record.epoch
            self.progress.done(f"{name}: epoch {record.epoch}/{self.recipe.epochs}, loss {record.loss:.3f}, training "
                               f"accuracy {100 * record.train_accuracy:.1f} %{validation}, "
                               f"{_duration(record.seconds)}, about {_duration(remaining * record.seconds)} left")

        shift = 0 if self.data.size > 32 else 2 if self.data.size > 8 else 1
        last = after_step is not None or self.data.test_is_validation
        keep = self.keep or ("last" if last else "best")
        self.histories[name] = train(
            model.to(self.device), self.data.train, replace(self.recipe, shift=shift), validation=self.data.validation,
            keep=keep, teacher=teacher, checkpoint=self.folder / f"{name}.checkpoint", half=self.bf16, progress=report,
            after_step=after_step)


def _duration(seconds: float) -> str:
    """Write a duration in the unit that suits it.

    >>> _duration(4.2), _duration(200), _duration(9000)
    ('4 s', '3 min', '2.5 h')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
