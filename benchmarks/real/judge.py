"""Judge a Program on real pictures: its answers beside the float network's, and that they are the model's own.

Where all multipliers are single exact shifts, the logits of the Program are those of the fake-quantized model on every
picture, bit for bit, in single precision or, where that rounds, in double precision. Elsewhere multipliers were fitted
by signed digits: there the codes are those of the integer reference in torch, on the first images, and how often the
model agrees is reported.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks.real.paired import Paired
from quant.data.images import Images
from quant.lowering.lower import Lowered
from quant.lowering.strict import beyond_one_shift
from quant.reference import run_reference
from sim.arch.machine import Machine
from sim.cost.estimate import estimate
from sim.energy.technology import load_technology
from sim.errors import EngineError
from sim.functional.engine.simulator import Simulator
from sim.plan.plan import plan

__all__ = ["chunks", "classes_of", "cost_of", "exactness", "logits_of", "paired"]

REFERENCE_IMAGES = 16
"""Pictures that the integer reference computes too: it takes seconds for one of 224 x 224."""
PIXELS_AT_ONCE = 1 << 20
"""Pixels that go through a network together."""

Logits = NDArray[np.float64]


def classes_of(model: nn.Module, images: Images) -> NDArray[np.int64]:
    """Return the class that a model in torch gives each picture."""
    with torch.inference_mode():
        return np.concatenate([model(images.values(which)).argmax(1).numpy() for which in chunks(images)])


def logits_of(lowered: Lowered, images: Images) -> Logits:
    """Return what the Program gives in the simulator, shape (n, classes)."""
    (source,), (target,) = lowered.program.inputs, lowered.program.outputs
    simulator, found = Simulator(lowered.program, threads=torch.get_num_threads()), []
    for which in chunks(images):
        codes = lowered.prepare(images.codes(which).numpy())
        found.append(simulator.run({source.name: codes})[target.name].reshape(len(codes), -1))
    return np.concatenate(found) * lowered.scales[target.name]


def paired(images: Images, real: NDArray[np.int64], logits: Logits) -> Paired:
    """Return the comparison of the Program's logits with the float network's classes."""
    return Paired.of(images.labels.numpy(), real, logits.argmax(1))


def exactness(model: nn.Module, lowered: Lowered, images: Images, logits: Logits) -> dict[str, Any]:
    """Compare the Program's logits with those of another engine, and return what was compared.

    Raises
    ------
    EngineError
        If any differs: then nothing is to be reported.
    """
    if beyond_one_shift(lowered):
        _check_reference(lowered, images, logits)
        same = int((classes_of(model, images) == logits.argmax(1)).sum())
        return {"against": "integer reference", "images": min(REFERENCE_IMAGES, len(images)),
                "agreement_with_model": 100 * same / len(images)}
    wide = deepcopy(model).double()
    for which in chunks(images):
        with torch.inference_mode():
            found = model(images.values(which)).numpy()
            if not np.array_equal(found, logits[which]):
                found = wide(images.values(which).double()).numpy()
        _check_equal(found, logits[which], "the model", which.start)
    return {"against": "fake-quantized model", "images": len(images), "agreement_with_model": 100.0}


def cost_of(lowered: Lowered, machine: Machine) -> dict[str, float]:
    """Estimate what one picture costs on a machine."""
    found = estimate(plan(lowered.program, machine), load_technology(machine.technology))
    return {"cycles": found.latency_cycles, "energy_pj": found.energy.nominal_pj,
            "weight_bytes": sum(layer.weight_bytes for layer in found.layers)}


def chunks(images: Images) -> list[slice]:
    """Return which pictures go through a network together."""
    _, _, height, width = images.codes(slice(1)).shape
    size = max(PIXELS_AT_ONCE // (height * width), 1)
    return [slice(at, min(at + size, len(images))) for at in range(0, len(images), size)]


def _check_reference(lowered: Lowered, images: Images, logits: Logits) -> None:
    (source,), (target,) = lowered.program.inputs, lowered.program.outputs
    for at in range(min(REFERENCE_IMAGES, len(images))):
        codes = lowered.prepare(images.codes(slice(at, at + 1)).numpy())
        found = run_reference(lowered.program, {source.name: codes})[target.name].reshape(1, -1)
        _check_equal(found * lowered.scales[target.name], logits[at:at + 1], "the integer reference", at)


def _check_equal(found: Logits, logits: Logits, engine: str, at: int) -> None:
    if not np.array_equal(found, logits):
        raise EngineError(f"the Program and {engine} give other logits for pictures from number {at} on")
