"""Images as the host has them, and what it puts around them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sim.errors import InputError
from sim.ir.formats import check_codes
from sim.ir.ops import Pads, Tensor

__all__ = ["HostPadding", "check_images", "pad_image"]


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


def check_images(codes: NDArray[np.integer], image: Tensor) -> None:
    """Refuse what is no batch of codes of an image.

    Raises
    ------
    InputError
        If the shape is not (N, C, H, W) with those of the image, or a number is no code of its format.
    TypeError
        If the array is not of integers.
    """
    if codes.ndim != 4 or codes.shape[1:] != image.shape:
        raise InputError(f"images must have shape (N, {', '.join(map(str, image.shape))}), not {codes.shape}")
    check_codes(codes, image.format, "image")


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
    InputError, TypeError
        If the images are none of `padding.image`, as `check_images` says.

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
    check_images(codes, image)
    around = np.array(padding.codes, np.int32)[:, None, None]
    padded = np.broadcast_to(around, (len(codes), image.channels, top + image.height + bottom,
                                      left + image.width + right)).copy()
    padded[:, :, top : top + image.height, left : left + image.width] = codes
    return padded
