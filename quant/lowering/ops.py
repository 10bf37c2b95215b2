"""Stages of a quantized model as ops of a Program, one after another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from math import prod
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import fx, nn

from quant.layers.arranged import Arranged
from quant.layers.bilinear import Bilinear
from quant.layers.function import QuantFunction
from quant.layers.quantized import QuantConv2d, affine_of
from quant.layers.selection import ZEROS, Selection
from quant.layers.spread import Spread, moved
from quant.layers.view import as_map
from quant.lowering.draft import Draft, Shape, Slice, run_of
from quant.lowering.host_image import HostPadding
from quant.lowering.host_padding import host_padding
from quant.lowering.meaning import Meaning, accumulator_zero
from quant.lowering.phases import pieces_of
from quant.lowering.products import fit_product
from quant.lowering.requantizer_fit import FittedRequant, Target, accumulator_range, fit
from quant.lowering.tables import index_output, table_error, table_of
from quant.lowering.values import Output, Residual, Sums, host_output
from quant.quantizers.base import ActivationQuantizer
from quant.quantizers.fixed import FixedActivation
from quant.stages.broadcast import broadcast_of
from quant.stages.operator import Operator
from quant.stages.operators import max_pool_window, operator_of
from quant.stages.outputs import output_stages
from quant.stages.stage import Stage
from quant.trace.calls import module_of
from quant.trace.shapes import shape_of
from sim.errors import InputError
from sim.ir.arithmetic import Arithmetic
from sim.ir.ops import Conv, Pool, Table
from sim.ir.ops import Tensor as Map
from sim.ir.residual import Broadcast

__all__ = ["FitError", "Lowering"]


class FitError(NamedTuple):
    """`FittedRequant.error` of a layer [codes], and in which channel."""

    error: float
    channel: int


class _Written(NamedTuple):
    """What an op writes: its tensor, part and channels, and what stands between its sums and the codes."""

    stage: Stage
    part: int
    channels: slice


class Lowering:
    """The Program so far; `names` maps the end of a stage to its tensor."""

    def __init__(self, graph: fx.GraphModule, found: tuple[Stage, ...], arithmetic: Arithmetic,
                 tolerance: float | None, kind: torch.dtype) -> None:
        self.graph, self.kind = graph, kind
        self.tolerance = tolerance
        self.found = found
        self.arithmetic = arithmetic
        self.draft = Draft(stage.name for stage in found)
        self.padding: HostPadding | None = None
        self.arranged: dict[str, Arranged] = {}
        self.errors: dict[str, FitError] = {}
        self.table_errors: dict[str, float] = {}
        self.makers: dict[str, ActivationQuantizer] = {}
        self.names: dict[fx.Node, str] = {}
        self.slices: dict[fx.Node, Slice] = {}
        self.by_end = {stage.end: stage for stage in found}
        self.returned = {stage.end for stage in output_stages(graph, found)}
        self.writes = dict(self._written())

    def add(self, stage: Stage) -> None:
        """Add what computes a stage."""
        with _naming(stage.name):
            if stage.kind == "input":
                self._input(stage)
            elif stage.kind == "max":
                self._max(stage)
            elif stage.kind == "selection":
                self._selection(stage)
            elif stage.kind == "cat":
                self._cat(stage)
            elif not stage.is_part:
                self._compute([stage], stage)
            elif self.writes[stage.end].stage.quantizer is not None:
                self._compute([stage], self.writes[stage.end].stage)

    def _written(self) -> Iterator[tuple[fx.Node, _Written]]:
        """Yield the end of each stage that computes, and what it writes."""
        for stage in self.found:
            first = 0
            for part, end in enumerate(stage.parts):
                count = self._shape(self.by_end[end])[0]
                yield end, _Written(stage, part, slice(first, first + count))
                first += count
            if not stage.is_part:
                yield stage.end, _Written(stage, 0, slice(None))

    def _input(self, stage: Stage) -> None:
        if stage.quantizer is None:
            raise InputError(f"input '{stage.name}' has no quantizer; nothing says what its codes are")
        arranged = self._arrangement(stage)
        given, shape = _map_shape(stage.compute), _map_shape(stage.compute) if arranged is None else arranged.shape
        output = self._quantized(stage, stage.quantizer, given[0])
        if arranged is not None:
            self.arranged[stage.name] = arranged
            zeros = np.asarray(arranged.of_channels(output.meaning.zeros.tolist()))
            output = replace(output, meaning=replace(output.meaning, zeros=zeros))
        channels, height, width = shape
        image, zeros = Map(stage.name, height, width, (channels,), output.format), output.meaning.codes
        padding = host_padding(self.graph, self.found, stage, image, tuple(zeros.tolist()))
        if padding is not None and self.padding is not None:
            raise InputError(f"the host pads one input, but '{self.padding.image.name}' and '{stage.name}' need it")
        self.padding = padding or self.padding
        self._tensor(stage, (image if padding is None else padding.padded).shape, output)

    def _arrangement(self, stage: Stage) -> Arranged | None:
        """Return how the host arranges an input, None if it gives it as it is."""
        modules = [module_of(self.graph, user) if user.op == "call_module" else None for user in stage.end.users]
        found = [module for module in modules if isinstance(module, Arranged)]
        if found and len(found) < len(modules):
            raise InputError(f"input '{stage.name}' is read as the host gives it and in another order; the host gives "
                             "one")
        return found[0] if found else None

    def _tensor(self, stage: Stage, shape: Shape, output: Output, parts: tuple[int, ...] = ()) -> None:
        self.draft.tensor(stage.name, shape, output.format,
                          replace(output.meaning, scale=output.meaning.scale * stage.host_factor), parts)
        self.names[stage.end] = stage.name

    def _max(self, stage: Stage) -> None:
        source = self._shaped(stage)
        _, height, width = _map_shape(stage.compute)
        self._keep(stage, source, Map(stage.name, height, width, source.parts, source.format))
        self.draft.ops.append(Pool(stage.name, source.name, stage.name, *max_pool_window(self.graph, stage.compute),
                                   run_of(source)))

    def _selection(self, stage: Stage) -> None:
        source, layer = self._shaped(stage), module_of(self.graph, stage.compute)
        channels, height, width = _map_shape(stage.compute)
        target = Map(stage.name, height, width, (channels,), source.format)
        if isinstance(layer, Spread):
            self._keep(stage, source, target)
            self.draft.spread(source, target, layer.factors, shuffles=layer.shuffles)
            return
        if (found := self._sliced(stage, source)) is not None:
            self.names[stage.end], self.slices[stage.end] = source.name, found
            return
        operator = operator_of(self.graph, stage, source)
        self._check_zeros(stage, source)
        self._keep(stage, source, target)
        self.draft.move(source, stage.name, operator)

    def _sliced(self, stage: Stage, source: Map) -> Slice | None:
        """Return the parts that a selection picks, if it picks parts and the host does not read them."""
        selection = cast(Selection, module_of(self.graph, stage.compute))
        whole = (selection.rows, selection.columns) == (None, None) and not any(selection.pads)
        if not whole or selection.channels is None or ZEROS in selection.channels or stage.end in self.returned:
            return None
        return self.draft.sliced(source, selection.channels)

    def _keep(self, stage: Stage, source: Map, target: Map) -> None:
        """Add a tensor that holds codes of another one."""
        meaning = self.draft.meaning(source)
        if stage.kind == "selection":
            zeros = moved(module_of(self.graph, stage.compute), torch.from_numpy(meaning.zeros.copy()),
                          zeros=float(source.format.zero_point))
            meaning = replace(meaning, zeros=zeros.numpy())
        self.draft.tensor(stage.name, target.shape, target.format, meaning, target.parts)
        self.names[stage.end] = stage.name
        if source.name in self.makers:
            self.makers[stage.name] = self.makers[source.name]

    def _check_zeros(self, stage: Stage, source: Map) -> None:
        """Refuse zeros among codes of which none means 0."""
        selection = cast(Selection, module_of(self.graph, stage.compute))
        with_zeros = any(selection.pads) or ZEROS in (selection.channels or ())
        if with_zeros and self.draft.meaning(source).rest.any():
            raise InputError(f"'{stage.name}' puts zeros beside a tensor of 1 signed bit, which has no code for them")

    def _read(self, node: fx.Node | None) -> Map:
        end = cast(fx.Node, node)
        return self.slices[end] if end in self.slices else self.draft.tensors[self.names[end]]

    def _shaped(self, stage: Stage) -> Map:
        """Return what a stage reads, in the shape in which it reads it; a linear layer takes any."""
        source = self._read(stage.source)
        if stage.kind == "linear" or (self.padding is not None and self.padding.image.name == source.name):
            return source
        channels, height, width = _map_shape(cast(fx.Node, stage.compute.args[0]))
        top, left, bottom, right = stage.pads
        return self.draft.shaped(source, (channels, height - top - bottom, width - left - right))

    def _shape(self, stage: Stage) -> Shape:
        """Return the shape of what a stage stores."""
        if stage.kind == "copy" and not stage.is_part and stage.norm is None:
            return self._read(stage.source).shape
        return _map_shape(stage.compute)

    def _cat(self, stage: Stage) -> None:
        """Add the ops of a concatenation that the host reads; others were added where their stages stand."""
        if stage.quantizer is None:
            self._compute([self.by_end[end] for end in stage.parts], stage)

    def _compute(self, stages: list[Stage], target: Stage) -> None:
        """Add the Convs of some stages that write parts of one tensor, and the tensor itself before the first one."""
        made = [(stage, *self._operand(stage)) for stage in stages]
        sums = [(self._sums(stage, operator, source), residual) for stage, source, operator, residual in made]
        if target.name in self.draft.tensors:
            output = self._quantized(target, str(target.quantizer), self.draft.tensors[target.name].channels)
        else:
            parts = tuple(self._shape(self.by_end[end])[0] for end in target.parts)
            shape = self._shape(stages[0])
            shape = (sum(parts), *shape[1:]) if parts else shape
            output = (self._quantized(target, target.quantizer, shape[0]) if target.quantizer is not None
                      else self._host(target, sums))
            self._tensor(target, shape, output, parts)
        for (stage, source, operator, _), (of, residual) in zip(made, sums, strict=True):
            self._conv(stage, source, operator, of, residual, output)

    def _operand(self, stage: Stage) -> tuple[Map, Operator, Residual | None]:
        """Return what a stage reads, what it computes, and what it adds."""
        shape = self._shape(stage)
        source = self.draft.shaped(self._read(stage.source), shape) if stage.kind == "copy" else self._shaped(stage)
        if stage.is_product and len(source.parts) > 1:
            source = self.draft.joined(source)
        operator = operator_of(self.graph, stage, source)
        if operator.groups > 1 and len(source.parts) > 1:
            source = self.draft.joined(source)
        self._check_pads(stage, operator)
        return source, operator, self._residual(stage, source, shape)

    def _conv(self, stage: Stage, source: Map, operator: Operator, sums: Sums, residual: Residual | None,
              output: Output) -> None:
        target, part, channels = self.writes[stage.end]
        last = output.lowest(target.floor), output.highest(target.ceiling)
        table, first = self._table(stage, target.name, last), output
        if table is not None:
            first = index_output(self._function(stage))
            last = first.format.low, first.format.high
        low, high = (min(max(end, last[0]), last[1]) for end in (first.lowest(stage.floor), first.highest(
            stage.ceiling)))
        gate, fitted = self._fitted(stage, sums, residual, first, low, high)
        self._note(stage.name, FitError(float(fitted.error.max()), fitted.worst_channel))
        if stage.is_part:
            self._note(target.name, FitError(float(fitted.error.max()), channels.start + fitted.worst_channel))
        padded_by_host = self.padding is not None and self.padding.image.name == source.name
        weights, groups = operator.stored_in_groups(len(source.parts))
        beyond_ties = first.is_sign and self.arithmetic.rounding == "half_even"  # which would go to the lower code
        conv = Conv(
            stage.name, source.name, target.name, weights, operator.format, fitted.multiplier, fitted.shift,
            fitted.offset + (fitted.shift > 0) * beyond_ties, low, high, groups, operator.stride, operator.dilation,
            (0, 0, 0, 0) if padded_by_host else operator.pads, output_part=part,
            residual=residual.name if residual else None, residual_part=residual.part if residual else 0,
            residual_multiplier=fitted.residual_multiplier,
            residual_broadcast=residual.broadcast if residual else "none", gate=gate, table=table,
            input_parts=run_of(source))
        layer = module_of(self.graph, stage.compute) if stage.kind == "bilinear" else None
        self.draft.ops.extend(pieces_of(conv, layer, source) if isinstance(layer, Bilinear) else [conv])

    def _fitted(self, stage: Stage, sums: Sums, residual: Residual | None, output: Output, low: int,
                high: int) -> tuple[int | None, FittedRequant]:
        """Return the gate of a product, None for anything else, and the integers of the requantizer."""
        try:
            if residual is not None and residual.multiplies:
                product = fit_product(sums, residual, output, self.arithmetic)
                return product.gate, product.requant
            return None, self._fit(sums, residual, output, low, high)
        except InputError as error:
            raise InputError(f"'{stage.name}' does not fit the requantizer [codes of its output]: {error}") from None

    def _function(self, stage: Stage) -> QuantFunction:
        function = self.graph.get_submodule(str(stage.function))
        if not isinstance(function, QuantFunction):
            raise InputError(f"function '{stage.function}' has no quantizer for what it reads")
        return function

    def _table(self, stage: Stage, target: str, ends: tuple[int, int]) -> Table | None:
        """Return the table of a stage with a function, whose entries are codes of a tensor within these ends."""
        if stage.function is None:
            return None
        function, quantizer = self._function(stage), self.makers[target]
        table = table_of(function, quantizer, self.kind, *ends)
        self.table_errors[stage.name] = table_error(function, quantizer, table)
        return table

    def _note(self, name: str, error: FitError) -> None:
        """Note an error, if it is the largest of that name so far."""
        self.errors[name] = max(error, self.errors.get(name, error))

    def _check_pads(self, stage: Stage, operator: Operator) -> None:
        """Refuse zeros around a tensor without a code for 0, unless its code 0 stands there in the model too."""
        quantizer = self.makers.get(self.names[cast(fx.Node, stage.source)])
        if quantizer is None or quantizer.has_zero or not any(operator.pads):
            return
        layer = module_of(self.graph, stage.compute) if stage.kind == "conv" else None
        if any(stage.pads) or not isinstance(layer, QuantConv2d) or not layer.reads_from(quantizer):
            raise InputError(f"'{stage.name}' pads with zeros, for which a tensor of 1 signed bit has no code")

    def _residual(self, stage: Stage, source: Map, shape: Shape) -> Residual | None:
        if stage.residual is None:
            return None
        added = self._read(stage.residual)
        shape, broadcast = _spread(added.shape, shape)
        added = self.draft.shaped(added, shape)
        if len(added.parts) > 1:
            added = self.draft.joined(added)
        added = self.draft.copied(added) if added.name == source.name else added
        first, _ = run_of(added) or (0, 1)
        return Residual(added.name, first, added.format, self.draft.meaning(added), stage.residual_sign,
                        stage.is_product, broadcast)

    def _sums(self, stage: Stage, operator: Operator, source: Map) -> Sums:
        """Return what the accumulators of an op mean before a residual is added."""
        meaning = self.draft.meaning(source)
        scale = operator.step * meaning.scale
        bias = operator.bias
        if meaning.rest.any():
            bias = bias - scale * accumulator_zero(operator.codes, meaning.rest)
        target, _, channels = self.writes[stage.end]
        for path, which in ((stage.norm, slice(None)), (target.norm if stage.is_part else None, channels)):
            if path is not None:
                norm = cast(nn.BatchNorm2d, self.graph.get_submodule(path))
                gain, shift = (part.numpy()[which] for part in affine_of(norm))
                scale, bias = scale * gain, bias * gain + shift
        return Sums(scale, bias, accumulator_range(operator.codes, source.format),
                    accumulator_zero(operator.codes, meaning.codes), meaning.finest)

    def _fit(self, sums: Sums, residual: Residual | None, output: Output, low: int, high: int) -> FittedRequant:
        zero_point = output.format.zero_point
        target = Target(zero_point, low, high, self.arithmetic)
        half = 0.5 if self.arithmetic.rounding == "floor" else 0.0
        bias, scale = sums.bias, 0.0
        if residual is not None:
            value = residual.sign * residual.meaning.scale
            scale = output.gain * value
            bias = bias + value * (residual.format.zero_point - residual.meaning.zeros)
        return fit(output.gain * sums.scale, output.gain * bias + (output.bias - zero_point) + half, sums.range, target,
                   acc_zero=sums.zero, residual_scale=scale, residual=residual.format if residual else None,
                   tolerance=self.tolerance)

    def _quantized(self, stage: Stage, path: str, channels: int) -> Output:
        quantizer = self.graph.get_submodule(path)
        if not isinstance(quantizer, ActivationQuantizer):
            raise InputError(f"'{path}' quantizes a tensor, but {type(quantizer).__name__} is for weights")
        self.makers[stage.name] = quantizer
        zeros = np.broadcast_to(quantizer.zero_points.double().numpy(), channels)
        gain, bias = (float(part.flatten()[0]) for part in (quantizer.gain, quantizer.bias))
        is_sign = isinstance(quantizer, FixedActivation) and quantizer.two_values
        return Output(gain, bias, quantizer.format, Meaning(float(quantizer.scale), zeros), is_sign)

    def _host(self, stage: Stage, sums: list[tuple[Sums, Residual | None]]) -> Output:
        """Return what the host reads, which nothing else may."""
        if any(user.op != "output" for user in stage.end.users):
            raise InputError(f"what '{stage.name}' puts out is read on the machine, but has no quantizer")
        return host_output(sums, self.arithmetic)


def _spread(shape: Shape, over: Shape) -> tuple[Shape, Broadcast]:
    """Return the shape in which a residual stored as `shape` spreads over a map, and how."""
    if prod(shape) == prod(over):
        return over, "none"
    channels, height, width = over
    found = broadcast_of(over, shape) or ("map" if prod(shape) == channels else "channel")
    return ((channels, 1, 1) if found == "map" else (1, height, width)), found


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Prefix errors about an op with its name."""
    try:
        yield
    except InputError as error:
        if f"'{name}'" in str(error):
            raise
        raise InputError(f"op '{name}': {error}") from error


def _map_shape(node: fx.Node) -> Shape:
    """Return (channels, height, width) of a node's images; rows are maps of one pixel."""
    shape = shape_of(node)
    assert shape is not None
    return as_map(shape[1:])
