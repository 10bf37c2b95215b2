"""Whatever makes a number of one number becomes one operator, and what the machine lacks becomes what it has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import inf

import torch

from quant.graph.answers_at_end import after_answers
from quant.graph.graph import Graph, Node
from quant.graph.interpret import shapes
from quant.graph.ops.composite import Composite
from quant.graph.ops.elementwise import Binary, Clip, Elu, HardSigmoid, LeakyRelu, PRelu, Unary, Where
from quant.graph.ops.linear import Affine
from quant.graph.ops.operator import Operator
from quant.graph.ops.quantization import FakeQuantize
from quant.graph.passes.constants_to_affine import along
from quant.graph.passes.rewriting import LONGEST_CHAIN, number, operator_nodes, swap

__all__ = ["divisions_to_products", "extremes_to_sums", "join_functions", "join_functions_of_codes", "spell_prelus"]

ELEMENTWISE = (Unary, Elu, LeakyRelu, PRelu, HardSigmoid, Clip, Affine, Binary, Where, Composite)
STRAIGHT = (Clip, Affine, HardSigmoid)
"""What needs no table by itself."""


def join_functions(graph: Graph) -> None:
    """Make one `Composite` of operators that together are a function of one value, and are read by each other alone.

    What needs no table stays as it is, and so does what the host computes in the end.
    """
    _join(graph, ELEMENTWISE)


def join_functions_of_codes(graph: Graph) -> None:
    """Do the same in a network that another tool has quantized, where codes between the operators are steps too."""
    _join(graph, (*ELEMENTWISE, FakeQuantize))


def _join(graph: Graph, kinds: tuple[type[Operator], ...]) -> None:
    on_host = after_answers(graph)
    for name in [node.output for node in reversed(graph.nodes) if isinstance(node.operator, ELEMENTWISE)]:
        node = graph.maker(name)
        if node is None or name in on_host:
            continue
        inside = _cluster(graph, node, kinds)
        leaves = {value for part in inside for value in _values(graph, part)} - {part.output for part in inside}
        if len(leaves) == 1 and _is_curved(graph, inside, kinds) and not (len(inside) == 1 and _is_plain(node)):
            (leaf,) = leaves
            swap(graph, inside, Composite(tuple(_steps(graph, inside, leaf))), (leaf,))


def spell_prelus(graph: Graph) -> None:
    """Make a PReLU with one slope a `LeakyRelu`, and one with a slope a for each channel x + (a - 1) * min(x, 0).

    Where x is codes of a quantizer, min(x, 0) is, too.
    """
    sizes = shapes(graph)
    for node in operator_nodes(graph, PRelu):
        x, slope = node.inputs
        if slope not in graph.constants or (shape := sizes.get(x)) is None:
            continue
        if (alone := number(graph, slope)) is not None:
            swap(graph, [node], LeakyRelu(alone), (x,))
        elif (found := along(graph.constants[slope], shape)) is not None:
            axis, slopes = found
            below, scaled, gain, shift, codes = (graph.fresh(f"{node.output}.{what}") for what in (
                "negative", "scaled", "gain", "shift", "codes"))
            graph.constants |= {gain: slopes - 1, shift: torch.zeros_like(slopes)}
            maker = graph.maker(x)
            steps = ((replace(maker, inputs=(below, *maker.inputs[1:]), output=codes),)
                     if maker is not None and isinstance(maker.operator, FakeQuantize) else ())
            graph.replace([node], [
                Node(Clip(-inf, 0.0), (x,), below, node.place, f"{node.name}_negative" if node.name else ""), *steps,
                Node(Affine(axis), (codes if steps else below, gain, shift), scaled, node.place, node.name),
                Node(Binary("add"), (scaled, x), node.output, node.place)])


def divisions_to_products(graph: Graph) -> None:
    """Make x / y of two values x * (1 / y)."""
    for node in operator_nodes(graph, Binary):
        x, y = node.inputs
        if node.operator == Binary("div") and x != y and y not in graph.constants and x not in graph.constants:
            inverse = graph.fresh(f"{node.output}.inverse")
            graph.replace([node], [Node(Unary("reciprocal"), (y,), inverse, node.place),
                                   Node(Binary("mul"), (x, inverse), node.output, node.place, node.name)])


def extremes_to_sums(graph: Graph) -> None:
    """Make the maximum of two values y + max(x - y, 0), and the minimum likewise."""
    for node in operator_nodes(graph, Binary):
        kind = node.operator.title
        if kind in ("max", "min") and not any(value in graph.constants for value in node.inputs):
            x, y = node.inputs
            away, kept = (graph.fresh(f"{node.output}.{what}") for what in ("difference", "clipped"))
            graph.replace([node], [
                Node(Binary("sub"), (x, y), away, node.place),
                Node(Clip(0.0, inf) if kind == "max" else Clip(-inf, 0.0), (away,), kept, node.place),
                Node(Binary("add"), (kept, y), node.output, node.place, node.name)])


def _cluster(graph: Graph, last: Node, kinds: tuple[type[Operator], ...]) -> list[Node]:
    """Return the elementwise operators that lead to a node and whose values only these read, in order."""
    inside, new = {last.output: last}, [last] if _is_elementwise(graph, last, kinds) else []
    while new and len(inside) < LONGEST_CHAIN:
        for value in _values(graph, new.pop()):
            maker = graph.maker(value)
            if maker is None or value in inside or graph.is_output(value) or not _is_elementwise(
                    graph, maker, kinds):
                continue
            if all(reader.output in inside for reader in graph.readers(value)):
                inside[value] = maker
                new += inside.values()
    return [node for node in graph.nodes if node.output in inside]


def _values(graph: Graph, node: Node) -> Iterator[str]:
    return (value for value in node.inputs if value not in graph.constants)


def _is_elementwise(graph: Graph, node: Node, kinds: tuple[type[Operator], ...]) -> bool:
    """Return whether an operator makes each number of those at the same place, with constants of one number.

    Codes of anything else are not taken in: they are what a function reads.
    """
    maker = graph.maker(node.inputs[0])
    stored = isinstance(node.operator, FakeQuantize) and (maker is None or not isinstance(maker.operator, kinds))
    return isinstance(node.operator, kinds) and not stored and all(
        number(graph, value) is not None for value in node.inputs if value in graph.constants)


def _is_curved(graph: Graph, inside: list[Node], kinds: tuple[type[Operator], ...]) -> bool:
    """Return whether operators are more than lines, clamps and sums."""
    lines = Binary("add"), Binary("sub"), Unary("identity"), Unary("neg")
    return any(_is_elementwise(graph, node, kinds) and not isinstance(node.operator, (*STRAIGHT, FakeQuantize))
               and node.operator not in lines for node in inside)


def _is_plain(node: Node) -> bool:
    """Return whether an operator is a function of one number by itself."""
    return isinstance(node.operator, Unary | Elu | LeakyRelu | Composite)


def _steps(graph: Graph, inside: list[Node], leaf: str) -> Iterator[tuple[Operator, tuple[int | float, ...]]]:
    places = {leaf: 0} | {node.output: place for place, node in enumerate(inside, 1)}
    for node in inside:
        yield node.operator, tuple(places[value] if value in places else float(graph.constants[value])
                                   for value in node.inputs)
