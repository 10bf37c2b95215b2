"""`Pool`: max pooling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from sim.errors import InputError
from sim.io.bounds import require, shown
from sim.ir.arithmetic import Arithmetic
from sim.ir.layer import LayerBase, Pads, Steps, check_footprint, check_run, check_whole, map_size
from sim.ir.residency import Residency
from sim.ir.tensor import Run, Tensor

__all__ = ["Pool"]


@dataclass(frozen=True)
class Pool(LayerBase):
    """Max pooling on codes; padded positions never win. What it reads and its output share parts and format.

    Parameters
    ----------
    name, input, output : str
    kernel : (kh, kw)
    stride : (vertical, horizontal)
    pads : (top, left, bottom, right)
        Each smaller than the kernel along its axis.
    input_parts : (first, after the last) or None
        Parts of the input that it reads; None: all.
    """

    kernel: tuple[int, int]
    stride: Steps = (1, 1)
    pads: Pads = (0, 0, 0, 0)
    input_parts: Run | None = None

    kind: ClassVar[str] = "pool"
    keeps_codes: ClassVar[bool] = True
    dilation: ClassVar[Steps] = (1, 1)

    def written_parts(self, target: Tensor) -> Sequence[int]:
        """Return all parts of its output."""
        return range(len(target.parts))

    def map_size(self, source: Tensor) -> tuple[int, int]:
        """Return the rows and columns of the map that it computes of `source`."""
        return map_size(source, self.kernel, self.stride, self.dilation, self.pads)

    def on_operands(self, name: str, reads: Sequence[str], output: str, pads: Pads) -> Pool:
        """Return the same layer on other tensors."""
        return replace(self, name=name, input=reads[0], output=output, pads=pads)

    def check(self, tensors: Mapping[str, Tensor], arithmetic: Arithmetic, residency: Residency) -> None:
        """Refuse a Pool that breaks a rule."""
        self.check_operands(tensors, residency)
        source, target = tensors[self.input], tensors[self.output]
        check_run(self.where, source, self.input_parts)
        read = source.of_run(self.input_parts)
        if read.parts != target.parts:
            raise InputError(f"{self.where}: output parts must be {shown(read.parts)}, not {shown(target.parts)}")
        require(source.format == target.format, self.where,
                f"output format must be {source.format}, not {target.format}")
        check_footprint(self.where, source, self.kernel, self.stride, self.dilation, self.pads)
        check_whole(self.where, self.map_size(source), target)
        for what, pad, extent in zip(("top", "left", "bottom", "right"), self.pads, self.kernel * 2, strict=True):
            require(pad < extent, self.where, f"{what} pad must be below the kernel's {extent}, not {pad}")
        residency.compute(self.output, self.written_parts(target), self.where)
