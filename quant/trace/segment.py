"""A part of a graph that runs by itself, many times: from values that are known to values that are wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import Tensor, fx

__all__ = ["Segment", "between"]


class Segment:
    """The nodes that lead from known values to wanted ones, ready to run.

    What it reads must be values of their own: a node may change them in place.

    Parameters
    ----------
    graph : fx.GraphModule
    known, wanted : iterable of fx.Node
    instead : mapping of fx.Node to callable, optional
        What to call in place of some nodes' modules.
    """

    def __init__(self, graph: fx.GraphModule, known: Iterable[fx.Node], wanted: Iterable[fx.Node],
                 instead: Mapping[fx.Node, Callable[..., Any]] | None = None) -> None:
        self.wanted = tuple(wanted)
        self.nodes = between(graph, known, self.wanted)
        instead = instead or {}
        self._calls = [(node, instead.get(node) or _callable(graph, node)) for node in self.nodes]
        self._over = self._last_readers()

    def run(self, known: Mapping[fx.Node, Tensor]) -> dict[fx.Node, Tensor]:
        """Return the wanted values; those in between are forgotten after their last reader."""
        values: dict[fx.Node, Any] = dict(known)
        for (node, call), over in zip(self._calls, self._over, strict=True):
            values[node] = call(*fx.node.map_arg(node.args, values.__getitem__),
                                **fx.node.map_arg(node.kwargs, values.__getitem__))
            for read in over:
                del values[read]
        return {node: values[node] for node in self.wanted}

    def _last_readers(self) -> list[list[fx.Node]]:
        """Return, for each node in turn, the values that nothing reads after it."""
        left: set[fx.Node] = set(self.wanted)
        over: list[list[fx.Node]] = []
        for node in reversed(self.nodes):
            over.append([read for read in node.all_input_nodes if read not in left])
            left.update(node.all_input_nodes)
        return over[::-1]


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


def _callable(graph: fx.GraphModule, node: fx.Node) -> Callable[..., Any]:
    """Return what a node calls."""
    if node.op == "call_module":
        path = str(node.target)
        return lambda *args, **kwargs: graph.get_submodule(path)(*args, **kwargs)
    if node.op == "call_method":
        name = str(node.target)
        return lambda of, *args, **kwargs: getattr(of, name)(*args, **kwargs)
    if node.op == "get_attr":
        module, _, name = str(node.target).rpartition(".")
        return lambda: getattr(graph.get_submodule(module), name)
    assert callable(node.target)
    return node.target
