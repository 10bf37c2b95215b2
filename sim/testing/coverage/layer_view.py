"""Say what an op of a Program does in a run, on any machine, in the words of the coverage bins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sim.ir.ops import Conv, Layer, Op, Pool, Tensor
from sim.ir.program import Program
from sim.testing.coverage.conv_values import ConvValues, conv_values

__all__ = ["Codes", "LayerView", "layer_views"]

Codes = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class LayerView:
    """An op in its Program.

    Attributes
    ----------
    program : Program
    index : int
        Of the op.
    codes : mapping of str to int32 array, shape (N, channels, height, width)
        Of every tensor.
    """

    program: Program
    index: int
    codes: Mapping[str, Codes]

    @property
    def op(self) -> Op:
        """The op."""
        return self.program.ops[self.index]

    @cached_property
    def source(self) -> Tensor:
        """The input of the op."""
        return self.program.tensor(self.op.input)

    @property
    def read(self) -> Tensor:
        """What the op reads of its input: of a layer perhaps only some of its parts."""
        return self.source.of_run(self.op.input_parts) if isinstance(self.op, Layer) else self.source

    @property
    def read_codes(self) -> Codes:
        """The codes of what the op reads."""
        run = self.op.input_parts if isinstance(self.op, Layer) else None
        return self.codes[self.source.name][:, self.source.run_slice(run)]

    @cached_property
    def target(self) -> Tensor:
        """The output of the op."""
        return self.program.tensor(self.op.output)

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the map that a Conv or Pool computes."""
        assert isinstance(self.op, Layer)
        return self.op.map_size(self.source)

    @property
    def kind(self) -> str:
        """dense, depthwise, average, gate, add, copy, max, Load or Store."""
        op = self.op
        if isinstance(op, Pool):
            return "max"
        if not isinstance(op, Conv):
            return type(op).__name__
        if op.weight_format.kind != "unit":
            return "depthwise" if op.depthwise else "dense"
        if op.kernel != (1, 1):
            return "average"
        return "gate" if op.gate is not None else "add" if op.residual else "copy"

    @cached_property
    def values(self) -> ConvValues:
        """The numbers of the run, of a Conv."""
        assert isinstance(self.op, Conv)
        return conv_values(self.program, self.op, self.codes)

    @property
    def as_conv(self) -> Conv | None:
        """The op, if it is a Conv."""
        return self.op if isinstance(self.op, Conv) else None


def layer_views(program: Program, codes: Mapping[str, Codes]) -> list[LayerView]:
    """Return a view of every op, given the codes of every tensor in a run."""
    return [LayerView(program, index, codes) for index in range(len(program.ops))]
