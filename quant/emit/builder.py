"""A graph of torch.fx in the making."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from keyword import iskeyword

import torch
from torch import Tensor, fx, nn

from quant.graph.graph import Graph, Node
from quant.graph.interpret import shapes
from quant.graph.layout import Layout
from quant.graph.ops.elementwise import Clip
from quant.graph.ops.operator import Operator
from quant.graph.ops.pools import Reduce
from quant.layers.selection import Selection
from quant.layers.view import View
from quant.trace.naming import free_name, path_fault
from sim.errors import InputError

__all__ = ["Builder", "Hosted", "Refused", "Stored", "label", "legal_path"]

LONGEST_PART, MOST_PARTS = 20, 9
"""What is left of names that a traced model cannot have [letters, parts]."""
LONGEST_ARGUMENT = 100
"""What is left of an input's name, to which tensors and quantizers add their own [letters]."""
ITSELF = "self"
"""What the module calls itself in the code that torch.fx writes: no value may take this name."""


@dataclass(frozen=True)
class Stored:
    """A value on the machine.

    Attributes
    ----------
    node : fx.Node
        Makes the stored map (n, C, H, W), or if `flat` the row (n, C).
    layout : Layout
        Where the numbers of the value are in it.
    flat : bool
    """

    node: fx.Node
    layout: Layout
    flat: bool = False


@dataclass(frozen=True)
class Hosted:
    """A value that the host computes.

    Attributes
    ----------
    node : fx.Node
        Makes the value in its own shape.
    """

    node: fx.Node


@dataclass(frozen=True)
class Refused:
    """A value that nothing can compute; why is said already."""


class Builder:
    """What was emitted so far.

    Attributes
    ----------
    graph : Graph
        What is emitted.
    shapes : dict of str to tuple of int
        Of one image of each value.
    fx : fx.Graph
    modules : dict of str to nn.Module
        By path.
    values : dict of str to Stored, Hosted or Refused
        What each value of the graph has become.
    quantizers : dict of str to (str, Layout)
        By the path of each quantizer the value that it makes, and where its numbers are.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph, self.shapes = graph, shapes(graph)
        self.fx = fx.Graph()
        self.modules: dict[str, nn.Module] = {}
        self.values: dict[str, Stored | Hosted | Refused] = {}
        self.quantizers: dict[str, tuple[str, Layout]] = {}
        self._rows: dict[fx.Node, fx.Node] = {}
        self._selections: dict[tuple[fx.Node, str], fx.Node] = {}

    def stored(self, node: Node, index: int = 0) -> Stored:
        """Return an operand of a node that lies on the machine."""
        name = node.inputs[index]
        if name in self.graph.constants:
            raise InputError(f"{node.operator.title} {node.place} reads the constant '{name}' as if it were an image")
        value = self.values[name]
        assert isinstance(value, Stored)
        return value

    def constant(self, node: Node, index: int, what: str) -> Tensor:
        """Return an operand of a node that must be constant; `what` says what it is in the message."""
        if node.inputs[index] not in self.graph.constants:
            raise InputError(f"the {what} of {node.operator.title} {node.place} must be constant")
        return self.graph.constants[node.inputs[index]]

    def argument(self, name: str) -> fx.Node:
        """Add an input of the module, whose parameter is named like `name`."""
        found = re.sub(r"\W", "_", name, flags=re.ASCII)[:LONGEST_ARGUMENT]
        legal = found if found.isidentifier() and not iskeyword(found) and found != ITSELF else f"input_{found}"
        taken = {str(node.target) for node in self.fx.find_nodes(op="placeholder")}
        return self.fx.placeholder(free_name(legal, taken))

    def call(self, name: str, module: nn.Module, *args: fx.Node) -> fx.Node:
        """Add a call of a module, at a free path like `name`; modules are in eval mode."""
        path = free_name(legal_path(name), self.modules)
        self.modules[path] = module.eval()
        return self.fx.call_module(path, args)

    def name(self, node: Node) -> str:
        """Return what the layer of a node is called: by its weights, by the source, or by what it does."""
        weights = node.inputs[1] if len(node.inputs) > 1 and node.inputs[1] in self.graph.constants else ""
        path, _, last = weights.rpartition(".")
        return (path if last == "weight" else "") or node.name or _kind(node.operator)

    def as_map(self, value: Stored) -> fx.Node:
        """Return the node that makes a value's map (n, C, H, W)."""
        if not value.flat:
            return value.node
        return self.call(f"{label(value.node)}_map", View(value.layout.stored), value.node)

    def row(self, value: Stored) -> fx.Node:
        """Return the node that makes the row (n, F) of a value's numbers as they are stored."""
        if value.flat:
            return value.node
        if value.node not in self._rows:
            self._rows[value.node] = self.fx.call_function(torch.flatten, (value.node, 1))
        return self._rows[value.node]

    def select(self, node: fx.Node, channels: Sequence[int] | None, rows: range | None, columns: range | None,
               pads: tuple[int, int, int, int] = (0, 0, 0, 0)) -> fx.Node:
        """Return the node that picks a part of a map and pads it, the same for the same part."""
        selection = Selection(channels, rows, columns, pads)
        key = (node, selection.extra_repr())
        if key not in self._selections:
            self._selections[key] = self.call(f"{label(node)}_part", selection, node)
        return self._selections[key]

    def cat(self, nodes: Sequence[fx.Node]) -> fx.Node:
        """Return the node that puts the channels of maps or rows beside each other."""
        return self.fx.call_function(torch.cat, (tuple(nodes), 1))

    def module(self, outputs: Sequence[fx.Node]) -> fx.GraphModule:
        """Return what was emitted as a module that gives `outputs`, one by itself or several as a tuple."""
        self.fx.output(outputs[0] if len(outputs) == 1 else tuple(outputs))
        made = fx.GraphModule(self.modules, self.fx)
        made.graph.lint()
        made.meta["quantizers"] = self.quantizers
        return made.eval()


def label(node: fx.Node) -> str:
    """Return the path of what a node calls, or else its name."""
    return str(node.target) if node.op == "call_module" else node.name


def _kind(operator: Operator) -> str:
    """Return what a layer is called after what it does."""
    if isinstance(operator, Clip):
        return "relu" if operator.low == 0 else "clamp"
    if isinstance(operator, Reduce):
        return operator.kind
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", operator.title).lower()


def legal_path(name: str) -> str:
    """Return a path that a traced model can have, as much like `name` as possible."""
    if name == ITSELF:
        return f"{name}_"
    if "/" not in name and path_fault(name) is None:
        return name
    parts = [re.sub(r"\W", "_", part, flags=re.ASCII)[:LONGEST_PART] for part in re.split(r"[./]+", name) if part]
    kept = [part if path_fault(part) is None else f"{part}_" for part in parts[-MOST_PARTS:]]
    return ".".join(kept) or "layer"
