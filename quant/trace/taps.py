"""Where values are taken from a graph to be stored beside others: parts of concatenations, and outputs.

A value may be read in several places. Each operand of a `torch.cat`, and each of several outputs, gets a node of its
own, so that a copy can stand there if the value is needed elsewhere too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, fx, nn

from quant.trace.naming import free_path

__all__ = ["CATS", "Tap", "insert_taps", "is_output", "outputs_of"]

CATS = (torch.cat, torch.concat, torch.concatenate)


class Tap(nn.Module):
    """Passes on what it reads."""

    def forward(self, x: Tensor) -> Tensor:
        return x


def insert_taps(graph: fx.GraphModule) -> None:
    """Give each operand of a concatenation and each of several outputs a `Tap`, in place.

    What a concatenation reads of another one it reads of that one's operands instead.
    """
    for node in list(graph.graph.nodes):
        if node.op == "call_function" and node.target in CATS and isinstance(node.args[0], tuple | list):
            operands = [part for operand in node.args[0] for part in _parts(operand, node)]
            node.args = (tuple(_tapped(graph, operand, node, f"{node.name}_part.{place}")
                               for place, operand in enumerate(operands)), *node.args[1:])
    (output,) = graph.graph.find_nodes(op="output")
    if not isinstance(output.args[0], fx.Node):
        places = iter(range(len(outputs_of(graph))))
        output.args = fx.node.map_arg(output.args, lambda node: _tapped(graph, node, output, f"output.{next(places)}"))


def outputs_of(graph: fx.GraphModule) -> tuple[fx.Node, ...]:
    """Return the values that a graph returns, in order: one, or those of a tuple, list or dict."""
    (output,) = graph.graph.find_nodes(op="output")
    found: list[fx.Node] = []
    fx.node.map_arg(output.args, found.append)
    return tuple(found)


def is_output(node: fx.Node) -> bool:
    """Return whether a graph returns a value."""
    return any(user.op == "output" for user in node.users)


def _parts(operand: fx.Node, cat: fx.Node) -> Iterator[fx.Node]:
    """Yield an operand, or those of the concatenation that it is, if that joins along the same axis."""
    same = operand.op == "call_function" and operand.target in CATS and (operand.args[1:], operand.kwargs) == (
        cat.args[1:], cat.kwargs)
    for part in cast("tuple[fx.Node, ...]", operand.args[0]) if same else (operand,):
        yield cast(fx.Node, part.args[0]) if same else part


def _is_tap(node: fx.Node) -> bool:
    owner = node.graph.owning_module
    return node.op == "call_module" and owner is not None and isinstance(owner.get_submodule(str(node.target)), Tap)


def _tapped(graph: fx.GraphModule, operand: fx.Node, reader: fx.Node, path: str) -> fx.Node:
    if _is_tap(operand):
        return operand
    path = free_path(graph, path)
    graph.add_submodule(path, Tap())
    with graph.graph.inserting_before(reader):
        return graph.graph.call_module(path, (operand,))
