"""From a quantized model to a `sim.ir.program.Program`: the last place where real numbers exist.

Each stage of the traced model becomes one op. Everything real in it - weight step, input step, BatchNorm, bias,
residual step and the interval of the next quantizer - folds into one scale, one offset and one residual scale per
output channel, which `quant.lowering.requantizer_fit` turns into the requantizer's integers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import fx, nn
from torch.nn import functional

from quant.layers.arranged import Arranged
from quant.layers.quantized import QuantConv2d, QuantLinear
from quant.layers.view import as_maps
from quant.lowering.host_image import HostPadding, pad_image
from quant.lowering.ops import FitError, Lowering
from quant.lowering.phases import in_phases, layer_of
from quant.lowering.space_to_depth import Folding, fold_image
from quant.lowering.space_to_depth import fold as fold_program
from quant.quantizers.base import Quantizer
from quant.stages.frontend import as_floats, checked_stages
from quant.stages.outputs import output_stages
from quant.trace.agreement import check_agreement
from quant.trace.checks import check_data, check_finite, check_kind, check_on_cpu, running_on
from quant.trace.host import host_part
from quant.trace.inputs import Read, each
from quant.trace.shapes import Shapes
from quant.trace.tracer import trace
from sim.errors import InputError
from sim.ir.arithmetic import Arithmetic
from sim.ir.program import Program

__all__ = ["FitError", "Lowered", "lower", "lower_with_report"]

Reals = NDArray[np.float64]
Range = tuple[NDArray[np.int64], NDArray[np.int64]]


Error = TypeVar("Error")

DEFAULT = Arithmetic()
"""Arithmetic of a Program that is meant for no particular machine."""


@dataclass(frozen=True)
class Lowered:
    """A Program and what was lost on the way.

    Attributes
    ----------
    program : Program
    scales : dict of str to float
        Value of one code of each tensor.
    errors : dict of str to FitError
        Of each Conv op, and of each tensor whose parts several of them write.
    table_errors : dict of str to float
        Of each Conv op that ends in a table, by how much the table differs at most from the function [codes].
    outputs : tuple of str
        Tensors that hold what the model returns, or what the host reads at its end, in its order.
    host : tuple of str
        Names of the operators that the host computes from them, in the order in which they run.
    padding : HostPadding or None
        How the host pads its images, if channels of pixels differ in their means.
    folding : Folding or None
        How the host then folds its images, if the Program is folded.
    arranged : mapping of str to Arranged
        By the names of inputs whose numbers the host first puts into another order.
    """

    program: Program
    scales: dict[str, float]
    errors: dict[str, FitError]
    outputs: tuple[str, ...]
    host: tuple[str, ...] = ()
    padding: HostPadding | None = None
    folding: Folding | None = None
    arranged: Mapping[str, Arranged] = field(default_factory=dict)
    table_errors: Mapping[str, float] = field(default_factory=dict)

    def prepare(self, codes: NDArray[np.integer]) -> NDArray[np.int32]:
        """Make the input of the Program from images as data sets give them: the host's part.

        Parameters
        ----------
        codes : integer array, shape (N, C, H, W), (N, C, L) or (N, C)

        Returns
        -------
        int32 array, of the shape of the Program's input

        Raises
        ------
        InputError
            If the shape is another, or a number is no code of the images' format.
        TypeError
            If the array is not of integers.
        """
        if len(self.program.inputs) > 1:
            raise InputError(f"the Program has {len(self.program.inputs)} inputs: prepare_all takes codes for each")
        (source,) = self.program.inputs
        return self.prepare_all({source.name: codes})[source.name]

    def prepare_all(self, codes: Mapping[str, NDArray[np.integer]]) -> dict[str, NDArray[np.int32]]:
        """Make all inputs of the Program, by name, from codes for each; errors as for `prepare`."""
        found: dict[str, NDArray[np.integer]] = {}
        for name, array in codes.items():
            if not isinstance(array, np.ndarray):
                raise TypeError(f"images must be an integer array, not {type(array).__name__}")
            array = self.arranged[name].codes(array) if name in self.arranged else as_maps(array)
            if self.padding is not None and name == self.padding.image.name:
                array = pad_image(array, self.padding)
            found[name] = fold_image(array, self.folding) if self.folding is not None else array
        return {name: array.astype(np.int32) for name, array in self.program.check_inputs(found).items()}

    @property
    def digits(self) -> dict[str, int]:
        """Most digits of a channel's multiplier, or residual multiplier, in each Conv op: 1 is a single shift."""
        return {conv.name: conv.digits for conv in self.program.convs}


def lower(model: nn.Module, example: Read, arithmetic: Arithmetic = DEFAULT, *, fold: bool = False,
          tolerance: float | None = None, phases: bool = True) -> Program:
    """Return the integer Program of a quantized model.

    Convolution, BatchNorm, residual add, ReLU and quantizer become one op; averages become depthwise convolutions
    with `unit` weights, a linear layer on a map a convolution whose kernel is the whole map. Each real output of the
    model becomes one signed tensor for the host, with the same scale in all channels, so that the largest code is the
    largest output.

    Parameters
    ----------
    model : nn.Module
        From `quantize`, or any traceable model with our layers and a quantizer on every tensor that is read; in eval
        mode.
    example : float Tensor, shape (N, C, H, W), (N, C, L) or (N, C); or `quant.trace.inputs.Inputs` of several
        Fixes the shapes of all tensors.
    arithmetic : Arithmetic
        Of the Program, as a machine's `Machine.arithmetic`; without `wrap`. Quantizers round half up; the rounding
        `floor` gets the missing half into its offsets.
    fold : bool
        Fold the first layer (`quant.lowering.space_to_depth`): same codes, but its input is the image that `fold_image`
        has folded. Worthwhile for images of few channels under a stride; asked for, because the host has to do its
        part.
    tolerance : float, at least 0, optional
        Error of the requantizers that digits must not exceed [codes]; 0 spends all digits that `arithmetic` has. By
        default `quant.lowering.requantizer_fit.usual_tolerance`, at which accuracy is that of the model; with less,
        more codes are its codes.
    phases : bool
        Let a layer whose outputs are only spread over a larger map write them there, with an op for each phase; else it
        is one op, whose outputs are copied.

    Raises
    ------
    InputError
        If the model is in training mode, a part of it has no counterpart on the machine or lacks a quantizer (the
        message says where), the first layer cannot be folded as asked, the tolerance is negative, or the Program breaks
        its contract.
    """
    return lower_with_report(model, example, arithmetic, fold=fold, tolerance=tolerance, phases=phases).program


def lower_with_report(model: nn.Module, example: Read, arithmetic: Arithmetic = DEFAULT, *,
                      fold: bool = False, tolerance: float | None = None, phases: bool = True) -> Lowered:
    """Lower like `lower`, and return with the Program the scale of every tensor and the error of every fit."""
    check_kind(model)
    if model.training:
        raise InputError("only a model in eval mode can be lowered: call model.eval() first")
    if arithmetic.wrap:
        raise InputError("the arithmetic of a lowered model must not wrap")
    if tolerance is not None and not tolerance >= 0:
        raise InputError(f"tolerance must be at least 0, not {tolerance}")
    for tensor in each(example):
        check_data(tensor, "example")
    graph = trace(model)
    check_on_cpu(graph)
    check_finite(graph)
    example = as_floats(example, graph)
    with running_on(example):
        _Shapes(graph).run(*each(example))
    found = checked_stages(graph)
    if not isinstance(model, fx.GraphModule):
        check_agreement(model, graph, example)
    with torch.no_grad():
        lowering = Lowering(graph, found, arithmetic, tolerance, each(example)[0].dtype)
        for stage in found:
            lowering.add(stage)
    program = Program(tuple(lowering.draft.tensors.values()), tuple(lowering.draft.ops), arithmetic)
    if phases:
        program = in_phases(program)
    folding = None
    if fold:
        program, folding = fold_program(program)
    scales = {tensor.name: lowering.draft.meanings[tensor.name].scale for tensor in program.tensors}
    outputs = tuple(lowering.names[stage.end] for stage in output_stages(graph, found))
    part = host_part(graph)
    return Lowered(program, scales, _of_phases(program, lowering.errors), outputs,
                   () if part is None else part.operators, lowering.padding, folding, lowering.arranged,
                   _of_phases(program, lowering.table_errors))


def _of_phases(program: Program, errors: Mapping[str, Error]) -> dict[str, Error]:
    """Return errors by op and tensor, those of a layer of several ops for each of them."""
    names = {*(tensor.name for tensor in program.tensors), *(conv.name for conv in program.convs)}
    split = {name: layer_of(name) for name in names if name not in errors and layer_of(name) in errors}
    return ({name: error for name, error in errors.items() if name in names}
            | {name: errors[layer] for name, layer in split.items()})


class _Shapes(Shapes):
    """Shapes of all values. Quantizers change none, and those of large layers take long: they are passed by."""

    def call_module(self, target: fx.node.Target, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        module = self.fetch_attr(str(target))
        if isinstance(module, Quantizer):
            return args[0]
        if isinstance(module, QuantConv2d):
            return module.convolve(args[0], module.weight)
        if isinstance(module, QuantLinear):
            return functional.linear(args[0], module.weight, module.bias)
        return super().call_module(target, args, kwargs)
