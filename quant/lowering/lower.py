"""From a quantized model to a `sim.ir.program.Program`: the last place where real numbers exist.

Each stage of the traced model becomes one op. Everything real in it - weight step, input step, BatchNorm, bias,
residual step and the interval of the next quantizer - folds into one scale, one offset and one residual scale per
output channel, which `quant.lowering.requantizer_fit` turns into the requantizer's integers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import floor, isinf, prod
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn
from torch.nn import functional

from quant.lowering.requantizer_fit import FittedRequant, Target, accumulator_range, fit
from quant.lowering.space_to_depth import Folding
from quant.lowering.space_to_depth import fold as fold_program
from quant.quantizers.base import ActivationQuantizer, Quantizer
from quant.trace.agreement import check_agreement
from quant.trace.checks import check_data, check_finite, check_kind, check_on_cpu, running_on
from quant.trace.frontend import as_floats, checked_stages
from quant.trace.layers import QuantConv2d, QuantLinear
from quant.trace.naming import free_name
from quant.trace.operators import max_pool_window, operator_of
from quant.trace.shapes import Shapes, shape_of
from quant.trace.stages import Stage
from quant.trace.tracer import trace
from sim.errors import InputError
from sim.ir.arithmetic import Arithmetic
from sim.ir.formats import Format
from sim.ir.ops import Conv, Op, Pads, Pool
from sim.ir.ops import Tensor as Map
from sim.ir.program import Program

__all__ = ["FitError", "Lowered", "lower", "lower_with_report"]

Shape = tuple[int, int, int]
Reals = NDArray[np.float64]
Range = tuple[NDArray[np.int64], NDArray[np.int64]]


DEFAULT = Arithmetic()
"""Arithmetic of a Program that is meant for no particular machine."""
LONGEST_ROW = 1 << 12
"""Most codes that a convolution moves between a row and a map: it has this many squared weights."""


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
        Value of one code of each tensor; zero points are 0.
    errors : dict of str to FitError
        Of each Conv op.
    folding : Folding or None
        How the host folds its images, if the Program is folded.
    """

    program: Program
    scales: dict[str, float]
    errors: dict[str, FitError]
    folding: Folding | None = None

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
    program = Program(tuple(lowering.tensors.values()), tuple(lowering.ops), arithmetic)
    if not fold:
        return Lowered(program, lowering.scales, lowering.errors)
    folded, folding = fold_program(program)
    return Lowered(folded, lowering.scales, lowering.errors, folding)


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
    """Where an op leads: code = gain * y + bias, with what may come out."""

    gain: float
    bias: float
    format: Format
    scale: float

    def highest(self, ceiling: float) -> int:
        """Return the code of the largest value that an activation lets through; clamping codes there is the same."""
        high = self.format.high
        return high if isinf(ceiling) else min(high, floor(self.gain * ceiling + self.bias + 0.5))


class _Lowering:
    """Tensors and ops so far; `names` maps the end of a stage to its tensor."""

    def __init__(self, graph: fx.GraphModule, found: tuple[Stage, ...], arithmetic: Arithmetic) -> None:
        self.graph = graph
        self.taken = {stage.name for stage in found}
        self.moved: dict[tuple[str, str], Map] = {}
        self.arithmetic = arithmetic
        self.tensors: dict[str, Map] = {}
        self.ops: list[Op] = []
        self.scales: dict[str, float] = {}
        self.errors: dict[str, FitError] = {}
        self.names: dict[fx.Node, str] = {}

    def add(self, stage: Stage) -> None:
        if stage.kind == "input":
            if stage.quantizer is None:
                raise InputError(f"input '{stage.name}' has no quantizer; nothing says what its codes are")
            output = self._quantized(stage.quantizer)
            self._tensor(stage, _map_shape(stage.compute), output.format, output.scale)
        elif stage.kind == "max":
            self._max(stage)
        else:
            self._conv(stage)

    def _tensor(self, stage: Stage, shape: Shape, fmt: Format, scale: float) -> None:
        channels, height, width = shape
        self.tensors[stage.name] = Map(stage.name, height, width, (channels,), fmt)
        self.scales[stage.name] = scale
        self.names[stage.end] = stage.name

    def _max(self, stage: Stage) -> None:
        source = self._read(stage.source)
        self._tensor(stage, _map_shape(stage.compute), source.format, self.scales[source.name])
        self.ops.append(Pool(stage.name, source.name, stage.name, *max_pool_window(self.graph, stage.compute)))

    def _read(self, node: fx.Node | None) -> Map:
        return self.tensors[self.names[cast(fx.Node, node)]]

    def _conv(self, stage: Stage) -> None:
        source = self._read(stage.source)
        shape = source.shape if stage.kind == "copy" else _map_shape(stage.compute)
        residual = None if stage.residual is None else self._shaped(self._read(stage.residual), shape)
        if residual is source:
            residual = self._copied(source)
        operator = operator_of(self.graph, stage, source)
        scale, bias = operator.step * self.scales[source.name], operator.bias
        if stage.norm is not None:
            gain, shift = _norm(cast(nn.BatchNorm2d, self.graph.get_submodule(stage.norm)))
            scale, bias = scale * gain, bias * gain + shift
        acc_range = accumulator_range(operator.codes, source.format)
        if stage.quantizer is not None:
            output = self._quantized(stage.quantizer)
        else:
            output = self._logits(stage, scale, _reach(scale, bias, acc_range), residual)
        low = max(output.format.low, 0) if stage.relu else output.format.low
        high = output.highest(stage.ceiling)
        try:
            fitted = self._fit(scale, bias, acc_range, residual, output, low, high)
        except InputError as error:
            raise InputError(f"'{stage.name}' does not fit the requantizer [codes of its output]: {error}") from None
        self._tensor(stage, shape, output.format, output.scale)
        self.errors[stage.name] = FitError(float(fitted.error.max()), fitted.worst_channel)
        self.ops.append(Conv(
            stage.name, source.name, stage.name, operator.codes, operator.format, fitted.multiplier, fitted.shift,
            fitted.offset, low, high, operator.groups, operator.stride, operator.dilation,
            operator.pads, residual=residual.name if residual else None,
            residual_multiplier=fitted.residual_multiplier))

    def _fit(self, scale: Reals, bias: Reals, acc_range: Range, residual: Map | None, output: _Output,
             low: int, high: int) -> FittedRequant:
        target = Target(0, low, high, self.arithmetic)
        half = 0.5 if self.arithmetic.rounding == "floor" else 0.0
        return fit(output.gain * scale, output.gain * bias + output.bias + half, acc_range, target,
                   residual_scale=output.gain * self.scales[residual.name] if residual else 0.0,
                   residual=residual.format if residual else None)

    def _largest(self, tensor: Map | None) -> float:
        """Return the largest magnitude of a tensor's values."""
        return self.scales[tensor.name] * tensor.format.magnitude if tensor else 0.0

    def _copied(self, tensor: Map) -> Map:
        """Return a second tensor of the same codes: an op's input and residual must be two."""
        ones = np.ones((tensor.channels, 1, 1, 1), np.int8)
        return self._moved(tensor, "copy", tensor.shape, ones, Format(1, "unit"), (0, 0, 0, 0), groups=tensor.channels)

    def _shaped(self, tensor: Map, shape: Shape) -> Map:
        """Return the same codes in another shape: what lies on the other side of a flatten is added in this one's.

        Weights are 1 for one code each: the kernel that makes a map a row is the map, that which makes a row a map
        reaches from the row's only place to each of the map's.
        """
        if tensor.shape == shape:
            return tensor
        count = prod(shape)
        if count > LONGEST_ROW:
            raise InputError(f"'{tensor.name}' of shape {tensor.shape} is added in shape {shape}; the chip moves at "
                             f"most {LONGEST_ROW} codes to other places, not {count}")
        if tensor.shape != (count, 1, 1):
            ones = np.eye(count, dtype=np.int8).reshape(count, *tensor.shape)
            tensor = self._moved(tensor, "row", (count, 1, 1), ones, Format(2, "signed"), (0, 0, 0, 0))
        if shape == (count, 1, 1):
            return tensor
        ones = np.eye(count, dtype=np.int8).reshape(*shape, count)[:, ::-1, ::-1].transpose(0, 3, 1, 2)
        around = shape[1] - 1, shape[2] - 1
        return self._moved(tensor, "map", shape, ones, Format(2, "signed"), (*around, *around))

    def _moved(self, tensor: Map, what: str, shape: Shape, weights: NDArray[np.int8], fmt: Format, pads: Pads, *,
               groups: int = 1) -> Map:
        """Return a tensor of the same codes, made once by a convolution that adds nothing to them."""
        key = tensor.name, f"{what} {shape}"
        if key not in self.moved:
            name = free_name(f"{tensor.name}.{what}", self.taken)
            self.taken.add(name)
            self.moved[key] = self.tensors[name] = Map(name, *shape[1:], shape[:1], tensor.format)
            self.scales[name] = self.scales[tensor.name]
            zeros = np.zeros(shape[0], np.int64)
            self.ops.append(Conv(name, tensor.name, name, weights, fmt, np.ones((shape[0], 1), np.int8), zeros,
                                     zeros, tensor.format.low, tensor.format.high, groups, pads=pads))
        return self.moved[key]

    def _quantized(self, path: str) -> _Output:
        quantizer = self.graph.get_submodule(path)
        if not isinstance(quantizer, ActivationQuantizer):
            raise InputError(f"'{path}' quantizes a tensor, but {type(quantizer).__name__} is for weights")
        return _Output(float(quantizer.gain), float(quantizer.bias), quantizer.format, float(quantizer.scale))

    def _logits(self, stage: Stage, scale: Reals, reach: float, residual: Map | None) -> _Output:
        """Return the finest scale at which every channel's real output fits a signed code of at most acc_bits bits.

        Channels may differ so much that the finest of them has to be coarser, for the multipliers of the others.
        """
        if any(user.op != "output" for user in stage.end.users):
            raise InputError(f"what '{stage.name}' puts out is read on the chip, but has no quantizer")
        steps = np.abs(scale[scale != 0])
        step = float(steps.min()) if len(steps) else 1.0
        reach += self._largest(residual)
        least = max(float(steps.max(initial=0.0)) / (1 << (self.arithmetic.window - 1)),
                    self.scales[residual.name] / (1 << (self.arithmetic.residual_window - 1)) if residual else 0.0)
        while step < least or reach / step >= (1 << (self.arithmetic.acc_bits - 1)) - 1:
            step *= 2.0
        return _Output(1.0 / step, 0.0, Format(int(reach / step + 1).bit_length() + 1, "signed"), step)


def _norm(norm: nn.BatchNorm2d) -> tuple[Reals, Reals]:
    """Return (gain, shift) of a BatchNorm in eval mode, per channel."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    mean, variance = norm.running_mean.double().numpy(), norm.running_var.double().numpy()
    ones = torch.ones_like(norm.running_mean)
    gain = (norm.weight if norm.affine else ones).detach().double().numpy() / np.sqrt(variance + norm.eps)
    return gain, (norm.bias if norm.affine else 0 * ones).detach().double().numpy() - mean * gain


def _reach(scale: Reals, bias: Reals, acc_range: Range) -> float:
    """Return the largest magnitude of scale * acc + bias."""
    return float(np.max(np.abs(scale) * np.maximum(-acc_range[0], acc_range[1]) + np.abs(bias)))


def _map_shape(node: fx.Node) -> Shape:
    """Return (channels, height, width) of a node's images; rows are maps of one pixel."""
    shape = shape_of(node)
    assert shape is not None
    assert len(shape) in (2, 4)
    channels, height, width = (*shape[1:], 1, 1)[:3]
    return channels, height, width
