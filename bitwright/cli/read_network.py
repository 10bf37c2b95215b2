"""A network as a user names it for an estimate or a verification: with bits of its own, or as shapes."""

from __future__ import annotations

import os
from pathlib import Path

from sim.arch.machine import Machine
from sim.errors import InputError
from sim.io.bounds import shown_path
from sim.ir.program import Program
from sim.ir.serialize import load_program
from sim.ir.shapes import Shapes, builtin_networks, load_shapes

__all__ = ["read_network"]

MODELS = (".onnx", ".pt2")


def read_network(source: Path, machine: Machine, image: tuple[int, ...] | None = None) -> Program | Shapes:
    """Read a Program, a quantized model as a Program, or a float model or a network without numbers as shapes.

    Parameters
    ----------
    source : Path
        A Program, *.safetensors; a network by name; shapes, *.yaml; or a model, *.onnx or *.pt2.
    machine : Machine
        Whose arithmetic a quantized model gets.
    image : tuple of int, optional
        Shape of one image, channels first, if a model leaves it open.

    Raises
    ------
    InputError
        If there is no such network, the file cannot be read, or an image is given for what is no model.
    """
    kind = source.suffix.lower()
    if image is not None and kind not in MODELS:
        raise InputError(f"the shape of an image is for models, *{' and *'.join(MODELS)}, not for "
                         f"'{shown_path(source)}'")
    if str(source) in builtin_networks() or kind in (".yaml", ".yml"):
        return load_shapes(source)
    if kind in MODELS:
        from bitwright.codesign.network_shapes import model_or_shapes  # torch, which shapes do without
        return model_or_shapes(source, machine, image)
    if not kind and not os.path.lexists(source):
        raise InputError(f"no network '{shown_path(source)}': give one of {', '.join(builtin_networks())}, or a file")
    return load_program(source)
