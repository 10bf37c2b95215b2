"""A typed graph of a float network becomes a module of the layers that the quantizers read."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import fx

from quant.emit.arrangement import arrangement
from quant.emit.builder import Builder, Hosted, Refused, Stored
from quant.emit.channelwise import affine, batch_norm, clip, function, hard_sigmoid
from quant.emit.host import Computation
from quant.emit.joins import concat, join
from quant.emit.moves import as_given, gather, pad, placed_input, reshape, slice_, transpose
from quant.emit.quantizers import bipolar_quantize, fake_quantize
from quant.emit.reasons import reason_against
from quant.emit.spread import bilinear, spread
from quant.emit.sums import conv, linear
from quant.emit.windows import adaptive_pool, average_pool, max_pool, reduce
from quant.graph.answers_at_end import is_answer, last_on_host
from quant.graph.graph import Graph, Node
from quant.graph.ops.composite import Composite
from quant.graph.ops.elementwise import Binary, Clip, Elu, HardSigmoid, LeakyRelu, Unary
from quant.graph.ops.linear import Affine, BatchNorm, Conv, Linear
from quant.graph.ops.operator import Operator
from quant.graph.ops.pools import AdaptivePool, AveragePool, MaxPool, Reduce
from quant.graph.ops.quantization import BipolarQuantize, FakeQuantize
from quant.graph.ops.views import Bilinear, Concat, Gather, Pad, Reshape, Slice, Spread, Transpose
from quant.trace.host import Host
from quant.trace.refusals import refuse
from sim.errors import InputError

__all__ = ["emit"]

Handlers = Mapping[type[Operator], Callable[[Builder, Node], Stored]]

HANDLERS: Handlers = {
    AdaptivePool: adaptive_pool, Affine: affine, AveragePool: average_pool, BatchNorm: batch_norm,
    Bilinear: bilinear, Binary: join, Clip: clip, Composite: function, Concat: concat, Conv: conv, Elu: function,
    Gather: gather, HardSigmoid: hard_sigmoid, LeakyRelu: function, Linear: linear, MaxPool: max_pool, Pad: pad,
    Reduce: reduce, Reshape: reshape, Slice: slice_, Spread: spread, Transpose: transpose, Unary: function,
}
QUANTIZERS: Handlers = {BipolarQuantize: bipolar_quantize, FakeQuantize: fake_quantize}
"""Of networks that another tool has quantized."""


def emit(graph: Graph, *, quantized: bool = False) -> fx.GraphModule:
    """Return a module that computes what a normalised graph does, of layers that the machine has.

    Parameters
    ----------
    graph : Graph
        After `quant.graph.passes.normalise`; or after its `normalise_quantized` if `quantized`.
    quantized : bool
        Whether the graph's quantizers become those of the module; else they are refused.

    Returns
    -------
    fx.GraphModule
        In eval mode. A layer with weights has the path of its weights in the source, "conv" for "conv.weight"; others
        have the node's name or that of what they do.

    Raises
    ------
    InputError
        With every reason why operators have no counterpart on the machine, each with its place.
    """
    builder = Builder(graph)
    handlers = {**HANDLERS, **QUANTIZERS} if quantized else HANDLERS
    at_end, reasons = last_on_host(graph), []
    for given in graph.inputs:
        try:
            builder.values[given.name] = placed_input(
                builder, builder.argument(given.name), given.shape, arrangement(graph, given))
        except InputError as error:
            reasons.append(str(error))
            builder.values[given.name] = Refused()
    for node in graph.nodes:
        try:
            builder.values[node.output] = _emitted(builder, node, at_end, handlers)
        except InputError as error:
            reasons.append(str(error))
            builder.values[node.output] = _stand_in(builder, node)
    refuse(reasons)
    return builder.module([_output(builder, name) for name in graph.outputs])


def _emitted(builder: Builder, node: Node, at_end: frozenset[str], handlers: Handlers) -> Stored | Hosted | Refused:
    """Return what the value of a node becomes."""
    operands = [builder.values[name] for name in node.inputs if name in builder.values]
    reason = None if type(node.operator) in handlers.keys() & QUANTIZERS.keys() else reason_against(builder.graph, node)
    can_host = node.output in at_end
    if can_host and (is_answer(node.operator) or any(isinstance(value, Hosted) for value in operands)):
        return _hosted(builder, node)
    can_host = can_host and not isinstance(node.operator, FakeQuantize)  # why one cannot stand there shall be said
    if reason is not None:
        if can_host:
            return _hosted(builder, node, reason)
        raise InputError(reason)
    if any(isinstance(value, Refused) for value in operands):
        return Refused()
    if type(node.operator) not in handlers:
        raise InputError(f"unsupported operator {node.operator.title} {node.place}")
    try:
        return handlers[type(node.operator)](builder, node)
    except InputError as error:
        if can_host:  # such as predictions for maps of several sizes
            return _hosted(builder, node, str(error))
        raise


def _stand_in(builder: Builder, node: Node) -> Stored | Refused:
    """Return a value in place of a refused one, so that what follows is judged by itself."""
    shape = builder.shapes.get(node.output)
    for name in node.inputs:
        value = builder.values.get(name)
        if isinstance(value, Stored) and value.layout.shape == shape:
            return value
    if shape is None or len(shape) not in (1, 3):
        return Refused()
    return placed_input(builder, builder.fx.placeholder("refused"), shape)


def _hosted(builder: Builder, node: Node, reason: str = "") -> Hosted | Refused:
    """Emit an operator of the host; `reason` says why the machine cannot compute it, if it is not the host's anyway."""
    values = [builder.values.get(name) for name in node.inputs]
    if any(isinstance(value, Refused) for value in values):
        return Refused()
    args = [as_given(builder, value) if isinstance(value, Stored) else value.node
            for value in values if isinstance(value, Stored | Hosted)]
    compute = Computation(node.operator, tuple(builder.graph.constants.get(name) for name in node.inputs))
    title = node.operator.title.lower()
    return Hosted(builder.call(node.name or title, Host(title, compute, reason), *args))


def _output(builder: Builder, name: str) -> fx.Node:
    """Return the node of one of the network's outputs."""
    if name in builder.graph.constants:
        raise InputError(f"the network's output '{name}' is constant")
    value = builder.values[name]
    assert not isinstance(value, Refused)
    return value.node if isinstance(value, Hosted) else as_given(builder, value)
