"""From a quantized model to a `sim.ir.program.Program`: the last place where real numbers exist.

Each stage of the traced model becomes one op. Everything real in it - weight step, input step, BatchNorm, bias,
residual step and the interval of the next quantizer - folds into one scale, one offset and one residual scale per
output channel, which `quant.lowering.requantizer_fit` turns into the requantizer's integers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import floor, isinf
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn
from torch.nn import functional

from quant.lowering.draft import Draft, Shape
from quant.lowering.host_padding import HostPadding, host_padding, pad_image
from quant.lowering.meaning import Meaning, accumulator_zero
from quant.lowering.requantizer_fit import FittedRequant, Target, accumulator_range, fit
from quant.lowering.space_to_depth import Folding, fold_image
from quant.lowering.space_to_depth import fold as fold_program
from quant.quantizers.base import ActivationQuantizer, Quantizer
from quant.trace.agreement import check_agreement
from quant.trace.checks import check_data, check_finite, check_kind, check_on_cpu, running_on
from quant.trace.frontend import as_floats, checked_stages
from quant.trace.layers import QuantConv2d, QuantLinear, affine_of
from quant.trace.operators import Operator, max_pool_window, operator_of
from quant.trace.shapes import Shapes, shape_of
from quant.trace.stages import Stage, module_of
from quant.trace.tracer import trace
from sim.errors import InputError
from sim.ir.arithmetic import Arithmetic
from sim.ir.formats import Format
from sim.ir.ops import Conv, Pool
from sim.ir.ops import Tensor as Map
from sim.ir.program import Program

__all__ = ["FitError", "Lowered", "lower", "lower_with_report"]

Reals = NDArray[np.float64]
Range = tuple[NDArray[np.int64], NDArray[np.int64]]


DEFAULT = Arithmetic()
"""Arithmetic of a Program that is meant for no particular machine."""


class FitError(NamedTuple):
    """Largest distance between the real and the fitted map of a layer before rounding [codes], and in which channel."""

    error: float
    channel: int


@dataclass(frozen=True)
class Lowered:
    """A Program and what was lost on the way.

    Attributes
    ----------
    program : Program
    scales : dict of str to float
        Value of one code of each tensor.
    errors : dict of str to FitError
        Of each Conv op.
    padding : HostPadding or None
        How the host pads its images, if channels of pixels differ in their means.
    folding : Folding or None
        How the host then folds its images, if the Program is folded.
    """

    program: Program
    scales: dict[str, float]
    errors: dict[str, FitError]
    padding: HostPadding | None = None
    folding: Folding | None = None

    def prepare(self, codes: NDArray[np.integer]) -> NDArray[np.int32]:
        """Make the input of the Program from images as data sets give them: the host's part.

        Parameters
        ----------
        codes : integer array, shape (N, C, H, W)

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
        if not isinstance(codes, np.ndarray):
            raise TypeError(f"images must be an integer array, not {type(codes).__name__}")
        if self.padding is not None:
            codes = pad_image(codes, self.padding)
        if self.folding is not None:
            return fold_image(codes, self.folding)
        (source,) = self.program.inputs
        return self.program.check_inputs({source.name: codes})[source.name].astype(np.int32)

    @property
    def digits(self) -> dict[str, int]:
        """Most digits of a channel's multiplier, or residual multiplier, in each Conv op: 1 is a single shift."""
        return {conv.name: max(conv.terms, conv.residual_terms) for conv in self.program.convs}


def lower(model: nn.Module, example: Tensor, arithmetic: Arithmetic = DEFAULT, *, fold: bool = False) -> Program:
    """Return the integer Program of a quantized model.

    Convolution, BatchNorm, residual add, ReLU and quantizer become one op; averages become depthwise convolutions
    with `unit` weights, a linear layer on a map a convolution whose kernel is the whole map. The model's real output
    becomes one signed tensor for the host, with the same scale in all channels, so that the largest code is the
    largest output.

    Parameters
    ----------
    model : nn.Module
        From `quantize`, or any traceable model with our layers and a quantizer on every tensor that is read; in eval
        mode.
    example : float Tensor, shape (N, C, H, W)
        Fixes the shapes of all tensors.
    arithmetic : Arithmetic
        Of the Program, as a machine's `Machine.arithmetic`; without `wrap`. Quantizers round half up; the rounding
        `floor` gets the missing half into its offsets.
    fold : bool
        Fold the first layer (`quant.lowering.space_to_depth`): same codes, but its input is the image that `fold_image`
        has folded. Worthwhile for images of few channels under a stride; asked for, because the host has to do its
        part.

    Raises
    ------
    InputError
        If the model is in training mode, a part of it has no counterpart on the chip or lacks a quantizer (the
        message says where), the first layer cannot be folded as asked, or the Program breaks its contract.
    """
    return lower_with_report(model, example, arithmetic, fold=fold).program


def lower_with_report(model: nn.Module, example: Tensor, arithmetic: Arithmetic = DEFAULT, *,
                      fold: bool = False) -> Lowered:
    """Lower like `lower`, and return with the Program the scale of every tensor and the error of every fit."""
    check_kind(model)
    if model.training:
        raise InputError("only a model in eval mode can be lowered: call model.eval() first")
    if arithmetic.wrap:
        raise InputError("the arithmetic of a lowered model must not wrap")
    check_data(example, "example")
    graph = trace(model)
    check_on_cpu(graph)
    check_finite(graph)
    example = as_floats(example, graph)
    with running_on(example):
        _Shapes(graph).run(example)
    found = checked_stages(graph)
    if not isinstance(model, fx.GraphModule):
        check_agreement(model, graph, example)
    with torch.no_grad():
        lowering = _Lowering(graph, found, arithmetic)
        for stage in found:
            with _naming(stage.name):
                lowering.add(stage)
    program = Program(tuple(lowering.draft.tensors.values()), tuple(lowering.draft.ops), arithmetic)
    folding = None
    if fold:
        program, folding = fold_program(program)
    scales = {name: meaning.scale for name, meaning in lowering.draft.meanings.items()}
    return Lowered(program, scales, lowering.errors, lowering.padding, folding)


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Prefix errors about an op with its name."""
    try:
        yield
    except InputError as error:
        if f"'{name}'" in str(error):
            raise
        raise InputError(f"op '{name}': {error}") from error


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


@dataclass(frozen=True)
class _Output:
    """Where an op leads: code = gain * y + bias, with what may come out and what that means."""

    gain: float
    bias: float
    format: Format
    meaning: Meaning

    @property
    def lowest(self) -> int:
        """The code of 0, below which a ReLU lets nothing through; clamping codes there is the same."""
        return max(self.format.low, floor(self.bias + 0.5))

    def highest(self, ceiling: float) -> int:
        """Return the code of the largest value that an activation lets through; clamping codes there is the same."""
        high = self.format.high
        return high if isinf(ceiling) else min(high, floor(self.gain * ceiling + self.bias + 0.5))


@dataclass(frozen=True, eq=False)
class _Sums:
    """What accumulators mean per output channel: y = scale * (acc - zero) + bias, and which occur."""

    scale: Reals
    bias: Reals
    range: Range
    zero: NDArray[np.int64]

    @property
    def reach(self) -> float:
        """Largest magnitude of y."""
        low, high = self.range
        return float(np.max(np.abs(self.scale) * np.maximum(self.zero - low, high - self.zero) + np.abs(self.bias)))


class _Lowering:
    """The Program so far; `names` maps the end of a stage to its tensor."""

    def __init__(self, graph: fx.GraphModule, found: tuple[Stage, ...], arithmetic: Arithmetic) -> None:
        self.graph = graph
        self.found = found
        self.arithmetic = arithmetic
        self.draft = Draft(stage.name for stage in found)
        self.padding: HostPadding | None = None
        self.errors: dict[str, FitError] = {}
        self.makers: dict[str, ActivationQuantizer] = {}
        self.names: dict[fx.Node, str] = {}

    def add(self, stage: Stage) -> None:
        if stage.kind == "input":
            self._input(stage)
        elif stage.kind == "max":
            self._max(stage)
        else:
            self._conv(stage)

    def _input(self, stage: Stage) -> None:
        if stage.quantizer is None:
            raise InputError(f"input '{stage.name}' has no quantizer; nothing says what its codes are")
        channels, height, width = _map_shape(stage.compute)
        output = self._quantized(stage, stage.quantizer, channels)
        image, zeros = Map(stage.name, height, width, (channels,), output.format), output.meaning.codes
        self.padding = host_padding(self.graph, self.found, stage, image, tuple(zeros.tolist()))
        read = image if self.padding is None else self.padding.padded
        self._tensor(stage, read.shape, output.format, output.meaning)

    def _tensor(self, stage: Stage, shape: Shape, fmt: Format, meaning: Meaning) -> None:
        self.draft.tensor(stage.name, shape, fmt, meaning)
        self.names[stage.end] = stage.name

    def _max(self, stage: Stage) -> None:
        source = self._read(stage.source)
        self._tensor(stage, _map_shape(stage.compute), source.format, self.draft.meanings[source.name])
        self.makers[stage.name] = self.makers[source.name]
        self.draft.ops.append(Pool(stage.name, source.name, stage.name, *max_pool_window(self.graph, stage.compute)))

    def _read(self, node: fx.Node | None) -> Map:
        return self.draft.tensors[self.names[cast(fx.Node, node)]]

    def _conv(self, stage: Stage) -> None:
        source = self._read(stage.source)
        shape = source.shape if stage.kind == "copy" else _map_shape(stage.compute)
        residual = self._residual(stage, source, shape)
        operator = operator_of(self.graph, stage, source)
        self._check_pads(stage, operator)
        sums = self._sums(stage, operator, source)
        if stage.quantizer is not None:
            output = self._quantized(stage, stage.quantizer, shape[0])
        else:
            output = self._logits(stage, sums, residual)
        low = output.lowest if stage.relu else output.format.low
        high = output.highest(stage.ceiling)
        try:
            fitted = self._fit(sums, residual, output, low, high)
        except InputError as error:
            raise InputError(f"'{stage.name}' does not fit the requantizer [codes of its output]: {error}") from None
        self._tensor(stage, shape, output.format,
                     replace(output.meaning, scale=output.meaning.scale * stage.host_factor))
        self.errors[stage.name] = FitError(float(fitted.error.max()), fitted.worst_channel)
        padded_by_host = self.padding is not None and self.padding.image.name == source.name
        self.draft.ops.append(Conv(
            stage.name, source.name, stage.name, operator.stored, operator.format, fitted.multiplier, fitted.shift,
            fitted.offset, low, high, operator.groups, operator.stride, operator.dilation,
            (0, 0, 0, 0) if padded_by_host else operator.pads, residual=residual.name if residual else None,
            residual_multiplier=fitted.residual_multiplier))

    def _check_pads(self, stage: Stage, operator: Operator) -> None:
        """Refuse zeros around a tensor without a code for 0, unless its code 0 stands there in the model too."""
        quantizer = self.makers.get(self.names[cast(fx.Node, stage.source)])
        if quantizer is None or quantizer.has_zero or not any(operator.pads):
            return
        layer = module_of(self.graph, stage.compute) if stage.kind == "conv" else None
        if any(stage.pads) or not isinstance(layer, QuantConv2d) or not layer.reads_from(quantizer):
            raise InputError(f"'{stage.name}' pads with zeros, for which a tensor of 1 signed bit has no code")

    def _residual(self, stage: Stage, source: Map, shape: Shape) -> Map | None:
        if stage.residual is None:
            return None
        residual = self.draft.shaped(self._read(stage.residual), shape)
        return self.draft.copied(source) if residual is source else residual

    def _sums(self, stage: Stage, operator: Operator, source: Map) -> _Sums:
        """Return what the accumulators of an op mean before a residual is added."""
        meaning = self.draft.meanings[source.name]
        scale = operator.step * meaning.scale
        bias = operator.bias
        if meaning.rest.any():
            bias = bias - scale * accumulator_zero(operator.codes, meaning.rest)
        if stage.norm is not None:
            norm = cast(nn.BatchNorm2d, self.graph.get_submodule(stage.norm))
            gain, shift = (part.numpy() for part in affine_of(norm))
            scale, bias = scale * gain, bias * gain + shift
        return _Sums(scale, bias, accumulator_range(operator.codes, source.format),
                     accumulator_zero(operator.codes, meaning.codes))

    def _fit(self, sums: _Sums, residual: Map | None, output: _Output, low: int, high: int) -> FittedRequant:
        zero_point = output.format.zero_point
        target = Target(zero_point, low, high, self.arithmetic)
        half = 0.5 if self.arithmetic.rounding == "floor" else 0.0
        bias, scale = sums.bias, 0.0
        if residual is not None:
            meaning = self.draft.meanings[residual.name]
            scale = output.gain * meaning.scale
            bias = bias + meaning.scale * (residual.format.zero_point - meaning.zeros)
        return fit(output.gain * sums.scale, output.gain * bias + (output.bias - zero_point) + half, sums.range, target,
                   acc_zero=sums.zero, residual_scale=scale, residual=residual.format if residual else None)

    def _quantized(self, stage: Stage, path: str, channels: int) -> _Output:
        quantizer = self.graph.get_submodule(path)
        if not isinstance(quantizer, ActivationQuantizer):
            raise InputError(f"'{path}' quantizes a tensor, but {type(quantizer).__name__} is for weights")
        self.makers[stage.name] = quantizer
        zeros = np.broadcast_to(quantizer.zero_points.double().numpy(), channels)
        gain, bias = (float(part.flatten()[0]) for part in (quantizer.gain, quantizer.bias))
        return _Output(gain, bias, quantizer.format, Meaning(float(quantizer.scale), zeros))

    def _logits(self, stage: Stage, sums: _Sums, residual: Map | None) -> _Output:
        """Return the finest scale at which every channel's real output fits a signed code of at most acc_bits bits.

        Channels may differ so much that the finest of them has to be coarser, for the multipliers of the others.
        """
        if any(user.op != "output" for user in stage.end.users):
            raise InputError(f"what '{stage.name}' puts out is read on the chip, but has no quantizer")
        steps = np.abs(sums.scale[sums.scale != 0])
        step, reach = float(steps.min()) if len(steps) else 1.0, sums.reach
        step *= self.draft.meanings[self._read(stage.source).name].finest
        least = float(steps.max(initial=0.0)) / (1 << (self.arithmetic.window - 1))
        if residual is not None:
            meaning = self.draft.meanings[residual.name]
            step = min(step, meaning.scale * meaning.finest)  # so that no sum is rounded where all are powers of two
            reach += meaning.largest(residual.format)
            least = max(least, meaning.scale / (1 << (self.arithmetic.residual_window - 1)))
        while step < least or reach / step >= (1 << (self.arithmetic.acc_bits - 1)) - 1:
            step *= 2.0
        fmt = Format(int(reach / step + 1).bit_length() + 1, "signed")
        return _Output(1.0 / step, 0.0, fmt, Meaning(step, np.zeros(len(sums.scale))))


def _map_shape(node: fx.Node) -> Shape:
    """Return (channels, height, width) of a node's images; rows are maps of one pixel."""
    shape = shape_of(node)
    assert shape is not None
    assert len(shape) in (2, 4)
    channels, height, width = (*shape[1:], 1, 1)[:3]
    return channels, height, width
