"""Images whose channels come last, and are transposed at once, are given with their channels first."""

from __future__ import annotations

from dataclasses import replace

from quant.graph.graph import Graph
from quant.graph.ops.views import Transpose

__all__ = ["channels_first_inputs"]


def channels_first_inputs(graph: Graph) -> None:
    """Let inputs have the order of axes into which everything that reads them brings them first, in place.

    Networks for TensorFlow read images (N, H, W, C), sequences (N, L, C), and transpose them before the first layer.
    """
    for place, given in enumerate(graph.inputs):
        last = len(given.shape)
        order = (0, last, *range(1, last))
        readers = graph.readers(given.name)
        if last < 2 or not readers or given.name in graph.outputs or any(
                reader.operator != Transpose(order) for reader in readers):
            continue
        for reader in readers:
            graph.redirect(reader.output, given.name)
        gone = {reader.output for reader in readers}
        graph.nodes[:] = [node for node in graph.nodes if node.output not in gone]
        graph.inputs[place] = replace(given, shape=(given.shape[-1], *given.shape[:-1]))
