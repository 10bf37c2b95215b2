"""What Conv and Pool share: they slide over an input on chip and write an output on chip."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import ClassVar, Self

from sim.io.bounds import MAX_CODES, MAX_EXTENT, check_range, require, shown
from sim.ir.formats import MAX_PLANES
from sim.ir.op import OpBase, Queue
from sim.ir.residency import Residency
from sim.ir.tensor import Run, Tensor

__all__ = ["LayerBase", "Pads", "Steps", "check_footprint", "check_run", "check_whole", "map_size", "out_size"]

Pads = tuple[int, int, int, int]
"""(top, left, bottom, right)."""

Steps = tuple[int, int]
"""(vertical, horizontal)."""


def out_size(size: int, before: int, after: int, kernel: int, stride: int, dilation: int = 1) -> int:
    """Return the output extent of a sliding window along one axis (floor mode).

    >>> out_size(8, 1, 1, 3, 2)
    4
    """
    return (size + before + after - dilation * (kernel - 1) - 1) // stride + 1


@dataclass(frozen=True, eq=False)
class LayerBase(OpBase):
    """An op that computes."""

    queue: ClassVar[Queue] = Queue.COMPUTE
    keeps_codes: ClassVar[bool] = False
    """Whether its output holds codes of its input, in their format."""

    @property
    def reads(self) -> tuple[str, ...]:
        """Names of the tensors that it reads."""
        return (self.input,)

    @property
    def writes(self) -> str:
        """Name of the tensor that it writes."""
        return self.output

    @property
    def writes_lattice(self) -> bool:
        """Whether its map becomes some pixels of an output part, and not all of it."""
        return False

    @property
    def chip_tensors(self) -> tuple[str, ...]:
        """Names of the tensors whose place on chip it uses."""
        return *self.reads, self.output

    @abstractmethod
    def written_parts(self, target: Tensor) -> Sequence[int]:
        """Return the parts of its output that it writes."""

    @abstractmethod
    def map_size(self, source: Tensor) -> tuple[int, int]:
        """Return the rows and columns of the map that it computes of `source`."""

    @abstractmethod
    def on_operands(self, name: str, reads: Sequence[str], output: str, pads: Pads) -> Self:
        """Return the same layer under another name, on other tensors and with other pads."""

    def residual_rows(self, first: int, rows: int) -> tuple[int, int]:
        """Return the first row and the number of rows of the residual that some output rows take."""
        return first, rows

    def check_operands(self, tensors: Mapping[str, Tensor], residency: Residency) -> None:
        """Refuse operands that do not exist, are not on chip yet, or are too wide for an engine to read."""
        for name in self.reads:
            require(name in tensors, self.where, f"residual '{shown(name)}' is not a tensor of the program")
            residency.read(name, self.where)
            require(tensors[name].format.bits <= MAX_PLANES, self.where,
                    f"reads '{name}' of {tensors[name].format.bits} bits; engines read at most {MAX_PLANES}")


def check_run(where: str, source: Tensor, run: Run | None) -> None:
    """Refuse a run of parts that `source` does not have."""
    count = len(source.parts)
    require(run is None or (isinstance(run, tuple) and len(run) == 2 and 0 <= run[0] < run[1] <= count), where,
            f"input_parts must be two of 0..{count}, the first part and the one after the last, not {shown(run)}")


def map_size(source: Tensor, kernel: tuple[int, int], stride: Steps, dilation: Steps, pads: Pads) -> tuple[int, int]:
    """Return the rows and columns of the outputs of a window that slides over `source`."""
    top, left, bottom, right = pads
    return (out_size(source.height, top, bottom, kernel[0], stride[0], dilation[0]),
            out_size(source.width, left, right, kernel[1], stride[1], dilation[1]))


def check_footprint(where: str, source: Tensor, kernel: tuple[int, int], stride: Steps, dilation: Steps,
                    pads: Pads) -> None:
    """Refuse a kernel, stride, dilation or pads out of range, or that lead to too large a padded input."""
    for what, values in (("kernel", kernel), ("stride", stride), ("dilation", dilation)):
        require(isinstance(values, tuple) and len(values) == 2, where,
                f"{what} must be two numbers, vertical and horizontal, not {shown(values)}")
        for value in values:
            check_range(value, 1, MAX_EXTENT, f"{where}: {what}")
    require(len(pads) == 4, where, "pads must be four numbers, top, left, bottom and right")
    for pad in pads:
        check_range(pad, 0, MAX_EXTENT, f"{where}: a pad")
    top, left, bottom, right = pads
    padded = source.channels, source.height + top + bottom, source.width + left + right
    codes = prod(map(int, padded))
    require(codes <= MAX_CODES, where,
            f"'{source.name}' with its pads must have at most {MAX_CODES} codes, not {codes} in {padded}")


def check_whole(where: str, size: tuple[int, int], target: Tensor) -> None:
    """Refuse a map of (rows, columns) that is not all of `target`."""
    require(size == (target.height, target.width), where,
            f"output '{target.name}' must be {size[0]} x {size[1]}, not {target.height} x {target.width}")
