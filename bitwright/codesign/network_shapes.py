"""The shapes of float models in files of other tools, so that they can be estimated before they are quantized."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from bitwright.codesign.import_model import import_model
from bitwright.codesign.model_files import load_model, read_graph
from quant.convert import quantize
from quant.lowering.imported import is_quantized
from quant.lowering.lower import lower
from sim.arch.machine import Machine
from sim.errors import InputError
from sim.io.bounds import shown_path
from sim.ir.formats import Format
from sim.ir.program import Program
from sim.ir.shapes import ChosenBits, Shapes
from sim.ir.shapes_of import shapes_of

__all__ = ["MARKS", "model_or_shapes", "shapes_of_model"]

MARKS = ChosenBits(weights=3, activations=5, first_last=7, digits=1)
"""Widths that tell in a lowered network where bits are chosen; all others have 8 bits or more."""
IMAGE_BITS, IMAGES = 8, 2


def model_or_shapes(path: str | Path, machine: Machine, image: tuple[int, ...] | None = None) -> Program | Shapes:
    """Return the Program of a model that is quantized already, or the shapes of a float one.

    Parameters
    ----------
    path : str or Path
        *.onnx or *.pt2.
    machine : Machine
    image : tuple of int, optional
        Shape of one image, channels first, if the file leaves it open.

    Raises
    ------
    InputError
        If the file cannot be read, has several inputs, or holds what has no counterpart on the machine.
    """
    graph = read_graph(path, image)
    if is_quantized(graph):
        return import_model(path, machine, sizes=image).lowered.program
    if len(graph.inputs) != 1:
        raise InputError(f"'{shown_path(path)}': a model to estimate has one input, not {len(graph.inputs)}")
    torch.manual_seed(0)
    return shapes_of_model(load_model(path, image), tuple(graph.inputs[0].shape), Path(path).stem, machine)


def shapes_of_model(model: nn.Module, shape: tuple[int, ...], name: str, machine: Machine) -> Shapes:
    """Return the shapes of a float model, its first layer folded where that can be done.

    The model is quantized to `MARKS` with noise for images: of the result only shapes count.

    Parameters
    ----------
    model : nn.Module
        In eval mode.
    shape : tuple of int
        Of one image, channels first.
    name : str
    machine : Machine
        Whose arithmetic the lowered network has.

    Raises
    ------
    InputError
        If the model has what `quantize` does not take.
    """
    images = torch.rand(IMAGES, *shape, generator=torch.Generator().manual_seed(0))
    quantized = quantize(model, images, scheme="uniform", weight_bits=MARKS.weights,
                         activation_bits=MARKS.activations, first_last_bits=MARKS.first_last,
                         input_format=Format(IMAGE_BITS, "unsigned"), input_exponent=-IMAGE_BITS)
    try:
        program = lower(quantized, images[:1], machine.arithmetic, fold=True)
    except InputError:
        program = lower(quantized, images[:1], machine.arithmetic)
    return shapes_of(program, name, MARKS)
