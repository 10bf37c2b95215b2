"""A network as nodes over named values, in which makers and readers are found at once.

Values that depend on an input have the batch as axis 0, of any size; constants have no batch. Shapes are known: they
are found by running the graph on tensors without contents (`quant.graph.interpret`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from quant.graph.ops.operator import Operator
from quant.graph.order import Order

__all__ = ["Graph", "Input", "Node", "Steps"]


@dataclass(frozen=True)
class Input:
    """What a graph reads.

    Attributes
    ----------
    name : str
        Of its value.
    shape : tuple of int
        Of one image.
    """

    name: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Node:
    """One operator between values.

    Attributes
    ----------
    operator : Operator
    inputs : tuple of str
        Names of values or constants.
    output : str
        Name of the value that it makes, which no other node has.
    place : str
        Where in the source it stands, for messages: "at 'features.0'", or "node 'Conv_3'".
    name : str
        What the layer is called in the source: the path of a module, or a node's name; may be empty.
    """

    operator: Operator
    inputs: tuple[str, ...]
    output: str
    place: str
    name: str = ""


@dataclass(frozen=True)
class Steps:
    """What another tool says about a constant: its numbers are whole multiples of steps.

    Attributes
    ----------
    step : Tensor
        Of a shape that broadcasts to the constant's.
    low, high : int
        The least and the largest multiple.
    bipolar : bool
        Whether the multiples are -1 and 1 alone.
    """

    step: Tensor
    low: int
    high: int
    bipolar: bool = False


class Graph:
    """A network.

    Parameters
    ----------
    inputs : iterable of Input
    outputs : iterable of str
        Names of values, in the order in which the network returns them.
    nodes : iterable of Node
        Each after those whose values it reads.
    constants : mapping of str to Tensor, optional

    Attributes
    ----------
    constants : dict of str to Tensor
        Parameters and other numbers by name; a name that ends in ".weight" tells the layer's path.
    steps : dict of str to Steps
        Of constants that another tool has quantized.
    known_shapes : dict of str to tuple of int
        Of one image of values, as far as they are known; what a new node makes has none until it is found.
    """

    def __init__(self, inputs: Iterable[Input], outputs: Iterable[str] = (), nodes: Iterable[Node] = (),
                 constants: Mapping[str, Tensor] | None = None) -> None:
        self.constants, self.steps = dict(constants or {}), dict[str, Steps]()
        self.known_shapes: dict[str, tuple[int, ...]] = {}
        self._inputs = {given.name: given for given in inputs}
        self._nodes: dict[str, Node] = {}
        self._order = Order()
        self._readers: dict[str, dict[str, None]] = {}
        self._numbers: dict[str, int] = {}
        self.outputs = tuple(outputs)
        for node in nodes:
            self.add(node)

    @property
    def inputs(self) -> tuple[Input, ...]:
        """What the network reads."""
        return tuple(self._inputs.values())

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the values that the network returns."""
        return tuple(self._outputs)

    @outputs.setter
    def outputs(self, names: Iterable[str]) -> None:
        self._outputs = list(names)
        self._places: dict[str, list[int]] = {}
        for place, name in enumerate(self._outputs):
            self._places.setdefault(name, []).append(place)

    @property
    def nodes(self) -> tuple[Node, ...]:
        """All nodes, each after those whose values it reads."""
        return tuple(self._nodes[name] for name in self._order)

    def maker(self, value: str) -> Node | None:
        """Return the node that makes a value; None for inputs and constants."""
        return self._nodes.get(value)

    def readers(self, value: str) -> list[Node]:
        """Return the nodes that read a value, each once."""
        return [self._nodes[name] for name in self._readers.get(value, ())]

    def is_input(self, value: str) -> bool:
        """Return whether a value is an input."""
        return value in self._inputs

    def is_output(self, value: str) -> bool:
        """Return whether the network returns a value."""
        return value in self._places

    def reads_alone(self, reader: Node, value: str) -> bool:
        """Return whether a value is read once in all, by `reader`."""
        readers = self._readers.get(value, {})
        return (len(readers) == 1 and reader.output in readers and reader.inputs.count(value) == 1
                and not self.is_output(value))

    def fresh(self, name: str) -> str:
        """Return `name` if nothing in the graph is called so, else one of name_1, name_2, ..."""
        found, number = name, self._numbers.get(name, 0)
        while found in self._nodes or found in self.constants or found in self._inputs:
            number += 1
            found = f"{name}_{number}"
        self._numbers[name] = number
        return found

    def add(self, node: Node, before: Node | None = None) -> None:
        """Put a node that makes a new value at the end, or before another one."""
        self._order.insert(node.output, None if before is None else before.output)
        self._put(node)

    def remove(self, node: Node) -> None:
        """Take a node out."""
        self._take(node)
        self._order.remove(node.output)
        self.known_shapes.pop(node.output, None)

    def replace(self, old: Sequence[Node], new: Sequence[Node]) -> None:
        """Put `new` nodes in the place of `old` ones; the last of both make the same value, and stand last."""
        *gone, end = old
        *others, last = new
        assert last.output == end.output
        for node in gone:
            self.remove(node)
        for node in others:
            self.add(node, before=end)
        self._take(end)
        self._put(last)
        self.known_shapes.pop(last.output, None)

    def replace_input(self, name: str, new: Input) -> None:
        """Let an input have another name or shape; what reads it reads the new one."""
        self._inputs = {given.name: given for given in (new if one.name == name else one for one in self.inputs)}
        self.known_shapes.pop(name, None)
        if name != new.name:
            self.redirect(name, new.name)

    def redirect(self, old: str, new: str) -> None:
        """Let everything that reads value `old` read `new`."""
        for node in self.readers(old):
            self._take(node)
            self._put(replace(node, inputs=tuple(new if value == old else value for value in node.inputs)))
        for place in (moved := self._places.pop(old, [])):
            self._outputs[place] = new
        if moved:
            self._places.setdefault(new, []).extend(moved)

    def drop_unread(self) -> None:
        """Take out nodes and constants that lead to no output."""
        for node in reversed(self.nodes):
            if node.output not in self._readers and not self.is_output(node.output):
                self.remove(node)
        self.constants = {name: value for name, value in self.constants.items()
                          if name in self._readers or self.is_output(name)}

    def _put(self, node: Node) -> None:
        self._nodes[node.output] = node
        for value in node.inputs:
            self._readers.setdefault(value, {})[node.output] = None

    def _take(self, node: Node) -> None:
        del self._nodes[node.output]
        for value in {*node.inputs}:
            readers = self._readers[value]
            del readers[node.output]
            if not readers:
                del self._readers[value]
