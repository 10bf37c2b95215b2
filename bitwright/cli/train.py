"""`bitwright train`: a network in float, or with quantizers at one width after another."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import fx, nn

from bitwright.cli.output_guard import check_apart
from bitwright.codesign.networks import (
    calibration_images,
    few_pixels,
    lowered_for,
    network_files,
    parse_bits,
    program_accuracy,
    write_network,
)
from bitwright.console import Report, Steps, message, show, steps
from quant.convert import quantize
from quant.data.registry import DataSet, load_data
from quant.networks.registry import make_network
from quant.schemes import scheme_of
from quant.training.checkpoint import load_weights
from quant.training.distributed import is_first, processes
from quant.training.evaluate import accuracy
from quant.training.loop import train
from quant.training.norms import reestimate_norms
from quant.training.progressive import narrow
from quant.training.recipe import Recipe
from sim.arch.machine import Machine, load_machine
from sim.errors import InputError
from sim.io.atomic_write import made_folder

__all__ = ["Training", "run_train"]

FLOAT_RATE, QUANTIZED_RATE = 0.1, 0.05
FLOAT_DECAY, QUANTIZED_DECAY = 5e-4, 1e-4


@dataclass(frozen=True)
class Training:
    """What `bitwright train` was asked for.

    Attributes
    ----------
    network, data : str
        Names, or a folder of images.
    scheme : {"float", "qil", "lsq"}
    bits : tuple of str
        Widths W/A, one after another, each from the network before.
    weights : Path or None
        Weights of the float network.
    first_last_bits : int
    epochs, batch, rate, seed, interval_rate, quantizers_only, distillation
        As in `quant.training.recipe.Recipe`; each width has so many epochs.
    half : bool
    machine : str
    out : Path
    """

    network: str
    data: str
    scheme: str
    bits: tuple[str, ...]
    weights: Path | None
    first_last_bits: int
    epochs: int
    batch: int
    rate: float | None
    seed: int
    interval_rate: float
    quantizers_only: bool
    distillation: float
    half: bool
    machine: str
    out: Path

    def recipe(self) -> Recipe:
        """How to train, for each width."""
        quantized = self.scheme != "float"
        usual = QUANTIZED_RATE if quantized else FLOAT_RATE
        rate = usual if self.rate is None else self.rate
        return Recipe(self.epochs, self.batch, rate, QUANTIZED_DECAY if quantized else FLOAT_DECAY, seed=self.seed,
                      interval_rate=self.interval_rate, quantizers_only=self.quantizers_only,
                      distillation=self.distillation)


def run_train(asked: Training, as_json: bool) -> None:
    """Train, and write `model.safetensors`, `program.safetensors` and `summary.json`.

    A checkpoint lies in the folder after each epoch; the same command goes on from it.

    Raises
    ------
    InputError
        If names, widths or numbers are not understood, weights do not fit, or data is not there: before any work.
    """
    check_apart(network_files(asked.out), [asked.weights, asked.machine])
    widths = [parse_bits(text) for text in asked.bits]
    recipe, machine = asked.recipe(), load_machine(asked.machine)
    if asked.scheme == "float":
        if asked.distillation or asked.quantizers_only:
            raise InputError("a float network has no quantizers and no teacher")
    else:
        scheme_of(asked.scheme)
        if asked.weights is None:
            raise InputError("quantizing starts from a float network: give its weights with --weights")
    data = load_data(asked.data)
    with processes() as device:
        torch.manual_seed(asked.seed)
        net = make_network(asked.network, data.classes, data.channels)
        if asked.weights is not None:
            load_weights(net, asked.weights)
        made_folder(asked.out)
        with steps("train", recipe.epochs * max(len(widths), 1)) as progress:
            work = _Work(asked, recipe, data, device, progress)
            model = work.quantized(net, widths) if asked.scheme != "float" else work.float_network(net)
        if is_first():
            _finish(asked, recipe, data, model.cpu(), machine, as_json)


class _Work:
    """The trainings of a command, one after another."""

    def __init__(self, asked: Training, recipe: Recipe, data: DataSet, device: torch.device, progress: Steps) -> None:
        self.asked, self.recipe, self.data, self.device, self.progress = asked, recipe, data, device, progress

    def float_network(self, net: nn.Module) -> nn.Module:
        """Train without quantizers."""
        self._train(net, "float", None)
        return net

    def quantized(self, net: nn.Module, widths: list[tuple[int, int]]) -> fx.GraphModule:
        """Train at one width after another."""
        images, (bits_w, bits_a) = calibration_images(self.data.train), widths[0]
        few = few_pixels(images)
        model = quantize(net, few, scheme=self.asked.scheme, weight_bits=bits_w, activation_bits=bits_a,
                         first_last_bits=self.asked.first_last_bits, input_format=self.data.train.format,
                         input_exponent=self.data.train.exponent)
        teacher = net.to(self.device).eval() if self.asked.distillation else None
        for number, bits in enumerate(widths):
            if number:
                narrow(model.cpu(), few, widths[number - 1], bits)
            self._train(model, f"{bits[0]}+{bits[1]}", teacher)
        reestimate_norms(model.cpu(), images)
        return model

    def _train(self, model: nn.Module, name: str, teacher: nn.Module | None) -> None:
        def report(epoch: int, loss: float, right: float) -> None:
            self.progress.done(f"{name}: epoch {epoch}/{self.recipe.epochs}, loss {loss:.3f}, training accuracy "
                               f"{100 * right:.1f} %")

        shift = 0 if self.data.size > 32 else 2 if self.data.size > 8 else 1
        train(model.to(self.device), self.data.train, replace(self.recipe, shift=shift), teacher=teacher,
              checkpoint=self.asked.out / f"{name}.checkpoint", half=self.asked.half, progress=report)


def _finish(asked: Training, recipe: Recipe, data: DataSet, model: nn.Module, machine: Machine,
            as_json: bool) -> None:
    """Judge and write the network."""
    lowered = None if asked.scheme == "float" else lowered_for(model, data, machine)
    sets = {name: images for name, images in (("validation", data.validation), ("test", data.test),
                                              ("held_out", data.held_out)) if images is not None}
    message("accuracy of the network" if lowered is None else "accuracy of the Program in the simulator")
    found = {name: accuracy(model, images) if lowered is None else program_accuracy(lowered.program, images)
             for name, images in sets.items()}
    summary: dict[str, Any] = {
        "network": asked.network, "data": asked.data, "scheme": asked.scheme, "bits": list(asked.bits),
        "recipe": asdict(recipe), "accuracy": found}
    if lowered is not None:
        summary["fit_error_codes"] = max(error.error for error in lowered.errors.values())
    files = write_network(asked.out, model, lowered, summary)
    report = Report(summary | {"files": [str(path) for path in files]})
    report.table(f"{asked.network} on {asked.data}, {asked.scheme} {' then '.join(asked.bits)}".strip(),
                 ["images", "accuracy %"], [[name, 100 * value] for name, value in found.items()])
    report.lines.append(f"written to {asked.out}")
    show(report, as_json)
