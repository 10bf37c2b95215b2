"""How images that users bring are read: cut to a size, normalised, mirrored in training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from quant.data.pixels import Pixels
from sim.errors import InputError
from sim.io.bounds import check_range, shown

__all__ = ["MAX_SIZE", "ImageOptions"]

MAX_SIZE = 4096
"""Largest height and width to which images are cut, and largest length to which they are resized [pixels]."""
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and deviation of ImageNet's red, green and blue, for pixels of 0..1."""
OTHER = 0.5, 0.5
"""Mean and deviation of images that are not of three channels."""


@dataclass(frozen=True)
class ImageOptions:
    """What a user says of images.

    Attributes
    ----------
    size : int, 1..4096, optional
        Height and width to which the images of folders are cut; 224 if None [pixels].
    resize : int, size..4096, optional
        Length of the short side before cutting; 8/7 of `size` if None, and then images that are `size` x `size` already
        stay as they are [pixels].
    mean, deviation : sequence of float, optional
        Normalisation of pixels of 0..1: a number for each channel, or one for all. If None, those of ImageNet for three
        channels, else 0.5.
    mirrored : bool, optional
        Mirror half of the training images; if None, those in colour.

    Raises
    ------
    InputError
        If a length is out of range.
    """

    size: int | None = None
    resize: int | None = None
    mean: Sequence[float] | None = None
    deviation: Sequence[float] | None = None
    mirrored: bool | None = None

    def __post_init__(self) -> None:
        check_range(self.side, 1, MAX_SIZE, "size")
        if self.resize is not None:
            check_range(self.resize, self.side, MAX_SIZE, "resize")

    @property
    def side(self) -> int:
        """Height and width of the images of folders [pixels]."""
        return 224 if self.size is None else self.size

    def pixels(self, channels: int) -> Pixels:
        """Return the normalisation of images with so many channels.

        Raises
        ------
        InputError
            If mean or deviation has another number of channels, or is out of range.
        """
        mean, deviation = IMAGENET if channels == 3 else ((number,) * channels for number in OTHER)
        return Pixels(_for_all("mean", self.mean, mean), _for_all("deviation", self.deviation, deviation))

    def mirrors(self, channels: int) -> bool:
        """Return whether training images with so many channels are mirrored."""
        return channels == 3 if self.mirrored is None else self.mirrored


def _for_all(what: str, given: Sequence[float] | None, default: tuple[float, ...]) -> tuple[float, ...]:
    """Return a number for each channel of the default."""
    if given is None:
        return default
    if len(given) not in (1, len(default)):
        count = "1 number" if len(default) == 1 else f"1 or {len(default)} numbers"
        raise InputError(f"{what} must have {count} for images of {len(default)} "
                         f"channel{'s' * (len(default) > 1)}, not {shown(len(given))}")
    return tuple(given) * len(default) if len(given) == 1 else tuple(given)
