"""ResNet-20 trained with quantizers on JPEG copies of CIFAR-10, at fixed bits or with those that QBitOpt chooses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import fx, nn

from benchmarks.real.measure import MACHINE, Files, measure
from benchmarks.real.post_training import PostTraining, quantizers_of
from benchmarks.real.record import Clock
from benchmarks.real.resnet20 import BATCH, Cifar, told
from quant.bits.qbitopt import QBitOpt
from quant.bits.simulation import Simulation
from quant.lowering.lower import lower
from quant.training.loop import StepHook, train
from quant.training.norms import reestimate_norms
from quant.training.recipe import Recipe
from sim.arch.machine import load_machine
from sim.cost.table import cost_table
from sim.energy.technology import load_technology
from sim.errors import EngineError

__all__ = ["Training", "run_budget", "run_training"]

QAT = {"rate": 0.02, "decay": 1e-4}
MOVING_SHARE = 0.6
"""Share of a training in which bits may move."""
REALLOCATIONS = 8
"""How often they may."""


@dataclass(frozen=True)
class Training:
    """How to train with quantizers.

    Attributes
    ----------
    scheme : str
        A name of `quant.schemes.SCHEMES`.
    bits : str
        Of weights and activations, as "2/2".
    epochs : int
    half : bool
        Whether convolutions are computed in bfloat16.
    outer_bits : int
        Of first and last layers.
    budget : bool
        Whether QBitOpt chooses the bits of every layer, within the simulated cycles of a network of `bits`.
    seed : int or None
        Of the order of pictures and of how they are shifted; 0 if None.
    """

    scheme: str
    bits: str
    epochs: int
    half: bool = False
    outer_bits: int = 8
    budget: bool = False
    seed: int | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """Return what a record is known by."""
        return {"network": "resnet20", "method": "budget" if self.budget else "training", "scheme": self.scheme,
                "bits": self.bits, "epochs": self.epochs,
                **({"precision": "bfloat16"} if self.half else {}),
                **({"outer_bits": self.outer_bits} if self.outer_bits != 8 else {}),
                **({"seed": self.seed} if self.seed is not None else {})}

    @property
    def start(self) -> PostTraining:
        """Return how the network that is trained was quantized."""
        return PostTraining(self.bits, self.scheme, "none", outer_bits=self.outer_bits)

    def train(self, model: fx.GraphModule, data: Cifar, files: Files, clock: Clock,
              after_step: StepHook | None = None) -> None:
        """Train, going on from the last epoch that was done."""
        files.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        with clock.stage("train"):
            train(model, data.train, Recipe(epochs=self.epochs, batch=BATCH, shift=0, seed=self.seed or 0, **QAT),
                  checkpoint=files.checkpoint, half=self.half, progress=lambda epoch: told(epoch, clock),
                  after_step=after_step)


def run_training(net: nn.Module, data: Cifar, out: Path, how: Training) -> dict[str, Any]:
    """Return the record of a network that was trained with quantizers of fixed bits."""
    def make(files: Files, clock: Clock) -> fx.GraphModule:
        images = data.calibration
        with clock.stage("quantize"):
            model = quantizers_of(net, images, how.start)
        how.train(model, data, files, clock)
        reestimate_norms(model, data.drawn)
        return model

    return measure(out, how.settings, net, data.test, make)


def run_budget(net: nn.Module, data: Cifar, out: Path, how: Training) -> dict[str, Any]:
    """Return the record of a network whose bits QBitOpt chose while it was trained.

    Raises
    ------
    EngineError
        If the network takes more cycles than its budget has.
    """
    machine = load_machine(MACHINE)
    technology = load_technology(machine.technology)
    simulation = Simulation(machine, technology, data.test.values(slice(1)))
    images = data.calibration
    limits = {"latency_cycles": simulation.costs(quantizers_of(net, images, how.start))["latency_cycles"]}

    def make(files: Files, clock: Clock) -> fx.GraphModule:
        with clock.stage("quantize"):
            model = quantizers_of(net, images, replace(how.start, bits="8/8"))
            program = lower(model, simulation.example, machine.arithmetic)
        steps = how.epochs * (len(data.train) // BATCH)
        controller = QBitOpt(model, program, cost_table(program, machine, technology), limits,
                             every=max(int(MOVING_SHARE * steps) // REALLOCATIONS, 1), until=int(MOVING_SHARE * steps),
                             simulation=simulation)
        with clock.stage("sensitivities"):
            controller.start(images.values(slice(None)), images.labels)
        how.train(model, data, files, clock, controller)
        controller.finish(data.drawn)
        return model

    record = measure(out, how.settings, net, data.test, make)
    if record["cost"]["cycles"] > limits["latency_cycles"]:
        raise EngineError(f"{record['cost']['cycles']} cycles are above the budget of {limits['latency_cycles']:.0f}")
    return record
