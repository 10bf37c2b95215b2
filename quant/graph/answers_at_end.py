"""What a network ends with: answers such as softmax, and what follows its last layer with weights."""

from __future__ import annotations

from quant.graph.graph import Graph
from quant.graph.ops.answers import ArgMax, LogSoftmax, Softmax
from quant.graph.ops.composite import Composite
from quant.graph.ops.elementwise import Binary, Clip, Elu, HardSigmoid, LeakyRelu, PRelu, Unary
from quant.graph.ops.linear import Affine
from quant.graph.ops.operator import Operator
from quant.graph.ops.pools import AdaptivePool, AveragePool, MaxPool, Reduce
from quant.graph.ops.quantization import FakeQuantize
from quant.graph.ops.views import Bilinear, Concat, Gather, Pad, Reshape, Resize, Slice, Spread, Transpose

__all__ = ["after_answers", "is_answer", "last_on_host"]

ANSWERS = (Softmax, LogSoftmax, ArgMax, Spread, Bilinear)
"""At the end the last two are some, too: on the chip they would round what the network returns."""
FUNCTIONS = frozenset({"sigmoid", "tanh", "exp", "log", "softplus"})
WITHOUT_WEIGHTS = (*ANSWERS, Unary, Elu, HardSigmoid, LeakyRelu, PRelu, Clip, Binary, Composite, Affine, Reduce,
                   AdaptivePool, AveragePool, MaxPool, Resize, Reshape, Transpose, Concat, Slice, Gather, Pad,
                   FakeQuantize)
"""What the host computes, if the machine cannot, after the last layer with weights."""


def is_answer(operator: Operator) -> bool:
    """Return whether networks end with an operator like this."""
    return isinstance(operator, ANSWERS) or (isinstance(operator, Unary) and operator.kind in FUNCTIONS)


def last_on_host(graph: Graph) -> frozenset[str]:
    """Return the values that the host can compute: no layer with weights reads them, or what is made of them."""
    found: set[str] = set()
    for node in reversed(graph.nodes):
        readers = graph.readers(node.output)
        if isinstance(node.operator, WITHOUT_WEIGHTS) and all(reader.output in found for reader in readers):
            found.add(node.output)
    return frozenset(found)


def after_answers(graph: Graph) -> frozenset[str]:
    """Return the values that the host will compute: answers at the end and what is made of them."""
    can, found = last_on_host(graph), set[str]()
    for node in graph.nodes:
        if node.output in can and (is_answer(node.operator) or not found.isdisjoint(node.inputs)):
            found.add(node.output)
    return frozenset(found)
