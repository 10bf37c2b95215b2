"""What a network ends with that the host computes from the chip's output."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

__all__ = ["Host"]


class Host(nn.Module):
    """An operator of the host, which reads an output of the chip or of another such operator.

    Parameters
    ----------
    operator : str
        Its name in reports, such as "softmax".
    compute : callable
        From Tensors to a Tensor or several.
    """

    def __init__(self, operator: str, compute: Callable[..., Any]) -> None:
        super().__init__()
        self.operator, self.compute = operator, compute

    def extra_repr(self) -> str:
        return self.operator

    def forward(self, *args: Any) -> Any:
        return self.compute(*args)
