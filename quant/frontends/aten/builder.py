"""A typed graph in the making, from one call of an ATen operator to the next."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from quant.frontends.aten.call import Call
from quant.graph.graph import Graph, Input, Node
from quant.graph.interpret import BATCH, compute
from quant.graph.ops.operator import Operator, Unknown
from sim.errors import InputError

__all__ = ["Builder"]


class Builder:
    """A graph so far, the shapes of its values, and which values share memory.

    Parameters
    ----------
    inputs : sequence of Input
    batch : int
        Images of the batch that the source was made with: a number in its shapes that may mean the batch.

    Attributes
    ----------
    graph : Graph
    batch : int
    """

    def __init__(self, inputs: Sequence[Input], batch: int) -> None:
        self.graph = Graph(list(inputs), [])
        self.batch = batch
        self._metas = {given.name: torch.empty((BATCH, *given.shape), device="meta") for given in inputs}
        self._whole: set[str] = set()
        self._roots: dict[str, str] = {}
        self._stale: dict[str, str] = {}

    def shape(self, value: str) -> tuple[int, ...]:
        """Return the shape of one image of a value, or the whole shape of what depends on no input.

        Raises
        ------
        InputError
            If an operator before it is unknown.
        """
        if value in self.graph.constants:
            return tuple(self.graph.constants[value].shape)
        if value not in self._metas:
            raise InputError("the shape of what it reads is not known")
        return tuple(self._metas[value].shape[value not in self._whole:])

    def rank(self, value: str) -> int:
        """Return how many axes a value has, with the batch."""
        return len(self.shape(value)) + (value not in self._whole and value not in self.graph.constants)

    def is_constant(self, value: str) -> bool:
        """Return whether a value is a constant."""
        return value in self.graph.constants

    def constant(self, name: str, value: Tensor) -> str:
        """Add a constant under a free name, which is returned."""
        name = self.graph.fresh(name)
        self.graph.constants[name] = value
        return name

    def add(self, operator: Operator, inputs: Sequence[str], call: Call, *, views: str | None = None) -> str:
        """Add a node, and return the name of its value.

        Parameters
        ----------
        operator : Operator
        inputs : sequence of str
        call : Call
            Where it comes from.
        views : str, optional
            The value whose memory the new one shares.

        Raises
        ------
        InputError
            If it cannot compute on the shapes of its inputs, mixes images, or reads a value that was changed in place.
        """
        for value in inputs:
            if value in self._stale:
                raise InputError(self._stale[value])
        node = Node(operator, tuple(inputs), self.graph.fresh(call.outputs[0]), call.place,
                    call.module if call.leaf else "")
        found = compute(self.graph, node, self._metas)
        whole = all(value in self._whole or value in self.graph.constants for value in inputs)
        if not whole and found.shape[:1] != (BATCH,):
            raise InputError("it mixes the images of a batch")
        self._metas[node.output] = found.to("meta")
        self.graph.add(node)
        if whole:
            self._whole.add(node.output)
        else:
            self.graph.known_shapes[node.output] = tuple(found.shape[1:])
        if views is not None:
            self._roots[node.output] = self._root(views)
        return node.output

    def unknown(self, call: Call, inputs: Sequence[str], reason: str) -> list[str]:
        """Add nodes for a call that has no counterpart, and return the names of its values."""
        names = []
        for output, shape in zip(call.outputs, call.shapes, strict=True):
            operator = Unknown(call.operator, reason, shape)
            node = Node(operator, tuple(inputs), self.graph.fresh(output), call.place)
            if shape is not None:
                self._metas[node.output] = torch.empty((BATCH, *shape), device="meta")
            self.graph.add(node)
            names.append(node.output)
        return names

    def changed(self, value: str, call: Call) -> None:
        """Note that a call has changed a value in place: its views and what it is a view of hold other numbers now."""
        root = self._root(value)
        reason = f"it reads a value that {call.operator} {call.place} has changed in place through a view"
        same = {name for name in self._metas if self._root(name) == root} - {value}
        self._stale |= dict.fromkeys(same, reason)

    def _root(self, value: str) -> str:
        return self._roots.get(value, value)
