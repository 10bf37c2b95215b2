"""Shapes: a network without its numbers, from which Programs of any bits are made that cost what the network costs.

Cycles, events and energies of a layer depend on its shape, its bits and the digits of its multipliers, and on no other
number. So a network can be estimated before there are weights, let alone quantized ones. A description is a YAML file:

    name: small
    inputs:
      image: {channels: 3, height: 32, width: 32, bits: 8}
    layers:
    - {name: stem, channels: 16, kernel: 3, pads: [1, 1, 1, 1], weights: first_last}
    - {name: pool, pool: true, kernel: 2, stride: 2}
    - {name: deep, channels: 16, kernel: 3, pads: [1, 1, 1, 1]}

A layer reads the output of the layer before it, the first one the first input, unless `input` names another tensor.
Its output has the layer's name unless `output` gives one. `bits` of an output and `weights` are numbers [bits], or say
which of the bits they are that are chosen when the Program is made.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from sim.errors import InputError
from sim.io.bounds import MAX_EXTENT, shown
from sim.io.yaml_model import built_in, load
from sim.ir.arithmetic import Arithmetic
from sim.ir.formats import Format
from sim.ir.layer import Pads, out_size
from sim.ir.ops import Conv, Op, Pool, Table, Tensor
from sim.ir.program import Program
from sim.ir.residual import Broadcast

__all__ = ["ChosenBits", "InputShape", "LayerShape", "Shapes", "builtin_networks", "load_shapes"]

Extent = Annotated[int, Field(ge=1, le=MAX_EXTENT)]
Width = Annotated[int, Field(ge=1, le=8)]
OutputWidth = Annotated[int, Field(ge=1, le=32)]
Name = Annotated[str, Field(min_length=1, max_length=200)]
Pair = Annotated[tuple[Extent, Extent],
                 BeforeValidator(lambda given: (given, given) if isinstance(given, int) else given),
                 Field(strict=False)]
"""(vertical, horizontal), or one number for both."""


class _Fields(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ChosenBits(_Fields):
    """Bits that are chosen when a Program is made of shapes.

    Attributes
    ----------
    weights, activations : int, 1..8
        Of all layers and tensors that do not have bits of their own [bits].
    first_last : int, 1..8
        Of the weights of the first and last layers, and of what the last ones read [bits].
    digits : int, at least 1
        Signed digits of every multiplier.
    """

    weights: Width
    activations: Width
    first_last: Width = 8
    digits: Annotated[int, Field(ge=1, le=8)]


class InputShape(_Fields):
    """An input, with the bits that the host gives it [bits]; `parts` of its channels, if there are several."""

    channels: Extent
    parts: Annotated[tuple[Extent, ...], Field(strict=False)] = ()
    height: Extent = 1
    width: Extent = 1
    bits: Width
    signed: bool = False


class LayerShape(_Fields):
    """A layer; all fields but `name` and those of its size may be left out.

    Attributes
    ----------
    input_parts : (first, after the last) or None
        Parts of the input that it reads; None: all.
    pool : bool
        A max pool, without channels of its own.
    weights : int, "weights", "first_last", "unit" or "ones"
        Bits; `unit`: generated ones of an average, a copy or a sum; `ones`: stored ones and zeros that move codes.
    depthwise : bool
        A layer of one channel takes the machine's way for depthwise layers.
    used : int or None
        Places of the kernel, over all input channels, that are not zeros of a folded first layer; None: all.
    parts : tuple of int
        Channels of all layers that write its output; empty: it alone does. `part` is its own.
    bits : int, "activations" or "first_last"
        Of the output.
    table : int
        Bits of the index of the table that it ends in; 0: none.
    digits : int or None
        Of the multiplier; None: as chosen.
    """

    name: Name
    input: Name | None = None
    input_parts: Annotated[tuple[int, int], Field(strict=False)] | None = None
    output: Name | None = None
    pool: bool = False
    channels: Extent = 1
    kernel: Pair = (1, 1)
    stride: Pair = (1, 1)
    dilation: Pair = (1, 1)
    pads: Annotated[Pads, Field(strict=False)] = (0, 0, 0, 0)
    groups: Extent = 1
    weights: Width | Literal["weights", "first_last", "unit", "ones"] = "weights"
    depthwise: bool = False
    used: Extent | None = None
    residual: Name | None = None
    residual_part: Annotated[int, Field(ge=0)] = 0
    residual_broadcast: Broadcast = "none"
    gate: bool = False
    table: Annotated[int, Field(ge=0, le=8)] = 0
    parts: Annotated[tuple[Extent, ...], Field(strict=False)] = ()
    part: Annotated[int, Field(ge=0)] = 0
    bits: OutputWidth | Literal["activations", "first_last"] = "activations"
    signed: bool = False
    digits: Annotated[int, Field(ge=0, le=8)] | None = None


class Shapes(_Fields):
    """A whole network.

    Examples
    --------
    >>> network = load_shapes("resnet18")
    >>> program = network.program(ChosenBits(weights=4, activations=4, digits=4))
    >>> len(program.convs), program.convs[-1].weights.shape
    (22, (1000, 512, 1, 1))
    """

    name: Name
    inputs: Annotated[dict[Name, InputShape], Field(min_length=1)]
    layers: Annotated[tuple[LayerShape, ...], Field(min_length=1, max_length=4096, strict=False)]

    def program(self, bits: ChosenBits, arithmetic: Arithmetic | None = None) -> Program:
        """Return a Program of these shapes and bits; its weights are ones.

        Raises
        ------
        InputError
            If a layer reads a tensor that no layer before it writes, or sizes do not fit together.
        """
        builder = _Builder(self, bits)
        for layer in self.layers:
            builder.add(layer)
        return Program(tuple(builder.tensors.values()), tuple(builder.ops), arithmetic or Arithmetic())


class _Builder:
    """Makes tensors and ops, layer by layer."""

    def __init__(self, shapes: Shapes, bits: ChosenBits) -> None:
        self.bits = bits
        self.tensors = {name: Tensor(name, one.height, one.width, one.parts or (one.channels,),
                                     _format(one.bits, one.signed)) for name, one in shapes.inputs.items()}
        self.ops: list[Op] = []
        self._last = next(iter(shapes.inputs))

    def add(self, layer: LayerShape) -> None:
        """Add a layer and, unless there is one, the tensor that it writes."""
        source = self._tensor(layer, layer.input or self._last)
        read = source.of_run(layer.input_parts)
        output = layer.output or layer.name
        channels = read.channels if layer.pool else layer.channels
        top, left, bottom, right = layer.pads
        height = out_size(source.height, top, bottom, layer.kernel[0], layer.stride[0], layer.dilation[0])
        width = out_size(source.width, left, right, layer.kernel[1], layer.stride[1], layer.dilation[1])
        if output not in self.tensors:
            fmt = source.format if layer.pool else _format(self._width(layer.bits), layer.signed)
            parts = read.parts if layer.pool else layer.parts or (channels,)
            self.tensors[output] = Tensor(output, height, width, parts, fmt)
        self._last = output
        self.ops.append(Pool(layer.name, source.name, output, layer.kernel, layer.stride, layer.pads,
                             layer.input_parts) if layer.pool else self._conv(layer, read, self.tensors[output].format))

    def _tensor(self, layer: LayerShape, name: str) -> Tensor:
        if name not in self.tensors:
            raise InputError(f"layer '{shown(layer.name)}' reads '{shown(name)}', which no layer before it writes")
        return self.tensors[name]

    def _width(self, bits: int | str) -> int:
        return bits if isinstance(bits, int) else int(getattr(self.bits, bits))

    def _conv(self, layer: LayerShape, source: Tensor, target: Format) -> Conv:
        if layer.residual:
            self._tensor(layer, layer.residual)
        return _conv(layer, source.name, source.channels, target, self._weight_format(layer), self.bits.digits)

    def _weight_format(self, layer: LayerShape) -> Format:
        """Return the format of weights; those of dense layers at 1 bit are bipolar."""
        if layer.weights == "unit":
            return Format(1, "unit")
        if layer.weights == "ones":
            return Format(1, "unsigned")
        bits = self._width(layer.weights)
        return Format(bits, "bipolar" if bits == 1 and layer.groups == 1 else "signed")


@lru_cache(maxsize=1024)
def _conv(layer: LayerShape, source: str, channels: int, target: Format, weight_format: Format, digits: int) -> Conv:
    """Return a Conv that reads so many channels; Programs of one network at some bits and others share it."""
    unit = weight_format.kind == "unit"
    fan_in = 1 if unit else channels // layer.groups
    weights = _weights(layer.channels, fan_in, layer.kernel, layer.used, 1 if weight_format.high else -1)
    table = Table(_format(layer.table, signed=False), np.zeros(1 << layer.table, np.int16)) if layer.table else None
    clamp = target if table is None else table.index
    zeros = np.zeros(layer.channels, np.int64)
    return Conv(
        name=layer.name, input=source, input_parts=layer.input_parts, output=layer.output or layer.name,
        weights=weights, weight_format=weight_format,
        multiplier=_digits(layer.channels, digits if layer.digits is None else layer.digits), shift=zeros,
        offset=zeros, low=clamp.low, high=clamp.high, groups=layer.channels if unit else layer.groups,
        stride=layer.stride, dilation=layer.dilation, pads=layer.pads, output_part=layer.part,
        residual=layer.residual, residual_part=layer.residual_part, residual_broadcast=layer.residual_broadcast,
        residual_multiplier=_digits(layer.channels, digits if layer.residual and not layer.gate else 0),
        gate=0 if layer.gate else None, prefer_depthwise=layer.depthwise, table=table)


@lru_cache(maxsize=128)
def _weights(channels: int, fan_in: int, kernel: tuple[int, int], used: int | None, code: int) -> NDArray[np.int8]:
    """Return weights of one code in the places that are used, 0 elsewhere."""
    weights = np.zeros((channels, fan_in, *kernel), np.int8)
    weights.reshape(channels, -1)[:, :used] = code
    weights.flags.writeable = False
    return weights


def _format(bits: int, signed: bool) -> Format:
    return Format(bits, "signed" if signed else "unsigned")


def _digits(channels: int, count: int) -> NDArray[np.int8]:
    """Return multipliers of so many digits, all positive, the largest exponent first."""
    return np.tile(np.arange(count, 0, -1, dtype=np.int8), (channels, 1))


def builtin_networks() -> tuple[str, ...]:
    """Return the names of the networks whose shapes come with Bitwright."""
    return built_in("ir/networks")


def load_shapes(source: str | Path) -> Shapes:
    """Read the shapes of a built-in network by its name, or a YAML file.

    Raises
    ------
    InputError
        If there is no such network, the file is not YAML, or a field is missing, unknown or out of range.
    """
    return load(Shapes, "ir/networks", source)
