"""Photographs in one file: JPEG bytes, end to end, decoded when they are loaded."""

from __future__ import annotations

import io
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

from quant.data.pixels import Pixels
from sim.errors import InputError
from sim.ir.formats import Format

__all__ = ["PIXELS", "Pictures", "load_pictures"]

PIXELS = Pixels((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""What both networks read."""
ARRAYS = ("jpeg", "label", "offset")


@dataclass(frozen=True)
class Pictures:
    """Labelled pictures in memory, an `Images` of pixels.

    Attributes
    ----------
    stored : uint8 Tensor, shape (n, 3, H, W)
    labels : int64 Tensor, shape (n,)
    shift : int
        `drawn` mirrors every second picture, at random, and shifts each by up to so many pixels, black moving in.
    """

    stored: Tensor
    labels: Tensor
    shift: int = 0

    @property
    def pixels(self) -> Pixels:
        """What the codes mean."""
        return PIXELS

    @property
    def format(self) -> Format:
        """Format of a pixel."""
        return Format(8, "unsigned")

    @property
    def exponent(self) -> int:
        """Of no meaning for pixels."""
        return 0

    def __len__(self) -> int:
        return len(self.labels)

    def codes(self, which: Tensor | slice) -> Tensor:
        """Return pixels, uint8 of shape (n, 3, H, W)."""
        return self.stored[which]

    def values(self, which: Tensor | slice) -> Tensor:
        """Return normalised pictures, float32 of shape (n, 3, H, W)."""
        return PIXELS.values(self.stored[which])

    def drawn(self, which: Tensor, generator: torch.Generator) -> Tensor:
        """Return normalised pictures, mirrored and shifted at random."""
        pixels, most = self.stored[which], self.shift
        mirror = torch.rand(len(pixels), generator=generator) < 0.5
        pixels = torch.where(mirror[:, None, None, None], pixels.flip(3), pixels)
        down, right = torch.randint(0, 2 * most + 1, (2, len(pixels)), generator=generator)
        rows = down[:, None] + torch.arange(pixels.shape[2])
        columns = right[:, None] + torch.arange(pixels.shape[3])
        padded = functional.pad(pixels, (most, most, most, most))
        each = torch.arange(len(pixels))[:, None, None, None]
        channels = torch.arange(3)[None, :, None, None]
        return PIXELS.values(padded[each, channels, rows[:, None, :, None], columns[:, None, None, :]])

    def some(self, which: Tensor) -> Pictures:
        """Return these pictures alone."""
        return Pictures(self.stored[which], self.labels[which], self.shift)


def load_pictures(path: Path, *, shift: int = 0) -> Pictures:
    """Read a file of numpy with the arrays `jpeg` (bytes), `offset` (n + 1) and `label` (n).

    Raises
    ------
    InputError
        If the file is missing or no such file, or pictures are of different sizes.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in sorted(stored.files)}
    except FileNotFoundError:
        raise InputError(f"no pictures at '{path}'") from None
    except (OSError, ValueError) as error:
        raise InputError(f"pictures '{path}' cannot be read: {error}") from None
    if list(arrays) != list(ARRAYS):
        raise InputError(f"pictures '{path}' must hold the arrays {', '.join(ARRAYS)}, not {', '.join(arrays)}")
    jpeg, label, offset = arrays.values()
    decoded = [_decode(jpeg[start:end].tobytes()) for start, end in pairwise(offset)]
    sizes = {picture.shape for picture in decoded}
    if len(sizes) != 1 or len(decoded) != len(label):
        raise InputError(f"pictures '{path}' must be of one size and have one label each, not {len(sizes)} sizes, "
                         f"{len(decoded)} pictures and {len(label)} labels")
    return Pictures(torch.from_numpy(np.stack(decoded)), torch.from_numpy(label.astype(np.int64)), shift)


def _decode(jpeg: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(jpeg)) as picture:
        return np.ascontiguousarray(np.asarray(picture.convert("RGB")).transpose(2, 0, 1))
