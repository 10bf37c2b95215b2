"""Padding that the host does: pads of an image whose channels mean 0 by different codes.

A Conv pads all channels with one code, the zero point of what it reads. Pixels whose means differ have another one in
each channel, so the host puts them around the image, and the Conv that reads it has no pads.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import fx

from quant.lowering.host_image import HostPadding
from quant.stages.operators import conv_pads
from quant.stages.stage import Stage
from sim.errors import InputError
from sim.ir.ops import Pads, Tensor

__all__ = ["host_padding"]


def host_padding(graph: fx.GraphModule, found: Iterable[Stage], source: Stage, image: Tensor,
                 codes: tuple[int, ...]) -> HostPadding | None:
    """Return how the host pads an image, or None if nothing that reads it pads or all channels mean 0 by one code.

    Parameters
    ----------
    graph : fx.GraphModule
    found : iterable of Stage
        All of the graph.
    source : Stage
        The input.
    image : Tensor
        What the host has.
    codes : tuple of int
        The code that means 0 in each channel.

    Raises
    ------
    InputError
        If what reads the image pads it differently: there is one image for all.
    """
    if len(set(codes)) == 1:
        return None
    pads = {stage.name: _pads(graph, stage) for stage in found if source.end in (stage.source, stage.residual)}
    if len(set(pads.values())) > 1:
        listed = " but ".join(f"'{name}' by {of}" for name, of in pads.items())
        raise InputError("what reads pixels must pad alike if the channels' means differ, since the host pads the "
                         f"image; {listed} (top, left, bottom, right)")
    (of,) = set(pads.values())
    return HostPadding(image, of, codes) if any(of) else None


def _pads(graph: fx.GraphModule, stage: Stage) -> Pads:
    return conv_pads(graph, stage) if stage.kind == "conv" else (0, 0, 0, 0)
