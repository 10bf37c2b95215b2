"""What is left to the host at the end of a network: answers, such as softmax, and what the machine does not have."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from quant.graph.layout import ZERO, Layout
from quant.graph.ops.operator import Operator

__all__ = ["Computation", "Rearranged"]


@dataclass(frozen=True, eq=False)
class Computation:
    """An operator some of whose operands are constants.

    Attributes
    ----------
    operator : Operator
    operands : tuple of Tensor or None
        The constants; None for what is given.
    """

    operator: Operator
    operands: tuple[Tensor | None, ...]

    def __call__(self, *given: Tensor) -> Tensor:
        left = iter(given)
        return self.operator.compute(*[next(left) if constant is None else constant.to(given[0].device)
                                       for constant in self.operands])


@dataclass(frozen=True, eq=False)
class Rearranged:
    """The numbers of stored images in other places.

    Attributes
    ----------
    places : int64 Tensor, the shape of an image
        Of each number in the stored image; `ZERO` for zeros.
    """

    places: Tensor

    @classmethod
    def of(cls, layout: Layout) -> Rearranged:
        """Return what makes a value with this layout."""
        return cls(torch.from_numpy(layout.places.copy()))

    def __call__(self, stored: Tensor) -> Tensor:
        places = self.places.to(stored.device).flatten()
        found = stored.flatten(1)[:, places.clamp(min=0)] * (places != ZERO)
        return found.reshape(len(stored), *self.places.shape)
