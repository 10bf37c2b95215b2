"""Images to calibrate on, read once, batch by batch, and kept as the codes that the host gives."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor

from quant.calibration.stored import Stored, StoredInputs, stored
from quant.data.pixels import Pixels, as_values
from quant.quantizers.base import ActivationQuantizer
from quant.quantizers.pixel import PixelActivation
from quant.trace.checks import check_data
from quant.trace.inputs import Inputs, Read, each
from sim.errors import InputError
from sim.io.bounds import listed

__all__ = ["Data", "batches", "read_images", "read_values", "readers"]

Data = Tensor | Mapping[str, Tensor] | Iterable[Any]
"""Images, or batches of images such as a `DataLoader` gives: tensors, or tuples and lists that begin with one. For a
model of several inputs a tuple of tensors or a mapping of names to tensors takes the place of one."""

FIRST = 2
"""How many images are given back as they are, to try the model on."""

ReadBatch = Callable[[Any, str], Tensor]
"""Returns a batch of images as finite floats; the second argument is what an error calls it."""


def batches(data: Data, reads: Mapping[str, ReadBatch]) -> Iterator[Read]:
    """Yield the batches of `data` one after another, each tensor read in the way of its input.

    Parameters
    ----------
    data : Tensor, or iterable of batches, which may be tuples that begin with a Tensor
        For several inputs a tuple of one Tensor for each, or a mapping of their names to these; or an iterable of
        batches that are such mappings or begin with such tensors.
    reads : mapping of str to callable
        By the names of the inputs.

    Raises
    ------
    InputError
        If there are no batches, or images of several shapes.
    """
    if not isinstance(data, Tensor | Mapping | Iterable):
        raise InputError(f"data must be a tensor, or an iterable of batches such as a DataLoader, not "
                         f"{type(data).__name__}")
    if _is_batch(data, len(reads)):
        yield _read(data, reads, "data")
        return
    shapes = None
    for number, batch in enumerate(cast(Iterable[Any], data)):
        images = _read(batch, reads, f"batch {number} of data")
        found = [tuple(tensor.shape[1:]) for tensor in each(images)]
        if shapes is not None and found != shapes:
            now, before = (" and ".join(map(str, of)) for of in (found, shapes))
            raise InputError(f"all images must have one shape, but those of batch {number} have {now} and those before "
                             f"it {before}")
        shapes = found
        yield images
    if shapes is None:
        raise InputError("data must have at least one batch of images, but has none")


def _is_batch(data: Any, inputs: int) -> bool:
    """Return whether `data` is one batch by itself."""
    if isinstance(data, Tensor | Mapping):
        return True
    return inputs > 1 and isinstance(data, tuple) and all(isinstance(tensor, Tensor) for tensor in data)


def _read(batch: Any, reads: Mapping[str, ReadBatch], what: str) -> Read:
    """Return the tensors of a batch as the model reads them."""
    names = tuple(reads)
    if isinstance(batch, Mapping):
        if {*batch} != {*names}:
            raise InputError(f"{what} must have a tensor for {listed(names)}, which the model reads, not for "
                             f"{listed([*map(str, batch)])}")
        batch = [batch[name] for name in names]
    if len(names) == 1:
        return reads[names[0]](batch[0] if isinstance(batch, tuple | list) and batch else batch, what)
    if not isinstance(batch, tuple | list) or len(batch) < len(names):
        came = f"{len(batch)} of them" if isinstance(batch, tuple | list) else type(batch).__name__
        raise InputError(f"{what} must be a tuple of {len(names)} tensors, for {listed(names)}, or a dict of them, not "
                         f"{came}")
    found = [reads[name](tensor, f"'{name}' of {what}") for name, tensor in zip(names, batch, strict=False)]
    if len({len(tensor) for tensor in found}) > 1:
        raise InputError(f"the inputs of {what} must have equally many images, not "
                         f"{' and '.join(str(len(tensor)) for tensor in found)}")
    return Inputs(found)


def read_values(batch: Any, what: str, pixels: Pixels | None) -> Tensor:
    """Return a batch of images as finite real values; with `pixels` it may be uint8."""
    if pixels is not None and isinstance(batch, Tensor):
        if batch.dtype is not torch.uint8 and not batch.is_floating_point():
            raise InputError(f"{what} must be a tensor of floats or of pixels, which are uint8, not {batch.dtype}")
        batch = as_values(batch, pixels)
    check_data(batch, what)
    return cast(Tensor, batch)


def read_images(data: Data, quantizers: Mapping[str, ActivationQuantizer]) -> tuple[Stored | StoredInputs, Read]:
    """Return all images of `data` as codes of the inputs' quantizers, one byte each, and the first ones as they are.

    Parameters
    ----------
    data : Tensor of shape (n, C, H, W), or iterable of batches
        Read once, from its start to its end.
    quantizers : mapping of str to ActivationQuantizer
        Of the inputs by their names, 8 bits at most; images for that of pixels may be uint8.

    Raises
    ------
    InputError
        If there are no batches, images of several shapes, or a batch is not one of finite images.
    """
    first: Read | None = None
    parts: list[list[Tensor]] = []
    with torch.no_grad():
        for images in batches(data, readers(quantizers)):
            first = images[:FIRST].clone() if first is None else first
            parts.append([stored(quantizer.to(tensor.device)(tensor), quantizer).kept
                          for quantizer, tensor in zip(quantizers.values(), each(images), strict=True)])
    assert first is not None
    codes = [Stored(torch.cat(of_input), quantizer, tensor.dtype) for of_input, quantizer, tensor in zip(
        zip(*parts, strict=True), quantizers.values(), each(first), strict=True)]
    return codes[0] if len(codes) == 1 else StoredInputs(codes), first


def readers(quantizers: Mapping[str, ActivationQuantizer]) -> dict[str, ReadBatch]:
    """Return how a batch of each input is read."""
    return {name: partial(read_values, pixels=quantizer.pixels if isinstance(quantizer, PixelActivation) else None)
            for name, quantizer in quantizers.items()}
