"""Graphs for the tests of passes, and what passes have to keep."""

from collections.abc import Callable, Sequence
from typing import Protocol

import pytest
import torch
from torch import Tensor

from quant.graph.graph import Graph, Input, Node
from quant.graph.interpret import run
from quant.graph.ops.operator import Operator

Step = tuple[str, Operator, Sequence[str | float | Tensor]]
"""Name of a value, its operator, and its operands: names, or numbers that become constants."""


class MakeGraph(Protocol):
    def __call__(self, shape: tuple[int, ...], *steps: Step, outputs: Sequence[str] = ()) -> Graph: ...


def _graph_of(shape: tuple[int, ...], *steps: Step, outputs: Sequence[str] = ()) -> Graph:
    graph = Graph([Input("x", shape)], list(outputs) or [steps[-1][0]])
    for name, operator, operands in steps:
        inputs = []
        for place, operand in enumerate(operands):
            if isinstance(operand, str):
                inputs.append(operand)
                continue
            inputs.append(f"{name}.{('input', 'weight', 'bias', 'mean', 'variance')[place]}")
            graph.constants[inputs[-1]] = torch.as_tensor(operand)
        graph.add(Node(operator, tuple(inputs), name, f"at '{name}'", name))
    return graph


def _kept(graph: Graph, *passes: Callable[[Graph], None]) -> list[str]:
    generator = torch.Generator().manual_seed(0)
    images = {given.name: 3 * torch.randn(4, *given.shape, generator=generator) for given in graph.inputs}
    before = [run(graph, images)[name] for name in graph.outputs]
    for each in passes:
        each(graph)
    values = run(graph, images) | images
    for one, name in zip(before, graph.outputs, strict=True):
        torch.testing.assert_close(values[name], one, rtol=1e-4, atol=1e-4)
    return [node.operator.title for node in graph.nodes]


@pytest.fixture
def graph_of() -> MakeGraph:
    """Makes a graph that reads x and gives the last value, or those that are named."""
    return _graph_of


@pytest.fixture
def kept() -> Callable[..., list[str]]:
    """Applies passes and returns the operators that are left; the outputs must be what they were."""
    return _kept
