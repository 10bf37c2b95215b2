"""How accurate networks and Programs are on labelled images."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from quant.data.images import Images
from quant.layers.view import as_maps
from quant.lowering.lower import Lowered
from quant.training.evaluate import accuracy
from sim.errors import InputError
from sim.functional.engine.simulator import Simulator
from sim.ir.program import Program

__all__ = ["evaluate"]

CHUNK = 256
"""Images that are simulated together."""


def evaluate(model: Program | Lowered | nn.Module, images: Images) -> float:
    """Return the share of images on which the largest output is that of the label, in 0..1.

    Parameters
    ----------
    model : Program, Lowered or nn.Module
        A Program runs in the simulator, on the codes of the images; one that is `Lowered` on what the host makes of
        them. A module is run in eval mode on their values.
    images : Images
        At least one, such as the `test` of a data set. Of several outputs the first has the logits.

    Raises
    ------
    InputError
        If it is none of these, there are no images, or the network reads others.
    """
    if not hasattr(images, "codes"):
        raise InputError(f"images must be labelled images, such as load_data('digits').test, not "
                         f"{type(images).__name__}")
    if not len(images):
        raise InputError("accuracy takes at least 1 image, not 0")
    if isinstance(model, nn.Module):
        return accuracy(model.eval(), images)
    if isinstance(model, Lowered):
        return _simulated(model.program, model, images)
    if isinstance(model, Program):
        return _simulated(model, None, images)
    raise InputError(f"a model must be a Program, a Lowered or a torch.nn.Module, not {type(model).__name__}")


def _simulated(program: Program, lowered: Lowered | None, images: Images) -> float:
    (source,) = program.inputs
    if lowered is None and len(program.outputs) > 1:
        raise InputError(f"which of the {len(program.outputs)} outputs has the logits, only a Lowered tells, which "
                         "lower_with_report gives")
    target = program.outputs[0].name if lowered is None else lowered.outputs[0]
    simulator, right = Simulator(program), 0
    for which in torch.split(torch.arange(len(images)), CHUNK):
        codes = images.codes(which).to(torch.int32).numpy()
        given = as_maps(codes) if lowered is None else lowered.prepare(codes)
        logits = simulator.run({source.name: given})[target].reshape(len(which), -1)
        right += int(np.count_nonzero(logits.argmax(axis=1) == images.labels[which].numpy()))
    return right / len(images)
