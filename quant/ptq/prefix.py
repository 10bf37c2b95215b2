"""Values of stored tensors for all calibration images, computed as far as they are needed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, fx

__all__ = ["CHUNK", "Prefix", "between", "run_nodes"]

CHUNK = 128
"""Images that go through the graph together."""

Values = Mapping[fx.Node, Tensor]


class Prefix:
    """A graph that is run bit by bit: a node's value is computed once, and forgotten when nobody reads it any more.

    Parameters
    ----------
    graph : fx.GraphModule
        In eval mode; it may change after the nodes that have run.
    data : Tensor, shape (n, C, H, W)
    """

    def __init__(self, graph: fx.GraphModule, data: Tensor) -> None:
        self.graph = graph
        (start,) = graph.graph.find_nodes(op="placeholder")
        self.values: dict[fx.Node, Tensor] = {start: data}
        self.done = {start}

    def of(self, nodes: Iterable[fx.Node]) -> dict[fx.Node, Tensor]:
        """Return the values of these nodes."""
        wanted = tuple(nodes)
        missing = between(self.graph, self.done, wanted)
        if missing:
            kept = [node for node in missing if node in wanted or any(user not in missing for user in node.users)]
            parts = []
            with torch.no_grad():
                for at in range(0, len(next(iter(self.values.values()))), CHUNK):
                    known = {node: value[at : at + CHUNK] for node, value in self.values.items()}
                    found = run_nodes(self.graph, missing, known)
                    parts.append([found[node].clone() for node in kept])  # what follows may change it in place
            for node, pieces in zip(kept, zip(*parts, strict=True), strict=True):
                self.values[node] = torch.cat(pieces)
            self.done |= set(missing)
        found = {node: self.values[node] for node in wanted}
        self.values = {node: value for node, value in self.values.items()
                       if any(user not in self.done for user in node.users)}
        return found


def between(graph: fx.GraphModule, known: Iterable[fx.Node], wanted: Iterable[fx.Node]) -> list[fx.Node]:
    """Return the nodes that lead from known ones to wanted ones, in an order in which they can run."""
    found, new, seen = set[fx.Node](), list(wanted), set(known)
    while new:
        node = new.pop()
        if node not in seen:
            seen.add(node)
            found.add(node)
            new += node.all_input_nodes
    return [node for node in graph.graph.nodes if node in found]


def run_nodes(graph: fx.GraphModule, nodes: Iterable[fx.Node], known: Values) -> dict[fx.Node, Tensor]:
    """Return the values of `nodes`, which lie in an order in which they can run after the known ones."""
    interpreter = fx.Interpreter(graph)
    interpreter.env = dict(known)
    for node in nodes:
        interpreter.env[node] = interpreter.run_node(node)
    return interpreter.env
