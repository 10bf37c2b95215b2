"""Networks by name: their weights, their Programs, how accurate these are, and the files that hold them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bitwright.codesign.evaluation import evaluate
from bitwright.codesign.host_inputs import SUMMARY, host_summary
from bitwright.codesign.json_text import to_json
from bitwright.codesign.model_files import is_model_file, load_model
from bitwright.codesign.user_code import call, is_place, load_object
from quant.data.images import Images
from quant.data.registry import DataSet
from quant.data.sample import mixed_sample
from quant.lowering.lower import Lowered, lower_with_report
from quant.networks.registry import make_network
from quant.training.checkpoint import load_weights, save_weights
from sim.arch.machine import Machine
from sim.errors import InputError
from sim.io.atomic_write import atomic_write_text
from sim.io.bounds import shown, shown_path
from sim.ir.program import Program
from sim.ir.serialize import save_program

__all__ = ["accuracies", "calibration_images", "calibration_labels", "check_trained", "evaluation_sets", "few_pixels",
           "load_network", "lowered_for", "network_files", "pixels_of", "worst_fit", "write_network"]

CALIBRATION_IMAGES = 1024
CALIBRATION_PIXELS, FEWEST = 1 << 22, 64
"""Pixels of the images that go through a network at once or are kept between its layers, and how many images at least:
83 images of 224 x 224, which take about 2.5 GB in EfficientNet."""


def load_network(name: str, data: DataSet, weights: Path | None) -> nn.Module:
    """Make the network of this name for a data set, with the weights of a file if one is given.

    Parameters
    ----------
    name : str
        One of `quant.networks.registry.NETWORKS`; a file of another tool, *.onnx or *.pt2; or the user's own network
        as `file.py:name` or `module:name`: an nn.Module, or a class or function that makes one. It gets `classes` and
        `channels` if it has such parameters.
    data : DataSet
    weights : Path or None

    Raises
    ------
    InputError
        If there is no such network, its code ends in an error or makes something else, its file cannot be read or
        holds what the machine does not have, or the weights are not its.
    """
    if is_model_file(name):
        net: nn.Module = load_model(name, data.train.values(slice(1)).shape[1:])
    else:
        net = _own_network(name, data) if is_place(name) else make_network(name, data.classes, data.channels)
    if weights is not None:
        load_weights(net, weights)
    return net


def check_trained(name: str, weights: Path | None) -> None:
    """Refuse to start from random weights; a network of the user's own may have weights already, and a file has.

    Raises
    ------
    InputError
        If there are no weights.
    """
    if weights is None and not is_place(name) and not is_model_file(name):
        raise InputError(f"quantizing starts from a trained network: give the weights of '{shown(name)}'")


def _own_network(place: str, data: DataSet) -> nn.Module:
    """Return the network that a place in the user's code holds or makes."""
    found = load_object(place)
    if not isinstance(found, nn.Module) and callable(found):
        found = call(found, place, {"classes": data.classes, "channels": data.channels})
    if not isinstance(found, nn.Module):
        raise InputError(f"'{shown_path(place)}' must be a torch.nn.Module or make one, not {type(found).__name__}")
    return found


def calibration_images(data: Images) -> torch.Tensor:
    """Return images of all classes, always the same ones, without their labels."""
    return data.values(mixed_sample(data.labels, CALIBRATION_IMAGES))


def calibration_labels(data: Images) -> torch.Tensor:
    """Return the classes of `calibration_images`."""
    return data.labels[mixed_sample(data.labels, CALIBRATION_IMAGES)]


def few_pixels(images: torch.Tensor) -> torch.Tensor:
    """Return the first images, as many as memory has room for: all of them where they are small."""
    return images[:max(CALIBRATION_PIXELS // (prod(images.shape[2:])), FEWEST)]


def lowered_for(model: nn.Module, data: DataSet, machine: Machine) -> Lowered:
    """Lower a quantized model for a machine."""
    return lower_with_report(model, data.test.values(torch.arange(1)), machine.arithmetic)


def worst_fit(lowered: Lowered) -> float:
    """Return the largest distance between the real map of a layer and the one that its digits make [codes].

    Layers that write an output do not count: their codes are much finer than those of stored tensors.
    """
    outputs = {tensor.name for tensor in lowered.program.outputs}
    inner = {op.name for op in lowered.program.ops if op.output not in outputs}
    return max((error.error for name, error in lowered.errors.items() if name in inner), default=0.0)


def accuracies(model: Program | Lowered | nn.Module, data: DataSet) -> dict[str, float]:
    """Return the accuracy of a network or Program on each set of images to choose and to judge by."""
    return {name: evaluate(model, images) for name, images in evaluation_sets(data).items()}


def evaluation_sets(data: DataSet) -> dict[str, Images]:
    """Return the sets of images to choose and to judge by that a data set has, by their names."""
    validation = None if data.test_is_validation else data.validation
    sets = {"validation": validation, "test": data.test, "held_out": data.held_out}
    return {name: images for name, images in sets.items() if images is not None}


def pixels_of(data: DataSet) -> dict[str, Any] | None:
    """Return mean and deviation of a data set's pixels, as summaries say them; None if it has no pixels."""
    return None if data.train.pixels is None else asdict(data.train.pixels)


def write_network(out: Path, model: nn.Module, lowered: Lowered | None, summary: Mapping[str, Any]) -> list[Path]:
    """Write the weights, the Program if there is one, and the summary, and return the files."""
    weights, program, report = network_files(out)
    save_weights(model, weights)
    shown_summary = dict(summary)
    if lowered is not None:
        save_program(lowered.program, program)
        shown_summary["scales"] = lowered.scales
        if len(lowered.outputs) > 1:
            shown_summary["outputs"] = lowered.outputs
        shown_summary |= host_summary(lowered)
    atomic_write_text(report, to_json(shown_summary))
    return [weights, program, report] if lowered is not None else [weights, report]


def network_files(out: Path) -> tuple[Path, Path, Path]:
    """Return where `write_network` puts weights, Program and summary in a folder."""
    return out / "model.safetensors", out / "program.safetensors", out / SUMMARY
