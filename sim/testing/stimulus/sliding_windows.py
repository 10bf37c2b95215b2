"""Windows that slide over a map: kernels, strides, dilations and pads whose output has at least one pixel."""

from __future__ import annotations

from dataclasses import dataclass

from sim.ir.ops import Pads, Tensor, out_size
from sim.testing.stimulus.choices import Choices

__all__ = ["Window", "draw_window"]

MOST = 3
"""Largest dilation, and largest kernel by default."""
MOST_STRIDE = 4
MOST_PAD = 2
"""Of a Conv, unless its window needs more."""


@dataclass(frozen=True)
class Window:
    """How an op slides over its input."""

    kernel: tuple[int, int] = (1, 1)
    stride: int = 1
    dilation: int = 1
    pads: Pads = (0, 0, 0, 0)

    def output(self, source: Tensor) -> tuple[int, int]:
        """(height, width) of the output."""
        top, left, bottom, right = self.pads
        return (out_size(source.height, top, bottom, self.kernel[0], self.stride, self.dilation),
                out_size(source.width, left, right, self.kernel[1], self.stride, self.dilation))


def draw_window(choices: Choices, kind: str, source: Tensor, kernel: int = MOST) -> Window:
    """A window of kernels up to `kernel` for an op of this kind (`sim.testing.KINDS`) over `source`."""
    size = source.height, source.width
    if kind == "linear" or (kind == "average" and choices.chance("whole_map", 0.4)):
        return Window(size)
    if kind == "add":
        return Window()
    height, width = (choices.integer("kernel", 1, kernel) for _ in size)
    stride = choices.integer("stride", 1, MOST_STRIDE)
    dilation = choices.integer("dilation", 1, MOST) if kind != "max" else 1
    padded = choices.chance("padding", 0.5)
    (top, bottom), (left, right) = (_draw_pads(choices, extent, taps, dilation, padded, inside=kind == "max")
                                    for extent, taps in zip(size, (height, width), strict=True))
    return Window((height, width), stride, dilation, (top, left, bottom, right))


def _draw_pads(choices: Choices, size: int, kernel: int, dilation: int, padded: bool, inside: bool) -> tuple[int, int]:
    """Pads of one axis, before and after: what the window needs at least, more if `padded`."""
    needed = max(0, dilation * (kernel - 1) + 1 - size)
    most = kernel - 1 if inside else max(MOST_PAD, -(-needed // 2))
    before = choices.integer("pad", max(0, needed - most), most if padded else min(most, needed))
    least = max(0, needed - before)
    return before, choices.integer("pad", least, most if padded else least)
