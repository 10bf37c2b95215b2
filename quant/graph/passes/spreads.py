"""Layers that make maps larger: a convolution whose channels are the phases of the larger map, or repeated pixels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from math import gcd, prod

import torch
from torch import Tensor

from quant.graph.graph import Graph, Node
from quant.graph.interpret import shapes
from quant.graph.ops.composite import Composite
from quant.graph.ops.elementwise import Clip, Elu, HardSigmoid, LeakyRelu, Unary
from quant.graph.ops.linear import Affine, BatchNorm, Conv, ConvTranspose
from quant.graph.ops.operator import Operator
from quant.graph.ops.pools import AveragePool
from quant.graph.ops.views import Bilinear, Reshape, Resize, ResizeMode, Spread
from quant.graph.passes.rewriting import operator_nodes, set_constant
from quant.layers.bilinear import FACTORS

__all__ = ["channelwise_before_spreads", "spell_spreads"]

OF_NUMBERS = (Clip, Composite, Elu, HardSigmoid, LeakyRelu, Unary)
"""Operators that do the same to every number."""
MOST_COPIES = 16
"""Of a map of one pixel, each of which is an op."""


def spell_spreads(graph: Graph) -> None:
    """Write transposed convolutions, and maps scaled up by whole factors, as a `Spread`.

    Of a transposed convolution of stride d every d-th output has the same weights, those of its phase: they are output
    channels of one convolution over the input. Others stay as they are.
    """
    sizes = shapes(graph)
    for node in operator_nodes(graph, ConvTranspose, Resize):
        before, after = sizes.get(node.inputs[0], ()), sizes.get(node.output, ())
        if len(before) == len(after) == 2 and (isinstance(node.operator, Resize) or node.inputs[1] in graph.constants):
            node, before, after = _of_maps(graph, node, before, after), (*before, 1), (*after, 1)
        if len(before) != 3 or len(after) != 3:
            continue
        if isinstance(node.operator, Resize):
            _enlarge(graph, node, node.operator, before)
        elif isinstance(node.operator, ConvTranspose) and node.inputs[1] in graph.constants:
            _convolve(graph, node, node.operator, (before[1], before[2]), (after[1], after[2]))


def _of_maps(graph: Graph, node: Node, before: tuple[int, ...], after: tuple[int, ...]) -> Node:
    """Let a node of sequences work on maps of one column."""
    operator: Operator = node.operator
    inputs = [graph.fresh(f"{node.output}.map"), *node.inputs[1:]]
    if isinstance(operator, Resize):
        mode: ResizeMode = "bilinear" if operator.mode == "linear" else operator.mode
        operator = replace(operator, size=(*operator.size, 1), mode=mode)
    elif isinstance(operator, ConvTranspose):
        inputs[1] = graph.fresh(node.inputs[1])
        graph.constants[inputs[1]] = graph.constants[node.inputs[1]][..., None]
        if (steps := graph.steps.get(node.inputs[1])) is not None:
            graph.steps[inputs[1]] = replace(steps, step=steps.step[..., None] if steps.step.ndim else steps.step)
        operator = ConvTranspose((*operator.stride, 1), (*operator.dilation, 1), (*operator.pads, (0, 0)),
                                 (*operator.output_padding, 0), operator.groups)
    made = Node(operator, tuple(inputs), graph.fresh(f"{node.output}.larger"), node.place, node.name)
    graph.replace([node], [
        Node(Reshape((*before, 1)), (node.inputs[0],), inputs[0], node.place), made,
        Node(Reshape(after), (made.output,), node.output, node.place)])
    return made


def _enlarge(graph: Graph, node: Node, resize: Resize, before: tuple[int, ...]) -> None:
    """Write a map whose pixels are repeated, or which gets pixels between them."""
    (height, width), (rows, columns) = resize.size, before[1:]
    if height % rows or width % columns:
        return
    factors = height // rows, width // columns
    if (rows, columns) == (1, 1) and prod(factors) > MOST_COPIES and not graph.steps:
        graph.replace([node], _cover(graph, node, factors))
    elif resize.mode in ("nearest", "nearest-exact"):
        graph.replace([node], [replace(node, operator=Spread(factors, (height, width), shuffles=False))])
    elif resize.mode == "bilinear" and not resize.align_corners and {*factors} <= {*FACTORS}:
        graph.replace([node], [replace(node, operator=Bilinear(factors))])


def _cover(graph: Graph, node: Node, size: tuple[int, int]) -> list[Node]:
    """Return what gives all pixels of a map the value of the only one there is: sums over it and zeros around it."""
    (height, width), column = size, graph.fresh(f"{node.output}.column")
    down, across = ((height - 1, height - 1), (0, 0)), ((0, 0), (width - 1, width - 1))
    row = Node(AveragePool((1, width), (1, 1), across, 1, across), node.inputs, node.output, node.place, node.name)
    if height == 1:
        return [row]
    return [Node(AveragePool((height, 1), (1, 1), down, 1, down), node.inputs, column, node.place,
                 f"{node.name}_column" if node.name else ""), replace(row, inputs=(column,))]


@dataclass(frozen=True)
class _Axis:
    """Taps of a transposed convolution along an axis, phase by phase: output `stride * q + phase` reads inputs near q.

    Attributes
    ----------
    taps : list of dict of int to int
        By phase: the kernel's tap of every input, by its distance from q.
    first, last : int
        Least and largest distance.
    step : int
        Of distances.
    before, after : int
        Pads of the convolution, at least 0.
    """

    taps: list[dict[int, int]]
    first: int
    last: int
    step: int
    before: int
    after: int

    @property
    def kernel(self) -> int:
        """Taps of the convolution."""
        return (self.last - self.first) // self.step + 1


def _axis(kernel: int, stride: int, dilation: int, cut: int, size: int, made: int) -> _Axis:
    """Return the taps along an axis of `size` inputs and `made` outputs, of which `cut` are cut at the beginning."""
    taps = [{(phase + cut - dilation * tap) // stride: tap for tap in range(kernel)
             if (phase + cut - dilation * tap) % stride == 0} for phase in range(stride)]
    step = dilation // gcd(dilation, stride)
    places = [place for found in taps for place in found]
    alike = len({place % step for place in places}) == 1
    step = step if alike else 1
    first, last = min(places), max(places)
    blocks = -(-made // stride)
    while first > 0:  # a window begins no later than its output, and ends no earlier than the map
        first -= step
    while last + blocks < size:
        last += step
    return _Axis(taps, first, last, step, -first, last + blocks - size)


def _convolve(graph: Graph, node: Node, layer: ConvTranspose, size: tuple[int, int], made: tuple[int, int]) -> None:
    """Write a transposed convolution as one of as many times more channels as there are phases, and a `Spread`."""
    weight = graph.constants[node.inputs[1]]
    axes = [_axis(kernel, stride, dilation, cut[0], extent, outputs) for kernel, stride, dilation, cut, extent, outputs
            in zip(weight.shape[2:], layer.stride, layer.dilation, layer.pads, size, made, strict=True)]
    phases = layer.stride[0] * layer.stride[1]
    named = node.inputs[1].rpartition(".")[0] or node.output
    names = [graph.fresh(f"{named}.weight")]
    graph.constants[names[0]] = _phase_weights(weight, layer, axes)
    if (steps := graph.steps.get(node.inputs[1])) is not None:
        graph.steps[names[0]] = replace(steps, step=_phase_steps(steps.step, len(graph.constants[names[0]]), phases))
    if len(node.inputs) > 2:
        names.append(graph.fresh(f"{named}.bias"))
        graph.constants[names[1]] = graph.constants[node.inputs[2]].repeat_interleave(phases)
    conv = Conv((1, 1), (axes[0].step, axes[1].step), tuple((axis.before, axis.after) for axis in axes), layer.groups)
    if phases == 1:
        graph.replace([node], [replace(node, operator=conv, inputs=(node.inputs[0], *names))])
        return
    value = graph.fresh(f"{node.output}.phases")
    spread = Spread((layer.stride[0], layer.stride[1]), made, shuffles=True)
    graph.replace([node], [Node(conv, (node.inputs[0], *names), value, node.place, node.name),
                           Node(spread, (value,), node.output, node.place)])


def _phase_weights(weight: Tensor, layer: ConvTranspose, axes: list[_Axis]) -> Tensor:
    """Return weights (O * phases, C / groups, ...) of which row `o * phases + p` makes phase p of output channel o."""
    channels, outputs = weight.shape[0], weight.shape[1]
    inputs = channels // layer.groups
    by_output = weight.reshape(layer.groups, inputs, outputs, *weight.shape[2:]).transpose(1, 2).flatten(0, 1)
    down, across = axes
    made = weight.new_zeros(len(by_output), layer.stride[0], layer.stride[1], inputs, down.kernel, across.kernel)
    for (y, rows), (x, columns) in product(enumerate(down.taps), enumerate(across.taps)):
        for (row, i), (column, j) in product(rows.items(), columns.items()):
            place = (row - down.first) // down.step, (column - across.first) // across.step
            made[:, y, x, :, place[0], place[1]] = by_output[:, :, i, j]
    return made.flatten(0, 2)


def _phase_steps(step: Tensor, channels: int, phases: int) -> Tensor:
    """Return the steps of phase weights, from those of weights (C, O / groups, ...) that differ along axis 1 alone."""
    if step.numel() == 1:
        return step.reshape(())
    return step.flatten().repeat(channels // phases // step.numel()).repeat_interleave(phases)[:, None, None, None]


def channelwise_before_spreads(graph: Graph) -> None:
    """Let what does the same to all pixels of a channel come before a `Spread`: there are fewer pixels then."""
    for spread in operator_nodes(graph, Spread):
        while (reader := _only_reader(graph, spread)) is not None:
            if isinstance(reader.operator, Reshape) and _is_sequence(spread, reader.operator):
                after = _only_reader(graph, reader)
                if after is None or not _is_channelwise(after):
                    break
                _swap(graph, reader, after)
            elif _is_channelwise(reader):
                spread = _swap(graph, spread, reader)
            else:
                break


def _only_reader(graph: Graph, node: Node) -> Node | None:
    readers = graph.readers(node.output)
    alone = len(readers) == 1 and graph.reads_alone(readers[0], node.output) and readers[0].inputs[0] == node.output
    return readers[0] if alone else None


def _is_channelwise(node: Node) -> bool:
    """Return whether a node does the same to all pixels of a channel."""
    operator = node.operator
    return isinstance(operator, (*OF_NUMBERS, BatchNorm)) or (isinstance(operator, Affine) and operator.axis == 1)


def _is_sequence(spread: Node, reshape: Reshape) -> bool:
    """Return whether maps of one column become sequences, whose channels are the same."""
    operator = spread.operator
    return isinstance(operator, Spread) and operator.size[1] == 1 and (
        len(reshape.shape) == 2 and reshape.shape[1] == operator.size[0])


def _swap(graph: Graph, spread: Node, reader: Node) -> Node:
    """Put a node before the `Spread` or the `Reshape` that it reads; that after it."""
    operator = spread.operator
    value = graph.fresh(f"{reader.output}.phases")
    moved = Node(reader.operator, (spread.inputs[0], *reader.inputs[1:]), value, reader.place, reader.name)
    after = Node(operator, (value,), reader.output, spread.place)
    graph.replace([spread, reader], [moved, after])
    phases = prod(operator.factors) if isinstance(operator, Spread) and operator.shuffles else 1
    if isinstance(reader.operator, Affine | BatchNorm) and phases > 1:
        for index in range(1, len(moved.inputs)):
            constant = graph.constants[moved.inputs[index]]
            if constant.numel() > 1:
                moved = set_constant(graph, moved, index, torch.repeat_interleave(constant, phases))
    return after
