"""What the commands that make networks share: how good a Program is, and what is written of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from bitwright.console import to_json
from quant.data.images import Images
from quant.data.registry import DataSet
from quant.data.sample import mixed_sample
from quant.lowering.lower import Lowered, lower_with_report
from quant.training.checkpoint import save_weights
from sim.arch.machine import Machine
from sim.errors import InputError
from sim.functional.engine.simulator import Simulator
from sim.io.atomic_write import atomic_write_text
from sim.io.bounds import shown
from sim.ir.program import Program
from sim.ir.serialize import save_program

__all__ = ["calibration_images", "few_pixels", "lowered_for", "network_files", "parse_bits", "program_accuracy",
           "write_network"]

CALIBRATION_IMAGES = 1024
CALIBRATION_PIXELS, FEWEST = 1 << 22, 64
"""Pixels of the images that go through a network at once or are kept between its layers, and how many images at least:
83 images of 224 x 224, which take about 2.5 GB in EfficientNet."""
CHUNK = 256
"""Images that are simulated together."""


def parse_bits(text: str) -> tuple[int, int]:
    """`W/A` as widths.

    >>> parse_bits("2/4")
    (2, 4)
    """
    found = re.fullmatch(r"([0-9]{1,2})/([0-9]{1,2})", text)
    if found is None:
        raise InputError(f"bits are WEIGHTS/ACTIVATIONS, such as 4/4, not '{shown(text)}'")
    return int(found[1]), int(found[2])


def calibration_images(data: Images) -> torch.Tensor:
    """Images of all classes, always the same ones, without their labels."""
    return data.values(mixed_sample(data.labels, CALIBRATION_IMAGES))


def few_pixels(images: torch.Tensor) -> torch.Tensor:
    """The first images, as many as memory has room for: all of them where they are small."""
    return images[:max(CALIBRATION_PIXELS // (images.shape[2] * images.shape[3]), FEWEST)]


def lowered_for(model: nn.Module, data: DataSet, machine: Machine) -> Lowered:
    """The Program of a quantized model for a machine."""
    return lower_with_report(model, data.test.values(torch.arange(1)), machine.arithmetic)


def program_accuracy(program: Program, data: Images) -> float:
    """Share of images on which the largest output code is the label's, in the simulator."""
    (source,), (target,) = program.inputs, program.outputs
    simulator, right = Simulator(program), 0
    for at in range(0, len(data), CHUNK):
        which = torch.arange(at, min(at + CHUNK, len(data)))
        codes = (data.values(which) * 2.0**-data.exponent).to(torch.int32).numpy()
        logits = simulator.run({source.name: codes})[target.name].reshape(len(which), -1)
        right += int(np.count_nonzero(logits.argmax(axis=1) == data.labels[which].numpy()))
    return right / len(data)


def write_network(out: Path, model: nn.Module, lowered: Lowered | None, summary: Mapping[str, Any]) -> list[Path]:
    """Write the weights, the Program if there is one, and the summary; gives the files."""
    weights, program, report = network_files(out)
    save_weights(model, weights)
    if lowered is not None:
        save_program(lowered.program, program)
    atomic_write_text(report, to_json(dict(summary)))
    return [weights, program, report] if lowered is not None else [weights, report]


def network_files(out: Path) -> tuple[Path, Path, Path]:
    """Where `write_network` puts weights, Program and summary."""
    return out / "model.safetensors", out / "program.safetensors", out / "summary.json"
