"""Finalists that are trained: at their bits, or while QBitOpt moves their bits within budgets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import fx, nn

from bitwright.codesign.networks import calibration_images, calibration_labels, few_pixels
from bitwright.codesign.post_training import quantize_network
from bitwright.codesign.progress import SILENT
from bitwright.codesign.quantization import scheme_for
from bitwright.codesign.training import Training, recipe_for
from quant.bits.qbitopt import QBitOpt
from quant.bits.simulation import Simulation
from quant.data.registry import DataSet
from quant.lowering.lower import lower
from quant.schemes import Scheme
from sim.arch.machine import Machine
from sim.cost.table import cost_table
from sim.energy.technology import Technology
from sim.errors import InputError

__all__ = ["FinalistTraining"]

BATCH = 64
WIDEST = 8
MOVING_SHARE = 0.6
"""Of the steps, in which bits are moved; in the others the network settles."""
REALLOCATIONS = 8


@dataclass(frozen=True)
class FinalistTraining:
    """How a finalist is trained.

    Attributes
    ----------
    data : DataSet
    scheme : {"lsq", "qil"}
    epochs : int
    folder : Path
        Gets a checkpoint after each epoch, from which the same training goes on.
    """

    data: DataSet
    scheme: str
    epochs: int
    folder: Path

    def train(self, net: nn.Module, choice: Mapping[str, Any], machine: Machine,
              technology: Technology) -> fx.GraphModule:
        """Train a quantized copy of a float network.

        Parameters
        ----------
        net : nn.Module
        choice : dict
            Fixed `bits` with those of `first_last` layers, or `budgets`.
        machine, technology
            Whose costs keep the budgets.

        Raises
        ------
        InputError
            If the network cannot be trained on the data, lowered for the machine or brought within the budgets.
        """
        scheme = scheme_for(cast(Literal["lsq", "qil"], self.scheme), asymmetric=False)
        training = Training(recipe_for(self.scheme, self.epochs, min(BATCH, len(self.data.train)), None), self.data,
                            torch.device("cpu"), False, self.folder, SILENT)
        if "bits" in choice:
            return training.quantized(net, scheme, [tuple(choice["bits"])], choice["first_last"])
        return self._within(choice["budgets"], net, scheme, training, machine, technology)

    def _within(self, budgets: Mapping[str, float], net: nn.Module, scheme: Scheme, training: Training,
                machine: Machine, technology: Technology) -> fx.GraphModule:
        images = few_pixels(calibration_images(self.data.train))
        model = quantize_network(net, self.data.train, images, scheme, (WIDEST, WIDEST), WIDEST)
        simulation = _simulation(model, self.data, machine, technology)
        program = lower(model, simulation.example, machine.arithmetic, fold=simulation.fold)
        moving = int(MOVING_SHARE * training.recipe.steps(len(self.data.train)))
        controller = QBitOpt(model, program, cost_table(program, machine, technology), budgets,
                             every=max(moving // REALLOCATIONS, 1), until=moving, simulation=simulation)
        controller.start(images, calibration_labels(self.data.train)[:len(images)])
        training.train(model, "budgets", after_step=controller)
        controller.finish(images)
        return model


def _simulation(model: fx.GraphModule, data: DataSet, machine: Machine, technology: Technology) -> Simulation:
    """Return what lowers models for the machine, the first layer folded where that can be done."""
    example = data.test.values(torch.arange(1))
    try:
        lower(model, example, machine.arithmetic, fold=True)
    except InputError:
        return Simulation(machine, technology, example)
    return Simulation(machine, technology, example, fold=True)
