"""Padding that the host does: pads of an image whose channels mean 0 by different codes.

A Conv pads all channels with one code, the zero point of what it reads. Pixels whose means differ have another one in
each channel, so the host puts them around the image, and the Conv that reads it has no pads.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from torch import fx

from quant.trace.operators import conv_pads
from quant.trace.stage import Stage
from sim.errors import InputError
from sim.ir.formats import check_codes
from sim.ir.ops import Pads, Tensor

__all__ = ["HostPadding", "host_padding", "pad_image"]


@dataclass(frozen=True)
class HostPadding:
    """What the host puts around an image.

    Attributes
    ----------
    image : Tensor
        The image as it was.
    pads : (top, left, bottom, right)
        Padding on each side [pixels].
    codes : tuple of int
        What each channel is padded with.
    """

    image: Tensor
    pads: Pads
    codes: tuple[int, ...]

    @property
    def padded(self) -> Tensor:
        """The padded image."""
        top, left, bottom, right = self.pads
        return replace(self.image, height=top + self.image.height + bottom, width=left + self.image.width + right)


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


def pad_image(codes: NDArray[np.integer], padding: HostPadding) -> NDArray[np.int32]:
    """Put each channel's code around images.

    Parameters
    ----------
    codes : integer array, shape (N, C, H, W)
        Of `padding.image`.
    padding : HostPadding

    Returns
    -------
    int32 array, shape (N, C, top + H + bottom, left + W + right)

    Raises
    ------
    InputError
        If the shape is another, or a number is no code of the image's format.
    TypeError
        If the array is not of integers.

    Examples
    --------
    >>> from sim.ir.formats import Format
    >>> image = Tensor("image", 1, 1, (2,), Format(4, "unsigned"))
    >>> pad_image(np.array([[[[1]], [[2]]]]), HostPadding(image, (0, 1, 0, 1), (7, 8)))
    array([[[[7, 1, 7]],
    <BLANKLINE>
            [[8, 2, 8]]]], dtype=int32)
    """
    image, (top, left, bottom, right) = padding.image, padding.pads
    if codes.ndim != 4 or codes.shape[1:] != image.shape:
        raise InputError(f"images must have shape (N, {', '.join(map(str, image.shape))}), not {codes.shape}")
    check_codes(codes, image.format, "image")
    around = np.array(padding.codes, np.int32)[:, None, None]
    padded = np.broadcast_to(around, (len(codes), image.channels, top + image.height + bottom,
                                      left + image.width + right)).copy()
    padded[:, :, top : top + image.height, left : left + image.width] = codes
    return padded
