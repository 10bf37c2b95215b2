"""Tensors piece by piece: chains of element-wise operations whose intermediate results never leave a core's cache.

Fake quantizers are such chains, and a training step applies them to every tensor of the network. Operation by operation
each result of a large tensor goes through the memory, which takes four times as long as the arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor

__all__ = ["arranged_like", "dense", "pass_inside", "pieces"]

PIECE = 1 << 17
"""Elements of a piece on a CPU: half a megabyte in single precision. Other devices take tensors whole, since each of
their operations has to be launched."""


def dense(x: Tensor) -> Tensor:
    """Return `x`, copied if it has gaps or overlaps, so that its elements can be taken in the order of the memory."""
    return x if torch.empty_like(x).stride() == x.stride() else x.contiguous()


def arranged_like(x: Tensor, other: Tensor) -> Tensor:
    """Return `other`, copied if its elements are not in the memory as those of `x` are, which is of the same shape."""
    return other if other.stride() == x.stride() else torch.empty_like(x, dtype=other.dtype).copy_(other)


def pieces(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Return views of the same elements of each tensor, flat, one piece after another.

    Parameters
    ----------
    *tensors : Tensor
        Dense, of equal shapes and strides.
    """
    first = tensors[0]
    size = PIECE if first.device.type == "cpu" else max(first.numel(), 1)
    return zip(*(tensor.as_strided((tensor.numel(),), (1,)).split(size) for tensor in tensors), strict=True)


def pass_inside(gradient: Tensor, x: Tensor, low: float, high: float, out: Tensor) -> Tensor:
    """Write the gradient of `x.clamp(low, high)` to `out`: `gradient` where x is from low to high, 0 elsewhere."""
    ends = torch.tensor([low, high], dtype=x.dtype)
    below, above = torch.nextafter(ends, torch.tensor([-torch.inf, torch.inf], dtype=x.dtype)).tolist()
    # The gradient of hardtanh is 0 at both ends; unlike a mask and `where` it is one vectorised operation.
    backward: Any = torch.ops.aten.hardtanh_backward.grad_input
    return cast(Tensor, backward(gradient, x, below, above, grad_input=out))
