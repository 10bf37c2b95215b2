"""Maps that become larger."""

from __future__ import annotations

from quant.emit.builder import Builder, Stored
from quant.emit.frames import frame_of
from quant.graph.graph import Node
from quant.graph.ops.views import Bilinear, Spread
from quant.layers.bilinear import Bilinear as BilinearLayer
from quant.layers.selection import Selection
from quant.layers.spread import Spread as SpreadLayer

__all__ = ["bilinear", "spread"]


def spread(builder: Builder, node: Node) -> Stored:
    """Emit the layer that spreads pixels, on a map whose channels are in their order."""
    operator = node.operator
    assert isinstance(operator, Spread)
    frame = frame_of(builder, node, builder.stored(node))
    source, channels = frame.node, frame.channels
    if operator.shuffles and frame.is_shuffled:
        source = builder.call(f"{builder.name(node)}_part", Selection(channels), source)
        channels = tuple(range(len(channels)))
    size = frame.along(*operator.size)
    layer = SpreadLayer(frame.along(*operator.factors), size, shuffles=operator.shuffles)
    made = builder.call(builder.name(node), layer, source)
    return frame.made(made, channels[: len(channels) // layer.phases] if operator.shuffles else channels, size)


def bilinear(builder: Builder, node: Node) -> Stored:
    """Emit the layer that puts pixels between those of a map."""
    operator = node.operator
    assert isinstance(operator, Bilinear)
    frame = frame_of(builder, node, builder.stored(node))
    factors = frame.along(*operator.factors)
    made = builder.call(builder.name(node), BilinearLayer(factors), frame.node)
    return frame.made(made, frame.channels, (frame.size[0] * factors[0], frame.size[1] * factors[1]))
