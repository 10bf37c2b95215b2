"""Values of a tensor for all images, kept as the codes that the machine stores where there are such."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from quant.quantizers.base import ActivationQuantizer
from quant.trace.inputs import Inputs

__all__ = ["Stored", "StoredInputs", "byte_of", "each_stored", "put", "stored"]

Which = Tensor | slice


class Stored:
    """The values of one tensor for all images.

    Parameters
    ----------
    kept : Tensor, shape (n, ...)
        Codes of `quantizer`, uint8 or int8; the values themselves where there is none.
    quantizer : ActivationQuantizer, optional
        Which made the codes; it must not change any more.
    kind : torch.dtype
        Of the values.
    """

    def __init__(self, kept: Tensor, quantizer: ActivationQuantizer | None, kind: torch.dtype) -> None:
        self.kept, self.quantizer, self.kind = kept, quantizer, kind

    def __len__(self) -> int:
        return len(self.kept)

    def values(self, which: Which = slice(None)) -> Tensor:
        """Return the values for some images, or for all, as a tensor of their own."""
        part = self.kept[which]
        if self.quantizer is None:
            return part.clone() if isinstance(which, slice) else part  # an index tensor has copied already
        return self.quantizer.values(part).to(self.kind)

    def of_kind(self, kind: torch.dtype) -> Stored:
        """Return the same codes with values of another type."""
        return Stored(self.kept, self.quantizer, kind)


class StoredInputs:
    """The codes of several inputs for all images.

    Parameters
    ----------
    each : sequence of Stored
        At least two.
    """

    def __init__(self, each: Sequence[Stored]) -> None:
        self.each = tuple(each)

    def __len__(self) -> int:
        return len(self.each[0])

    def values(self, which: Which = slice(None)) -> Inputs:
        """Return the values for some images, or for all, as tensors of their own."""
        return Inputs([part.values(which) for part in self.each])

    def of_kind(self, kind: torch.dtype) -> StoredInputs:
        """Return the same codes with values of another type."""
        return StoredInputs([part.of_kind(kind) for part in self.each])


def each_stored(images: Stored | StoredInputs) -> tuple[Stored, ...]:
    """Return what is stored of every input."""
    return images.each if isinstance(images, StoredInputs) else (images,)


def stored(values: Tensor, quantizer: ActivationQuantizer | None) -> Stored:
    """Return values that `quantizer` has put out as their codes; values that none has made, as they are.

    Examples
    --------
    >>> from quant.quantizers.power_of_two import PowerOfTwoActivation
    >>> quantizer = PowerOfTwoActivation(4, signed=False, exponent=-2)
    >>> found = stored(quantizer(torch.tensor([0.3, 1.0])), quantizer)
    >>> found.kept, found.values()
    (tensor([1, 4], dtype=torch.uint8), tensor([0.2500, 1.0000]))
    """
    if quantizer is None:
        return Stored(values, None, values.dtype)
    return Stored(quantizer.codes_of(values).to(byte_of(quantizer)), quantizer, values.dtype)


def put(whole: Tensor | None, part: Tensor, which: slice, images: int, axis: int = 0) -> Tensor:
    """Return what all images give, with what some of them give in its place; images lie one after another.

    Parameters
    ----------
    whole : Tensor, optional
        What the images before have given; None at first. It is changed in place: memory that is taken once and whole
        can be given back whole.
    part : Tensor
        What the images `which` give, equally much each.
    which : slice
    images : int
        Number of all images.
    axis : int
        Along which images lie.
    """
    count = part.shape[axis] // (which.stop - which.start)
    if whole is None:
        whole = part.new_empty((*part.shape[:axis], images * count, *part.shape[axis + 1:]))
    whole.narrow(axis, which.start * count, part.shape[axis]).copy_(part)
    return whole


def byte_of(quantizer: ActivationQuantizer) -> torch.dtype:
    """Return the type that holds a quantizer's codes."""
    return torch.uint8 if quantizer.format.low >= 0 else torch.int8
