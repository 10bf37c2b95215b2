"""Images whose channels come last, and are transposed at once, are given with their channels first."""

from __future__ import annotations

from dataclasses import replace

from quant.graph.graph import Graph
from quant.graph.ops.views import Transpose
from quant.graph.passes.rewriting import bypass

__all__ = ["channels_first_inputs"]


def channels_first_inputs(graph: Graph) -> None:
    """Let inputs have the order of axes into which everything that reads them brings them first, in place.

    Networks for TensorFlow read images (N, H, W, C), sequences (N, L, C), and transpose them before the first layer.
    """
    for given in graph.inputs:
        last = len(given.shape)
        order = (0, last, *range(1, last))
        readers = graph.readers(given.name)
        if last < 2 or not readers or graph.is_output(given.name) or any(
                reader.operator != Transpose(order) for reader in readers):
            continue
        for reader in readers:
            bypass(graph, reader)
        graph.replace_input(given.name, replace(given, shape=(given.shape[-1], *given.shape[:-1])))
