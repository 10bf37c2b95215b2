"""Programs of trained networks at the bits of a candidate, and how accurate they are."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import fx, nn

from bitwright.codesign import networks
from bitwright.codesign.chosen_bits import ChosenBits
from bitwright.codesign.data import load_data
from bitwright.codesign.evaluation import evaluate
from bitwright.codesign.post_training import reconstruct_network
from bitwright.codesign.progress import SILENT
from bitwright.codesign.quantization import Widths, quantize_to, scheme_for
from bitwright.explore.digest import digest_of
from bitwright.explore.trained import FinalistTraining
from quant.data.registry import DataSet
from quant.lowering.lower import Lowered, lower_with_report
from quant.ptq.reconstruct import Reconstruction
from sim.arch.machine import Machine
from sim.energy.technology import Technology
from sim.errors import InputError
from sim.io.atomic_write import ensure_folder
from sim.io.bounds import shown_path
from sim.ir.program import Program
from sim.ir.serialize import save_program

__all__ = ["quantized_program"]

FAST = replace(Reconstruction.fast(seed=0), exponents=False)
"""Rounds weights together, layer by layer: seconds, where learning would take minutes for each finalist."""


def quantized_program(trained: Mapping[str, Any], choice: Mapping[str, Any], bits: Mapping[str, Sequence[int]] | None,
                      machine: Machine, technology: Technology) -> tuple[Program, float]:
    """Quantize a trained network, and measure its Program.

    Parameters
    ----------
    trained : dict
        `network`, `weights` with their `sha256`, `data`, `scheme`, and `epochs`: with 0 it is quantized without labels,
        its weights rounded together, else trained, with checkpoints in a folder of its own in `folder`. `program` is
        the file that keeps the Program.
    choice : dict
        Fixed bits, or budgets.
    bits : dict, optional
        Of every layer, that were allocated under those; a training moves them within the budgets.
    machine : Machine
    technology : Technology

    Returns
    -------
    Program, float
        And its accuracy on the test images, in 0..1.

    Raises
    ------
    InputError
        If files cannot be read, or the Program is above a budget.
    """
    if digest_of(Path(trained["weights"])) != trained["sha256"]:
        raise InputError(f"weights '{shown_path(trained['weights'])}' are not those of the run")
    with _one_thread():
        torch.manual_seed(0)
        data = load_data(trained["data"])
        net = networks.load_network(trained["network"], data, Path(trained["weights"])).eval()
        if trained["epochs"]:
            model = _trained(net, data, trained, choice, machine, technology)
        else:
            model = _rounded(net, data, trained["scheme"], _widths(choice, bits, machine), machine)
        lowered = _lowered(model, data.test.values(torch.arange(1)), machine)
        ensure_folder(Path(trained["program"]).parent)
        save_program(lowered.program, Path(trained["program"]))
        return lowered.program, evaluate(lowered, data.test)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let torch compute on one thread: numbers do not depend on the machine, and jobs do not disturb each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _rounded(net: nn.Module, data: DataSet, scheme: str, widths: Widths, machine: Machine) -> fx.GraphModule:
    """Quantize a network without training."""
    images = networks.few_pixels(networks.calibration_images(data.train))
    name = cast(Literal["power_of_two", "uniform"], scheme)
    model = quantize_to(widths, net, data, images, scheme_for(name, asymmetric=False), machine)
    reconstruct_network(model, net, images, name, FAST, SILENT)
    return model


def _trained(net: nn.Module, data: DataSet, trained: Mapping[str, Any], choice: Mapping[str, Any], machine: Machine,
             technology: Technology) -> fx.GraphModule:
    """Train a quantized network; what an interrupted training has left is found by all that it depends on."""
    told = json.dumps([trained, choice, machine.model_dump(mode="json"), technology.model_dump(mode="json")],
                      sort_keys=True)
    folder = ensure_folder(Path(trained["folder"]) / hashlib.sha256(told.encode()).hexdigest()[:16])
    model = FinalistTraining(data, trained["scheme"], trained["epochs"], folder).train(net, choice, machine, technology)
    shutil.rmtree(folder)
    return model


def _lowered(model: nn.Module, example: torch.Tensor, machine: Machine) -> Lowered:
    """Lower a model, its first layer folded where that can be done, as the shapes of networks are."""
    try:
        return lower_with_report(model, example, machine.arithmetic, fold=True)
    except InputError:
        return lower_with_report(model, example, machine.arithmetic)


def _widths(choice: Mapping[str, Any], bits: Mapping[str, Sequence[int]] | None, machine: Machine) -> Widths:
    if bits is None:
        weights, activations = choice["bits"]
        return Widths((weights, activations), choice["first_last"])
    chosen = ChosenBits(machine=machine.name, technology=machine.technology,
                        bits={layer: (pair[0], pair[1]) for layer, pair in bits.items()}, limits={})
    return Widths((8, 8), 8, chosen=chosen)
