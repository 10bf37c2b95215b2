"""What time and energy of a Conv depend on: its shape and bits, never its weights."""

from __future__ import annotations

from dataclasses import dataclass
from operator import is_
from typing import Protocol
from weakref import WeakKeyDictionary

from sim.ir.formats import Kind
from sim.ir.ops import Conv, Steps, Tensor
from sim.mapping.broadcast import ceil_div
from sim.mapping.taps_inside import taps_inside

__all__ = ["ConvShape", "Tensors", "conv_shape"]


@dataclass(frozen=True)
class ConvShape:
    """Everything about a Conv that time and energy depend on. Sizes in elements, bits in bits."""

    in_height: int
    in_width: int
    in_parts: tuple[int, ...]
    out_height: int
    out_width: int
    out_channels: int
    kernel: tuple[int, int]
    stride: Steps
    dilation: Steps
    pads: tuple[int, int, int, int]
    depthwise: bool
    weight_kind: Kind
    bits_w: int
    bits_a: int
    bits_out: int
    bits_residual: int
    terms: int
    residual_terms: int
    gated: bool = False
    residual_in_one_bank: bool = False
    index_bits: int = 0
    """Of the index of its table; 0 without one."""
    groups: int = 1
    """Of a layer that is not depthwise."""
    row_spacing: int = 1
    """Rows of the output from one row of its own map to the next."""

    @property
    def requant_terms(self) -> int:
        """Terms of an output in the requantizer: digits of M and of R, and with a gate the bits of the residual."""
        return self.terms + self.residual_terms + (self.bits_residual if self.gated else 0)

    @property
    def taps(self) -> int:
        """Kernel positions."""
        return self.kernel[0] * self.kernel[1]

    @property
    def taps_inside(self) -> int:
        """Pairs (output position, tap) whose input position lies inside the map."""
        rows, columns = (taps_inside(*numbers) for numbers in zip(
            (self.in_height, self.in_width), (self.out_height, self.out_width), self.kernel, self.stride,
            self.dilation, self.pads[:2], strict=True))
        return rows * columns

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one image, padding included."""
        return self.out_height * self.out_width * self.weights

    @property
    def weights(self) -> int:
        """Weights of the layer."""
        return self.out_channels * (1 if self.depthwise else sum(self.in_parts) // self.groups) * self.taps

    @property
    def weight_bytes(self) -> int:
        """Weights as streamed, without parameters [bytes]."""
        return ceil_div(self.weights * self.streamed_bits_w, 8)

    @property
    def streamed_bits_w(self) -> int:
        """Weight planes that are stored and streamed: none for generated `unit` weights."""
        return 0 if self.weight_kind == "unit" else self.bits_w

    @property
    def reference_rows(self) -> int:
        """1 when a reference row accumulates the plain activation sum (bipolar weights)."""
        return int(self.weight_kind == "bipolar")


class Tensors(Protocol):
    """Tensors by name: a Program, or others that stand for those of one."""

    def tensor(self, name: str) -> Tensor:
        """Return the tensor of that name."""


_known: WeakKeyDictionary[Conv, tuple[tuple[Tensor, ...], ConvShape]] = WeakKeyDictionary()
"""The shape that a Conv last had, and the tensors on which it had it."""


def conv_shape(tensors: Tensors, conv: Conv) -> ConvShape:
    """Return the shape and bits of a Conv on these tensors."""
    operands = tuple(tensors.tensor(name) for name in conv.chip_tensors)
    known = _known.get(conv)
    if known is None or not all(map(is_, known[0], operands)):
        known = _known[conv] = operands, _conv_shape(conv, operands[0], operands[-1], operands[1:-1])
    return known[1]


def _conv_shape(conv: Conv, whole: Tensor, target: Tensor, residuals: tuple[Tensor, ...]) -> ConvShape:
    source = whole.of_run(conv.input_parts)
    height, width = conv.map_size(source)
    return ConvShape(
        in_height=source.height, in_width=source.width, in_parts=source.parts,
        out_height=height, out_width=width, out_channels=conv.channels,
        kernel=conv.kernel, stride=conv.stride, dilation=conv.dilation, pads=conv.pads,
        depthwise=conv.depthwise, weight_kind=conv.weight_format.kind, bits_w=conv.weight_format.bits,
        bits_a=source.format.bits, bits_out=target.format.bits,
        bits_residual=sum(residual.format.bits for residual in residuals),
        terms=conv.terms, residual_terms=conv.residual_terms, gated=conv.gate is not None,
        residual_in_one_bank=conv.residual_broadcast == "map",
        index_bits=0 if conv.table is None else conv.table.index.bits, groups=conv.groups if conv.grouped else 1,
        row_spacing=1 if conv.lattice is None else conv.lattice.stride[0],
    )
