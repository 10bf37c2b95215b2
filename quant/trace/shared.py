"""Layers that a model calls more than once: on the machine each call has weights of its own."""

from __future__ import annotations

from copy import deepcopy

from torch import fx

from quant.trace.calls import module_of
from quant.trace.naming import free_path

__all__ = ["separate_calls"]


def separate_calls(graph: fx.GraphModule) -> None:
    """Give each further call of a layer with parameters a copy of it, in place."""
    called = set[str]()
    for node in graph.graph.find_nodes(op="call_module"):
        path = str(node.target)
        if path in called and module_of(graph, node).state_dict():
            own = free_path(graph, path)
            graph.add_submodule(own, deepcopy(module_of(graph, node)))
            node.target = path = own
        called.add(path)
