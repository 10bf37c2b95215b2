"""Data sets of PyTorch, and pairs of arrays, as labelled images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader

from quant.data.arrays import split_of
from quant.data.image_options import ImageOptions
from quant.data.images import Images
from quant.data.pixels import PIXEL_FORMAT, Pixels
from sim.errors import InputError
from sim.io.bounds import shown
from sim.ir.formats import Format

__all__ = ["DatasetImages", "images_of"]

NETWORK_READS_PIXELS = ImageOptions(mean=(0.0,), deviation=(1.0,))
"""What floats are taken for unless something else is said: pixels of 0..1, which the network reads as they are."""
HALF_A_STEP = 0.5 / 255
"""Farthest that a float may lie from every pixel [pixels of 0..1]; beyond, rounding to one would clip."""
MAX_CHECKED = 16
"""Labels that are compared with those of the items, before a list of labels is believed."""


class DatasetImages:
    """A data set of PyTorch with a length; it satisfies `quant.data.images.Images`.

    An item is an image and its class. An image is a PIL image or pixels, uint8 of shape (H, W), (H, W, C) or (C, H, W);
    or floats of shape (C, H, W) as the network reads them, of which the pixels are computed again.

    Parameters
    ----------
    dataset
        With a length and items 0, 1, ...; random changes that it makes are drawn anew whenever an item is taken.
    options : ImageOptions
        Normalisation; of floats, the one that was applied to them.

    Raises
    ------
    InputError
        If items are not as above.
    """

    def __init__(self, dataset: Any, options: ImageOptions) -> None:
        self._dataset = dataset
        first = _image(self._item(0)[0], "item 0")
        channels = first.shape[0]
        if first.is_floating_point() and options.mean is None and options.deviation is None:
            options = NETWORK_READS_PIXELS
        self.pixels: Pixels = options.pixels(channels)
        self._shape = tuple(first.shape)
        self.labels: Tensor = self._labels()

    @property
    def format(self) -> Format:
        """Format of the codes."""
        return PIXEL_FORMAT

    @property
    def exponent(self) -> int:
        """Of no meaning: codes are pixels."""
        return 0

    def __len__(self) -> int:
        return len(self._dataset)

    def codes(self, which: Tensor | slice) -> Tensor:
        """Return the pixels of some images, uint8 of shape (n, C, H, W).

        Raises
        ------
        InputError
            If an image has another shape or type than the first one, or floats that are no pixels.
        """
        found = [self._pixels(index) for index in torch.arange(len(self))[which].tolist()]
        return torch.stack(found) if found else torch.empty((0, *self._shape), dtype=torch.uint8)

    def values(self, which: Tensor | slice) -> Tensor:
        """Return the values of the same images, float32."""
        return self.pixels.values(self.codes(which))

    def drawn(self, which: Tensor, generator: torch.Generator) -> Tensor:
        """Return the same: what is random is up to the data set."""
        return self.values(which)

    def _pixels(self, index: int) -> Tensor:
        image = _image(self._item(index)[0], f"item {index}")
        if tuple(image.shape) != self._shape:
            raise InputError(f"the image of item {index} must have shape {self._shape}, as that of item 0, not "
                             f"{tuple(image.shape)}")
        if not image.is_floating_point():
            return image
        pixels = self.pixels.codes(image[None])
        levels = (image * _column(self.pixels.deviation) + _column(self.pixels.mean)).double()
        if not bool(((levels >= -HALF_A_STEP) & (levels <= 1 + HALF_A_STEP)).all()):
            low, high = float(image.min()), float(image.max())
            raise InputError(f"the image of item {index} has floats in {low:g}..{high:g}, which are no pixels of 0..1 "
                             f"with mean {self.pixels.mean} and deviation {self.pixels.deviation}: give those that it "
                             "was normalised with")
        return pixels[0]

    def _labels(self) -> Tensor:
        """Return the classes of all items: from a list that the data set keeps, or by going through it."""
        for name in ("targets", "labels"):
            kept = getattr(self._dataset, name, None)
            if isinstance(kept, Sequence | Tensor | np.ndarray) and len(kept) == len(self):
                some = {round(at) for at in np.linspace(0, len(self) - 1, MAX_CHECKED)}
                if all(_is_label(kept[at]) and int(kept[at]) == self._label(at) for at in some):
                    return torch.tensor([int(label) for label in kept])
        return torch.tensor([self._label(index) for index in range(len(self))])

    def _label(self, index: int) -> int:
        label = self._item(index)[1]
        if not _is_label(label):
            raise InputError(f"the label of item {index} must be a whole number from 0, not {shown(label)}")
        return int(label)

    def _item(self, index: int) -> tuple[Any, Any]:
        try:
            item = self._dataset[index]
        except InputError:
            raise
        except Exception as error:  # the user's own code
            text = shown(" ".join(str(error).split()))
            raise InputError(f"item {index} of the data set raised {type(error).__name__}: {text}") from error
        if not isinstance(item, tuple | list) or len(item) != 2:
            raise InputError(f"item {index} must be an image and its class, not {type(item).__name__}")
        return item[0], item[1]


def images_of(found: Any, options: ImageOptions) -> Images:
    """Return labelled images, whatever form they have.

    Parameters
    ----------
    found
        `Images`; a data set of PyTorch with a length, or a DataLoader of one, whose data set alone counts; or a pair of
        arrays or tensors as `quant.data.arrays.split_of` takes them.
    options : ImageOptions

    Raises
    ------
    InputError
        If it is none of these.
    """
    if all(hasattr(found, name) for name in ("codes", "values", "drawn", "labels", "format", "exponent")):
        images: Images = found
        return images
    if isinstance(found, tuple | list) and len(found) == 2:
        pixels, labels = map(_array, found)
        if pixels is not None and labels is not None:
            return split_of(pixels, labels, options)
    dataset = found.dataset if isinstance(found, DataLoader) else found
    if not (hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")) or isinstance(dataset, str | dict):
        raise InputError("images must be a data set of PyTorch with a length and items, a DataLoader of one, or a pair "
                         f"of arrays, images and labels, not {type(found).__name__}")
    if not len(dataset):
        raise InputError("a data set must have at least one item, not 0")
    return DatasetImages(dataset, options)


def _array(found: Any) -> NDArray[Any] | None:
    if isinstance(found, Tensor):
        found = found.detach().cpu().numpy()
    return found if isinstance(found, np.ndarray) and found.ndim > 0 else None


def _image(found: Any, where: str) -> Tensor:
    """Return an image with its channels first."""
    if isinstance(found, Image.Image):
        found = np.array(found if found.mode in ("L", "RGB") else found.convert("RGB"))
    if isinstance(found, np.ndarray):
        found = torch.from_numpy(np.array(found))
    if not isinstance(found, Tensor) or found.ndim not in (2, 3) or not found.numel() or (
            found.dtype != torch.uint8 and not found.is_floating_point()):
        what = f"{found.dtype} of shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
        raise InputError(f"the image of {where} must be a PIL image, or uint8 or floats of shape (C, H, W), not {what}")
    if found.ndim == 2:
        return found[None]
    if found.dtype == torch.uint8 and found.shape[0] > 4 >= found.shape[2]:
        return found.permute(2, 0, 1)
    return found


def _is_label(label: Any) -> bool:
    """Return whether a label is a whole number from 0, also as a scalar of NumPy or PyTorch."""
    if isinstance(label, Tensor | np.ndarray | np.generic):
        if label.size != 1 if isinstance(label, np.ndarray | np.generic) else label.numel() != 1:
            return False
        label = label.item()
    return isinstance(label, int) and not isinstance(label, bool) and label >= 0


def _column(numbers: tuple[float, ...]) -> Tensor:
    return torch.tensor(numbers)[:, None, None]
