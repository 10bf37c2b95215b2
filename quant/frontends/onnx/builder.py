"""A typed graph in the making, from one ONNX node to the next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from quant.frontends.onnx.tensors import MAX_RANK
from quant.frontends.onnx.values import BATCH, Known, Number, Value
from quant.graph.graph import Graph, Input, Node
from quant.graph.interpret import compute
from quant.graph.ops.answers import ArgMax
from quant.graph.ops.operator import Operator, Unknown
from quant.graph.ops.quantization import BipolarQuantize, Dequantize, FakeQuantize, Quantize, Truncate
from sim.errors import InputError
from sim.io.bounds import MAX_CODES

__all__ = ["Builder"]


INTEGERS, VALUES = (ArgMax, Quantize), (BipolarQuantize, Dequantize, FakeQuantize, Truncate)
"""Operators that make integers of values, and those that make values."""


class Builder:
    """A graph so far, and the shapes of its values.

    Parameters
    ----------
    inputs : sequence of Input
    declared : int or None
        Size of the batch that the source was made with: a number in its shapes that may mean the batch.

    Attributes
    ----------
    graph : Graph
    declared : int or None
    """

    def __init__(self, inputs: Sequence[Input], declared: int | None) -> None:
        self.graph = Graph(list(inputs), [])
        self.declared = declared
        self._metas = {given.name: torch.empty((BATCH, *given.shape), device="meta") for given in inputs}
        self._constants: dict[int, tuple[Number, str]] = {}

    def input(self, given: Input, integers: bool) -> Value:
        """Return the value of an input; `integers` says whether the source reads integers there."""
        return Value(given.name, (BATCH, *given.shape), integers=integers)

    def add(self, operator: Operator, inputs: Sequence[Known], output: str, place: str, name: str) -> Value:
        """Add a node, and return its value.

        Raises
        ------
        InputError
            If it cannot compute on the shapes of its inputs, mixes images, or makes too many numbers.
        """
        node = Node(operator, tuple(map(self._reads, inputs)), self.graph.fresh(output), place, name)
        batched = any(isinstance(value, Value) and value.batched for value in inputs)
        try:
            found = compute(self.graph, node, self._metas)
        except InputError as error:
            raise InputError(str(error).replace(str(BATCH), "N")) from None
        if found.ndim > MAX_RANK:
            raise InputError(f"what it makes must have at most {MAX_RANK} axes, not {found.ndim}")
        if batched and found.shape[:1] != (BATCH,):
            raise InputError("it mixes the images of a batch")
        if found.numel() // (BATCH if batched else 1) > MAX_CODES:
            raise InputError(f"it makes more than {MAX_CODES:,} numbers")
        self._metas[node.output] = found.to("meta")
        self.graph.add(node)
        if batched:
            self.graph.known_shapes[node.output] = tuple(found.shape[1:])
        first, read = inputs[0], [value for value in inputs if isinstance(value, Value)]
        integers = isinstance(operator, INTEGERS) or (not isinstance(operator, VALUES) and any(
            value.integers for value in read))
        source = "" if batched else first.source if isinstance(first, Value) else first.name
        return Value(node.output, tuple(found.shape), batched, source, integers)

    def unknown(self, operator: Unknown, inputs: Sequence[Known], output: str, place: str) -> Value:
        """Add a node that nothing is known of but, perhaps, the shape of its value."""
        node = Node(operator, tuple(map(self._reads, inputs)), self.graph.fresh(output), place)
        self.graph.add(node)
        if operator.shape is None:
            return Value(node.output, None, after=frozenset([node.output]))
        self._metas[node.output] = torch.empty((BATCH, *operator.shape), device="meta")
        return Value(node.output, (BATCH, *operator.shape))

    def _reads(self, value: Known) -> str:
        """Return the name of a value; a number becomes a constant of the graph."""
        if isinstance(value, Value):
            return value.name
        if id(value.array) not in self._constants:
            name = self.graph.fresh(value.name or "constant")
            self._constants[id(value.array)] = value, name
            self.graph.constants[name] = _tensor(value)
        return self._constants[id(value.array)][1]


def _tensor(number: Number) -> Tensor:
    """Return numbers as a tensor of float32; codes of integers keep a type that holds them."""
    kind = number.array.dtype
    wanted: Any = {"b": np.uint8, "u": np.int64, "i": kind}.get(kind.kind, np.float32)
    if kind.kind == "u" and kind.itemsize <= 2:
        wanted = np.uint8 if kind.itemsize == 1 else np.int32
    with np.errstate(over="ignore"):
        return torch.from_numpy(np.array(number.array, wanted, order="C"))
