"""Values of stored tensors for all calibration images, computed as far as they are needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import prod
from typing import cast

import torch
from torch import Tensor, fx

from quant.calibration.stored import Stored, StoredInputs, byte_of, each_stored, put, stored
from quant.quantizers.base import ActivationQuantizer
from quant.stages.stages import stages
from quant.trace.inputs import Inputs, Read, each
from quant.trace.segment import Segment, between
from quant.trace.shapes import shape_of

__all__ = ["Prefix", "pieces"]

LARGEST_PIECE = 1 << 22
"""Most elements that the largest tensor has, for the images that go through the graph together."""
MOST_IMAGES = 128
"""How many images go through the graph together at most."""


class Prefix:
    """A graph that is run bit by bit: a node's value is computed once, and forgotten when nobody reads it any more.

    What quantizers have made is kept as codes, one byte each.

    Parameters
    ----------
    graph : fx.GraphModule
        In eval mode; it may change after the nodes that have run.
    data : Tensor, shape (n, C, H, W), Inputs, Stored or StoredInputs
    starts : sequence of fx.Node, optional
        Whose values `data` are; the graph's inputs unless told otherwise.
    """

    def __init__(self, graph: fx.GraphModule, data: Read | Stored | StoredInputs,
                 starts: Sequence[fx.Node] | None = None) -> None:
        self.graph, self.images = graph, len(data)
        given = ([stored(tensor, None) for tensor in each(data)] if isinstance(data, Tensor | Inputs)
                 else each_stored(data))
        self.kept = dict(zip(starts or graph.graph.find_nodes(op="placeholder"), given, strict=True))
        self.done = {*self.kept}
        self.makers = _makers(graph)

    def of(self, nodes: Iterable[fx.Node]) -> dict[fx.Node, Stored]:
        """Return the values of these nodes."""
        wanted = tuple(nodes)
        new = set(between(self.graph, self.done, wanted))
        if new:
            last = [node for node in new if node in wanted or any(user not in new for user in node.users)]
            for which, values in self.run(last):
                for node, value in values.items():
                    self._keep(node, which, stored(value, self.makers.get(node)))
            self.done |= new
        found = {node: self.kept[node] for node in wanted}
        self._forget()
        return found

    def add(self, node: fx.Node, check: Callable[[Tensor], None]) -> None:
        """Compute the codes of a quantizer's node.

        Parameters
        ----------
        node : fx.Node
            Which calls a quantizer.
        check : callable
            Called with what the quantizer reads, some images after another; it may raise.
        """
        quantizer, read = self.makers[node], cast(fx.Node, node.args[0])
        new = set(between(self.graph, self.done, [node]))
        others = [other for other in new if other is not node and any(user not in new for user in other.users)]
        for which, values in self.run(dict.fromkeys([read, *others])):
            check(values[read])
            codes = quantizer.rounded(values[read]).to(byte_of(quantizer))
            self._keep(node, which, Stored(codes, quantizer, values[read].dtype))
            for other in others:
                self._keep(other, which, stored(values[other], self.makers.get(other)))
        self.done |= new
        self._forget()

    def run(self, nodes: Iterable[fx.Node], instead: Mapping[fx.Node, Callable[..., Tensor]] | None = None,
            ) -> Iterator[tuple[slice, dict[fx.Node, Tensor]]]:
        """Yield some images after another, and for them the values of nodes that can run from what is kept.

        Parameters
        ----------
        nodes : iterable of fx.Node
        instead : mapping of fx.Node to callable, optional
            What to call in place of some nodes' modules.
        """
        segment = Segment(self.graph, self.done, nodes, instead)
        read = {operand for node in segment.nodes for operand in node.all_input_nodes} | {*segment.wanted}
        for which in pieces({*segment.nodes, *read}, self.images):
            with torch.no_grad():
                given = {node: value.values(which) for node, value in self.kept.items() if node in read}
                found = segment.run(given)
                given.clear()
                yield which, found

    def _keep(self, node: fx.Node, which: slice, part: Stored) -> None:
        """Keep a node's values for some images."""
        whole = self.kept[node].kept if node in self.kept else None
        self.kept[node] = Stored(put(whole, part.kept, which, self.images), part.quantizer, part.kind)

    def _forget(self) -> None:
        """Forget what all readers have read."""
        self.kept = {node: value for node, value in self.kept.items()
                     if any(user not in self.done for user in node.users)}


def pieces(nodes: Iterable[fx.Node], images: int) -> Iterator[slice]:
    """Yield slices of images, in order, that go through some nodes together: fewer where their tensors are large."""
    largest = max((prod(shape[1:]) for node in nodes if (shape := shape_of(node)) is not None), default=1)
    size = min(max(LARGEST_PIECE // max(largest, 1), 1), MOST_IMAGES)
    for at in range(0, images, size):
        yield slice(at, min(at + size, images))


def _makers(graph: fx.GraphModule) -> dict[fx.Node, ActivationQuantizer]:
    """Return the quantizer that made the codes of each stored tensor: max pools pass on those of their source."""
    found: dict[fx.Node, ActivationQuantizer] = {}
    for stage in stages(graph):
        if stage.quantizer is not None:
            found[stage.end] = cast(ActivationQuantizer, graph.get_submodule(stage.quantizer))
        elif stage.keeps_codes and stage.source in found:
            found[stage.end] = found[stage.source]
    return found
