"""Sums of products along named axes become linear layers, products and sums."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod

from torch import Tensor

from quant.graph.graph import Graph, Node
from quant.graph.interpret import shapes
from quant.graph.ops.einsum import Einsum
from quant.graph.ops.elementwise import Binary
from quant.graph.ops.linear import Linear
from quant.graph.ops.operator import Operator
from quant.graph.ops.pools import Reduce
from quant.graph.ops.views import Reshape, Transpose
from quant.graph.passes.rewriting import operator_nodes

__all__ = ["spell_einsums"]


def spell_einsums(graph: Graph) -> None:
    """Write an `Einsum` as a `Linear` where axes of a constant are summed over, else as a product and sums, in place.

    What multiplies two values, each along axes of its own, stays as it is.
    """
    sizes = shapes(graph)
    for node in operator_nodes(graph, Einsum):
        if len(node.inputs) <= 2 and all(name in sizes or name in graph.constants for name in node.inputs):
            made = _spelled(graph, node, sizes)
            if made:
                graph.replace([node], made)


def _spelled(graph: Graph, node: Node, sizes: Mapping[str, tuple[int, ...]]) -> list[Node]:
    """Return the nodes that compute what an einsum does, none if it cannot be written so."""
    einsum = node.operator
    assert isinstance(einsum, Einsum)
    operands = sorted(zip(node.inputs, einsum.operands, strict=True),
                      key=lambda operand: (operand[0] in graph.constants, -len(operand[1])))
    extents = {letter: extent for name, letters in operands for letter, extent in zip(
        letters[name not in graph.constants:], graph.constants[name].shape if name in graph.constants else sizes[name],
        strict=True)}
    (value, letters), *rest = operands
    chain = _Chain(graph, node, einsum.result, extents, value, letters)
    for name, letters in rest:
        if name in graph.constants:
            chain.by_constant(name, letters)
        elif {*letters} <= {*chain.letters}:
            chain.by_value(name, letters)
        if not chain.made:
            return []
    chain.sums()
    last = chain.made[-1]
    return [*chain.made[:-1], Node(last.operator, last.inputs, node.output, last.place, last.name)]


@dataclass
class _Chain:
    """Nodes that make one value after the other.

    Attributes
    ----------
    graph : Graph
    node : Node
        The einsum in whose place they come.
    result : str
        Its axes.
    extents : mapping of str to int
        Sizes of all axes but the batch.
    value, letters : str
        The last value, and its axes.
    made : list of Node
    """

    graph: Graph
    node: Node
    result: str
    extents: Mapping[str, int]
    value: str
    letters: str
    made: list[Node] = field(default_factory=list)

    def by_constant(self, name: str, letters: str) -> None:
        """Multiply by a constant, and sum over the axes of both that the result has not."""
        constant, alone = self.graph.constants[name], [
            axis for axis, letter in enumerate(letters) if letter not in self.letters + self.result]
        if alone:
            constant, letters = constant.sum(alone), "".join(letter for letter in letters if letter in
                                                             self.letters + self.result)
        shared = "".join(letter for letter in self.letters if letter in letters)
        new = "".join(letter for letter in letters if letter not in shared)
        if not {*shared} & {*self.result}:
            weight = constant.permute([letters.index(letter) for letter in new + shared])
            self._linear(name, weight.reshape(self._size(new), self._size(shared)).contiguous(), shared, new)
        elif not new:
            aligned = constant.permute([letters.index(letter) for letter in shared])
            self._add(Binary("mul"), self._constant(name, aligned.reshape(self._shape(self.letters, shared))))

    def by_value(self, name: str, letters: str) -> None:
        """Multiply by a value with some of the axes."""
        order = sorted(letters, key=self.letters.index)
        turned = self._made(Transpose(tuple(map(letters.index, order))), name)
        self._add(Binary("mul"), self._made(Reshape(self._shape(self.letters, letters)), turned))

    def sums(self) -> None:
        """Sum over the axes that the result has not, and put the others into its order."""
        gone = tuple(axis for axis, letter in enumerate(self.letters) if letter not in self.result)
        if gone:
            self._add(Reduce("sum", gone, keep=False))
            self.letters = "".join(letter for letter in self.letters if letter in self.result)
        self._turn(self.result)

    def _linear(self, name: str, weight: Tensor, shared: str, new: str) -> None:
        left = "".join(letter for letter in self.letters if letter not in shared)
        self._turn(left + shared)
        self._add(Reshape((*self._shape(left), self._size(shared))))
        self._add(Linear(), self._constant(name, weight), name=self.node.name)
        self._add(Reshape((*self._shape(left), *(self.extents[letter] for letter in new))))
        self.letters = left + new

    def _shape(self, letters: str, of: str | None = None) -> tuple[int, ...]:
        """Return the sizes of axes after the batch, 1 for those that are not in `of`."""
        return tuple(self.extents[letter] if of is None or letter in of else 1 for letter in letters[1:])

    def _size(self, letters: str) -> int:
        return prod(self.extents[letter] for letter in letters)

    def _turn(self, letters: str) -> None:
        self._add(Transpose(tuple(map(self.letters.index, letters))))
        self.letters = letters

    def _constant(self, like: str, value: Tensor) -> str:
        name = like if self.graph.reads_alone(self.node, like) else self.graph.fresh(like)
        self.graph.constants[name] = value
        return name

    def _made(self, operator: Operator, *inputs: str, name: str = "") -> str:
        output = self.graph.fresh(f"{self.node.output}.{len(self.made)}")
        self.made.append(Node(operator, inputs, output, self.node.place, name))
        return output

    def _add(self, operator: Operator, *others: str, name: str = "") -> None:
        self.value = self._made(operator, self.value, *others, name=name)
