"""Windows over maps: their pads, and how many there are, in all the ways in which ONNX says it."""

from __future__ import annotations

from dataclasses import dataclass

from quant.frontends.onnx.call import Call
from sim.errors import InputError

__all__ = ["Pads", "Windows", "windows_of"]

Pads = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Windows:
    """Windows that move over the axes after the channels.

    Attributes
    ----------
    kernel, stride, dilation : tuple of int
    pads : tuple of (before, after)
        What the source says.
    extra : tuple of int
        What its ceil mode adds after them, so that the last window is whole.
    """

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    pads: Pads
    extra: tuple[int, ...]

    @property
    def all_pads(self) -> Pads:
        """Pads with those of the ceil mode."""
        return tuple((before, after + more) for (before, after), more in zip(self.pads, self.extra, strict=True))


def windows_of(call: Call, kernel: tuple[int, ...]) -> Windows:
    """Return the windows of a convolution or a pool with this kernel.

    Raises
    ------
    InputError
        If the map has other axes, or an attribute cannot be used.
    """
    size = call.shape[2:]
    if len(size) != len(kernel) or not 1 <= len(kernel) <= 3:
        raise InputError(f"a kernel of {len(kernel)} axes reads a value of {len(call.shape)}")
    ones = (1,) * len(kernel)
    stride, dilation = call.integers("strides", ones), call.integers("dilations", ones)
    spans = [(extent - 1) * step + 1 for extent, step in zip(kernel, dilation, strict=True)]
    pads = _pads(call, size, stride, spans)
    extra = tuple(_extra(*numbers) for numbers in zip(size, stride, spans, pads, strict=True))
    return Windows(kernel, stride, dilation, pads, extra if call.attribute("ceil_mode", 0) else (0,) * len(kernel))


def _pads(call: Call, size: tuple[int, ...], stride: tuple[int, ...], spans: list[int]) -> Pads:
    kind = call.attribute("auto_pad", "NOTSET")
    if kind == "NOTSET":
        given = call.integers("pads", (0,) * 2 * len(size), 0)
        return tuple(zip(given[: len(size)], given[len(size) :], strict=True))
    if kind == "VALID":
        return ((0, 0),) * len(size)
    if kind not in ("SAME_UPPER", "SAME_LOWER"):
        raise InputError(f"auto_pad must be NOTSET, VALID, SAME_UPPER or SAME_LOWER, not {kind}")
    pads = []
    for extent, step, span in zip(size, stride, spans, strict=True):
        total = max((-(-extent // step) - 1) * step + span - extent, 0)
        less = total // 2
        pads.append((less, total - less) if kind == "SAME_UPPER" else (total - less, less))
    return tuple(pads)


def _extra(size: int, stride: int, span: int, pads: tuple[int, int]) -> int:
    """Return how much the ceil mode adds; no window begins in it or in the pads before it."""
    whole = size + sum(pads)
    last = -(-(whole - span) // stride)
    if last * stride >= size + pads[0]:
        last -= 1
    return max(last * stride + span - whole, 0)
