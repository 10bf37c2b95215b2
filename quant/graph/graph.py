"""A network as a list of nodes over named values.

Values that depend on an input have the batch as axis 0, of any size; constants have no batch. Shapes are known: they
are found by running the graph on tensors without contents (`quant.graph.interpret`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from torch import Tensor

from quant.graph.ops.operator import Operator

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


@dataclass
class Graph:
    """A network.

    Attributes
    ----------
    inputs : list of Input
    outputs : list of str
        Names of values, in the order in which the network returns them.
    nodes : list of Node
        Each after those whose values it reads.
    constants : dict of str to Tensor
        Parameters and other numbers by name; a name that ends in ".weight" tells the layer's path.
    steps : dict of str to Steps
        Of constants that another tool has quantized.
    """

    inputs: list[Input]
    outputs: list[str]
    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, Tensor] = field(default_factory=dict)
    steps: dict[str, Steps] = field(default_factory=dict)

    def maker(self, value: str) -> Node | None:
        """Return the node that makes a value; None for inputs and constants."""
        return next((node for node in self.nodes if node.output == value), None)

    def readers(self, value: str) -> list[Node]:
        """Return the nodes that read a value, each once."""
        return [node for node in self.nodes if value in node.inputs]

    def reads_alone(self, reader: Node, value: str) -> bool:
        """Return whether a value is read once in all, by `reader`."""
        reads = sum(node.inputs.count(value) for node in self.nodes) + self.outputs.count(value)
        return reads == 1 and value in reader.inputs

    def fresh(self, name: str) -> str:
        """Return `name`, or the first of name_1, name_2, ... that nothing in the graph is called."""
        taken = {given.name for given in self.inputs} | {node.output for node in self.nodes} | self.constants.keys()
        found, number = name, 0
        while found in taken:
            number += 1
            found = f"{name}_{number}"
        return found

    def replace(self, old: Iterable[Node], new: Iterable[Node]) -> None:
        """Put `new` nodes where the last of the `old` ones stands, and take the `old` ones out."""
        gone = list(old)
        place = max(self.nodes.index(node) for node in gone) + 1
        after = self.nodes[place:]
        self.nodes[:] = [node for node in self.nodes[:place] if node not in gone] + list(new) + [
            node for node in after if node not in gone]

    def redirect(self, old: str, new: str) -> None:
        """Let everything that reads value `old` read `new`."""
        self.nodes[:] = [Node(node.operator, tuple(new if value == old else value for value in node.inputs),
                              node.output, node.place, node.name) for node in self.nodes]
        self.outputs[:] = [new if value == old else value for value in self.outputs]

    def drop_unread(self) -> None:
        """Take out nodes and constants that lead to no output."""
        wanted = set(self.outputs)
        for node in reversed(self.nodes):
            if node.output in wanted:
                wanted.update(node.inputs)
        self.nodes[:] = [node for node in self.nodes if node.output in wanted]
        self.constants = {name: value for name, value in self.constants.items() if name in wanted}
