"""Shapes of the values in a traced graph."""

from __future__ import annotations

from typing import Any, cast

from torch import Tensor, fx

__all__ = ["Shapes", "shape_of"]


class Shapes(fx.Interpreter):
    """Runs a graph and notes the shape of every tensor at the node that makes it."""

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if isinstance(value, Tensor):
            n.meta["shape"] = tuple(value.shape)
        return value


def shape_of(node: fx.Node) -> tuple[int, ...] | None:
    """Return the shape of a node's tensor, the batch first; None where `Shapes` has not run."""
    return cast("tuple[int, ...] | None", node.meta.get("shape"))
