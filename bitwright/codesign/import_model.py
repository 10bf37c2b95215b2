"""Models that another tool has quantized, as Programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bitwright.codesign.host_inputs import host_summary
from bitwright.codesign.model_files import Sizes, read_graph
from bitwright.codesign.resolve import resolve_machine
from quant.frontends.onnx.read import load_onnx_model
from quant.lowering.imported import Imported, InputCodes, TensorDifference, import_quantized, is_quantized
from quant.trace.checks import check_input_format
from sim.arch.machine import Machine
from sim.errors import InputError
from sim.io.bounds import listed, shown, shown_path
from sim.ir.formats import Format

__all__ = ["differences", "import_model", "parse_input_codes", "random_inputs", "summary_of"]

PARTS = 3
"""Of the description of an input: kind, bits and exponent."""
MOST_EXPONENT = 64


def import_model(path: str | Path, machine: Machine | str | Path, *,
                 inputs: Mapping[str, InputCodes] | InputCodes | None = None, sizes: Sizes | None = None) -> Imported:
    """Make the Program of a model that another tool has quantized: weight codes, scales and rounding are the model's.

    Parameters
    ----------
    path : str or Path
        An ONNX file with QuantizeLinear, QLinearConv, Quant or BipolarQuant and their like, *.onnx; or one that
        torch.export has saved of a model quantized by PT2E, *.pt2.
    machine : Machine, str or Path
        Whose arithmetic the Program has; its requantizers round halves to even, as these models do, if the machine can.
    inputs : InputCodes, or mapping of str to InputCodes, optional
        How the host gives inputs for which the model has no quantizer.
    sizes : mapping of str to sequence of int, or sequence of int, optional
        Shape of one image, if the file leaves it open.

    Raises
    ------
    InputError
        If the file cannot be read or is of a float model; with all that has no counterpart on the machine; or if an
        input has no quantizer and is not described.
    """
    graph = read_graph(path, sizes)
    if not is_quantized(graph):
        raise InputError(f"'{shown_path(path)}' is a float model; `bitwright quantize` takes it and makes a Program")
    target = resolve_machine(machine)
    arithmetic = target.arithmetic
    if "half_even" in target.roundings:
        arithmetic = replace(arithmetic, rounding="half_even")
    try:
        return import_quantized(graph, arithmetic, inputs)
    except InputError:
        if not _is_exported(path):
            raise
        raise InputError(f"'{shown_path(path)}' is written by `bitwright export`; take the Program of which it was made"
                         ) from None


def _is_exported(path: str | Path) -> bool:
    """Return whether a model's file, which can be read, is a Program that was written for other tools."""
    return Path(path).suffix.lower() == ".onnx" and any(
        entry.key == "bitwright_arithmetic" for entry in load_onnx_model(path).metadata_props)


def parse_input_codes(text: str) -> InputCodes:
    """Read how the host gives an input: KIND:BITS:EXPONENT.

    >>> parse_input_codes("signed:8:-5")
    InputCodes(format=Format(bits=8, kind='signed', zero_point=0), exponent=-5)

    Raises
    ------
    InputError
        If it is not signed or unsigned, of 1 to 8 bits, and of an exponent in -64..64.
    """
    kind, *numbers = text.split(":")
    if len(numbers) != PARTS - 1 or kind not in ("signed", "unsigned"):
        raise InputError(f"an input must be described as signed:BITS:EXPONENT or unsigned:BITS:EXPONENT, not "
                         f"'{shown(text)}'")
    try:
        bits, exponent = map(int, numbers)
    except ValueError:
        raise InputError(f"bits and exponent of an input must be whole numbers, not '{shown(':'.join(numbers))}'"
                         ) from None
    if abs(exponent) > MOST_EXPONENT:
        raise InputError(f"the exponent of an input must be in {-MOST_EXPONENT}..{MOST_EXPONENT}, not "
                         f"{shown(exponent)}")
    if not 1 <= bits <= 8:
        raise InputError(f"an input must have 1 to 8 bits, not {shown(bits)}")
    fmt = Format(bits, "signed" if kind == "signed" else "unsigned")
    check_input_format(fmt, exponent)
    return InputCodes(fmt, exponent)


def random_inputs(imported: Imported, images: int, seed: int) -> dict[str, Tensor]:
    """Return inputs of a model whose codes are all that there are, equally often, by the model's input names."""
    generator = np.random.default_rng(seed)
    found = {}
    for given in imported.graph.inputs:
        low, high = imported.input_range(given.name)
        found[given.name] = torch.from_numpy(generator.uniform(low, high, (images, *given.shape)))
    return found


def differences(imported: Imported, inputs: Mapping[str, Tensor]) -> list[TensorDifference]:
    """Return how far the Program's codes are from the model's on some inputs.

    Raises
    ------
    InputError
        If they are not those of the model.
    """
    shapes = {given.name: given.shape for given in imported.graph.inputs}
    if shapes.keys() != inputs.keys():
        raise InputError(f"the inputs must be {listed(sorted(shapes))}, not {listed(sorted(inputs))}")
    for name, value in inputs.items():
        if tuple(value.shape[1:]) != shapes[name] or not len(value):
            raise InputError(f"input '{name}' must have shape (n, {', '.join(map(str, shapes[name]))}), not "
                             f"{tuple(value.shape)}")
    return imported.compare(inputs)


def summary_of(imported: Imported, found: Sequence[TensorDifference]) -> dict[str, Any]:
    """Return what a summary says of an imported model: formats, scales, digits, and what differs."""
    program = imported.lowered.program
    return {
        "rounding": program.arithmetic.rounding,
        "outputs": [tensor.name for tensor in program.outputs],
        "tensors": [{"name": each.name, "codes": each.codes, "differing": each.differing, "share": each.share,
                     "largest": each.largest} for each in found],
        "exact": all(not each.differing for each in found),
        "scales": imported.lowered.scales,
        **host_summary(imported.lowered, imported.input_names),
    }
