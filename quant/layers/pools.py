"""Max pools whose four sides are padded by numbers of their own."""

from __future__ import annotations

from math import inf

from torch import Tensor, nn
from torch.nn import functional

from sim.ir.ops import Pads

__all__ = ["PaddedMax"]


class PaddedMax(nn.Module):
    """A max pool; padded places never win.

    Parameters
    ----------
    kernel : (height, width)
    stride : (vertical, horizontal)
    pads : (top, left, bottom, right)
        Each below the kernel's size along its axis [pixels].
    """

    def __init__(self, kernel: tuple[int, int], stride: tuple[int, int], pads: Pads = (0, 0, 0, 0)) -> None:
        super().__init__()
        self.kernel, self.stride, self.pads = kernel, stride, pads

    def extra_repr(self) -> str:
        return f"kernel={self.kernel}, stride={self.stride}, pads={self.pads}"

    def forward(self, x: Tensor) -> Tensor:
        top, left, bottom, right = self.pads
        padded = functional.pad(x, (left, right, top, bottom), value=-inf) if any(self.pads) else x
        return functional.max_pool2d(padded, self.kernel, self.stride)
