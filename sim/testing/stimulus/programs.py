"""Draw random Programs of every kind of op."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from itertools import product

import numpy as np

from sim.arch.machine import Machine
from sim.ir.formats import Format
from sim.ir.ops import Pool, Tensor, accumulator_bounds
from sim.ir.program import Program
from sim.testing.stimulus.choices import Choices, choices_of
from sim.testing.stimulus.lattices import draw_lattices, filled_size
from sim.testing.stimulus.layers import Window, conv_fits, draw_conv, draw_run, draw_window, requantized
from sim.testing.stimulus.program_builder import ProgramBuilder
from sim.testing.stimulus.spills import spill

__all__ = ["KINDS", "TRAITS", "random_program"]

KINDS = ("dense", "linear", "depthwise", "average", "add", "gate", "max")
"""Ops that `random_program` makes unless told otherwise; it can also make `grouped` ones."""
TRAITS = ("residual", "broadcast", "concat", "slice", "bipolar", "unsigned", "unequal", "table", "wide", "wrap",
          "spill", "large")
"""What it can add: residuals, those of one pixel or one channel, tensors of several parts, ops that read some of them,
bipolar and unsigned weights, steps of windows that differ along the axes, tables where the machine has them, wide final
outputs, wrapping, tensors that the host gets and gives back, tensors that may not fit on chip."""
PARTED = ("dense", "linear", "max")
"""Kinds that read tensors of several parts."""
POINTWISE = ("add",)
"""Kinds whose window is one pixel, at all pixels."""
ON_TWO = ("add", "gate")
"""Kinds that always have a residual."""
WIDEST = 8
"""Bits of codes that engines read."""
DENSE = ("dense", "linear")
"""Kinds that read and write several parts and choose their channels."""


def random_program(source: np.random.Generator | Choices, machine: Machine, layers: int = 3,
                   kinds: Collection[str] = KINDS, traits: Collection[str] = TRAITS, extent: int = 6,
                   channels: int = 10, kernel: int = 3) -> Program:
    """Draw a Program whose widths `machine` has and whose tensors and row tiles usually fit its memories.

    Parameters
    ----------
    source : numpy.random.Generator or Choices
        Decides.
    machine : Machine
    layers : int
        Most layers; a layer that writes several parts has several ops.
    kinds, traits : collections of str
        Subsets of KINDS and TRAITS; `concat` needs dense or linear ops. There is also a trait `lattice`: several ops
        fill an output part.
    extent, channels : int
        Largest height and width of an input, and most channels of a part.
    kernel : int
        Largest height and width of a window, but of one over a whole map.

    Examples
    --------
    >>> from sim.arch.machine import load_machine
    >>> program = random_program(np.random.default_rng(0), load_machine("tiny"), kinds=["dense"], traits=[])
    >>> {type(op).__name__ for op in program.ops}
    {'Conv'}
    """
    maker = _Maker(ProgramBuilder(choices_of(source), machine, traits), kinds, extent, channels, kernel)
    count = maker.builder.choices.integer("layers", 1, layers)
    tensor, computed = maker.new_input(), False
    parted = any(kind in PARTED for kind in kinds)
    for layer in range(count):
        if layer and maker.builder.choices.chance("fresh_input", 0.1):
            tensor, computed = maker.new_input(), False
        if not maker.builder.large and maker.builder.has("spill", 0.15):
            tensor = spill(maker.builder, tensor, computed, parted)
        tensor, computed = maker.add_layer(tensor, last=layer == count - 1), True
    return maker.builder.program()


class _Maker:
    """Appends layers, each of which reads what the one before has written."""

    def __init__(self, builder: ProgramBuilder, kinds: Collection[str], extent: int, channels: int,
                 kernel: int) -> None:
        self.builder, self.kinds, self.extent, self.channels, self.kernel = builder, kinds, extent, channels, kernel

    def new_input(self) -> Tensor:
        """Add an input of the Program."""
        builder, choices = self.builder, self.builder.choices
        several = 0.2 if any(kind in DENSE for kind in self.kinds) else 0.0
        for _ in range(choices.proposals):
            height, width = (choices.integer("extent", 1, self.extent) for _ in range(2))
            parts = builder.parts(self.channels, several)
            tensor = builder.tensor(height, width, parts, builder.format("activation_bits"))
            if builder.holds(tensor):
                break
        return builder.add(tensor)

    def add_layer(self, source: Tensor, last: bool) -> Tensor:
        """Append the ops that write the next tensor; the tensor."""
        builder = self.builder
        builder.choices.begin_layer()
        run = draw_run(builder, source)
        read = source.of_run(run)
        legal = [kind for kind in self.kinds if len(read.parts) == 1 or kind in PARTED]
        for _ in range(builder.choices.proposals):
            kind = builder.choices.choice("kind", legal)
            window = Window() if kind in POINTWISE else draw_window(builder, kind, source,
                                                                    1 if kind == "gate" else self.kernel)
            size = window.output(read)
            lattices = (None,) if kind == "max" else draw_lattices(builder, size)
            target = self.new_target(kind, filled_size(lattices, size), read, last)
            places = [] if kind == "max" else list(product(range(len(target.parts)), lattices))
            convs = [replace(draw_conv(builder, kind, window, read, run, target, part), lattice=lattice,
                             name=f"r{len(builder.ops) + index}") for index, (part, lattice) in enumerate(places)]
            if builder.holds(target) and all(conv_fits(builder, conv, read) for conv in convs):
                break
        builder.add(target)
        for conv in convs:
            builder.widen(0 if builder.arithmetic.wrap else int(accumulator_bounds(conv, source.format).max()))
            wanted = kind in ON_TWO or builder.has("residual", 0.35)
            builder.ops.append(requantized(builder, conv, source, target, wanted, kind == "gate"))
        if kind == "max":
            builder.ops.append(Pool(builder.op_name(), source.name, target.name, window.kernel, window.stride,
                                      window.pads, run))
        return target

    def new_target(self, kind: str, size: tuple[int, int], source: Tensor, last: bool) -> Tensor:
        """Draw the output of this size of ops of this kind."""
        builder = self.builder
        parts = builder.parts(self.channels, 0.25) if kind in DENSE else source.parts
        if kind == "grouped" and builder.choices.chance("wider", 0.3):
            parts = (source.channels * builder.choices.integer("times", 2, 3),)
        fmt = source.format if kind == "max" else builder.format("activation_bits")
        widest = builder.arithmetic.acc_bits - 1
        if kind != "max" and last and widest > WIDEST and builder.has("wide", 0.3):
            fmt = Format(builder.choices.integer("wide_bits", WIDEST + 1, widest), fmt.kind)
        return builder.tensor(*size, parts, fmt)
