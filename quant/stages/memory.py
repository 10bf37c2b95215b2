"""Which values of a graph share memory, so that one that changes in place changes the others."""

from __future__ import annotations

import operator
from typing import cast

import torch
from torch import fx, nn
from torch.nn import functional

from quant.layers.selection import Selection
from quant.layers.view import View
from quant.trace.calls import is_in_place, module_of
from quant.trace.taps import Tap

__all__ = ["same_memory"]

MODULES = (nn.Identity, nn.Dropout, nn.Dropout2d, nn.Flatten, Selection, Tap, View)
FUNCTIONS = (torch.flatten, "flatten", functional.dropout, operator.getitem)


def same_memory(graph: fx.GraphModule, value: fx.Node, changer: fx.Node) -> set[fx.Node]:
    """Return the values that share memory with `value` and change with it: its bases and their views."""
    order = {node: place for place, node in enumerate(graph.graph.nodes)}
    while _is_view(graph, value):
        value = cast(fx.Node, value.args[0])
    found, new = set[fx.Node](), [value]
    while new:
        node = new.pop()
        found.add(node)
        new += [user for user in node.users if user is not changer and user.args[:1] == (node,)
                and order[user] < order[changer] and _is_view(graph, user)]
    return found


def _is_view(graph: fx.GraphModule, node: fx.Node) -> bool:
    """Return whether a value may be its first operand's memory."""
    module = module_of(graph, node) if node.op == "call_module" else None
    return isinstance(module, MODULES) or node.target in FUNCTIONS or (
        node.op in ("call_module", "call_function", "call_method") and is_in_place(node, module))
