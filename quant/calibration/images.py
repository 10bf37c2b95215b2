"""Images to calibrate on, read once, batch by batch, and kept as the codes that the host gives."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

import torch
from torch import Tensor

from quant.calibration.stored import Stored, stored
from quant.data.pixels import Pixels, as_values
from quant.quantizers.base import ActivationQuantizer
from quant.trace.checks import check_data
from sim.errors import InputError

__all__ = ["Data", "batches", "read_images", "read_values"]

Data = Tensor | Iterable[Any]
"""Images, or batches of images such as a `DataLoader` gives: tensors, or tuples and lists that begin with one."""

FIRST = 2
"""How many images are given back as they are, to try the model on."""

ReadBatch = Callable[[Any, str], Tensor]
"""Returns a batch of images as finite floats; the second argument is what an error calls it."""


def batches(data: Data, read: ReadBatch) -> Iterator[Tensor]:
    """Yield the batches of `data` one after another, each read by `read`; a tensor is one batch.

    Raises
    ------
    InputError
        If there are no batches, or images of several shapes.
    """
    if isinstance(data, Tensor) or not isinstance(data, Iterable):
        yield read(data, "data")
        return
    shape = None
    for number, batch in enumerate(data):
        images = read(batch[0] if isinstance(batch, tuple | list) and batch else batch, f"batch {number} of data")
        if shape is not None and images.shape[1:] != shape:
            raise InputError(f"all images must have one shape, but those of batch {number} have "
                             f"{tuple(images.shape[1:])} and those before it {tuple(shape)}")
        shape = images.shape[1:]
        yield images
    if shape is None:
        raise InputError("data must have at least one batch of images, but has none")


def read_values(batch: Any, what: str, pixels: Pixels | None) -> Tensor:
    """Return a batch of images as finite real values; with `pixels` it may be uint8."""
    if pixels is not None and isinstance(batch, Tensor):
        batch = as_values(batch, pixels)
    check_data(batch, what)
    return cast(Tensor, batch)


def read_images(data: Data, quantizer: ActivationQuantizer, read: ReadBatch) -> tuple[Stored, Tensor]:
    """Return all images of `data` as codes of the input's quantizer, one byte each, and the first ones as they are.

    Parameters
    ----------
    data : Tensor of shape (n, C, H, W), or iterable of batches
        Read once, from its start to its end.
    quantizer : ActivationQuantizer
        Of the input, 8 bits at most.
    read : callable

    Raises
    ------
    InputError
        If there are no batches, images of several shapes, or a batch is not what `read` takes.
    """
    first: Tensor | None = None
    parts = []
    with torch.no_grad():
        for images in batches(data, read):
            first = images[:FIRST].clone() if first is None else first
            parts.append(stored(quantizer.to(images.device)(images), quantizer).kept)
    assert first is not None
    return Stored(torch.cat(parts), quantizer, first.dtype), first
