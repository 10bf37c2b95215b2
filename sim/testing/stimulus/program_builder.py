"""A Program in the making: its settings, its tensors with sample codes, its ops."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sim.arch.limits import LIMITS
from sim.arch.machine import Machine
from sim.ir.arithmetic import Arithmetic
from sim.ir.formats import Format, Kind
from sim.ir.ops import Op, Tensor
from sim.ir.program import Program
from sim.mapping.activation_layout import tensor_words
from sim.testing.stimulus.choices import Choices
from sim.testing.stimulus.corner_codes import corner_codes

__all__ = ["ProgramBuilder"]

SAMPLES = 4
"""Images by which requantizers are chosen."""
LEAST_ACC_BITS = 14


class ProgramBuilder:
    """A Program in the making.

    Attributes
    ----------
    choices : Choices
    machine : Machine
        Whose widths it has, and whose memories it usually fits.
    traits : collection of str
        What it may have (`sim.testing.TRAITS`).
    tensors, ops : list
    samples : dict of str to int32 array, shape (SAMPLES, channels, height, width)
        Codes that may occur, of every tensor.
    remote : set of str
        Tensors that are never on chip: Stores wrote them.
    large : bool
        Whether tensors may be larger than the memories.
    arithmetic : Arithmetic
        Of the Program.
    """

    def __init__(self, choices: Choices, machine: Machine, traits: Collection[str]) -> None:
        self.choices, self.machine, self.traits = choices, machine, traits
        self.tensors: list[Tensor] = []
        self.ops: list[Op] = []
        self.samples: dict[str, NDArray[np.int32]] = {}
        self.remote: set[str] = set()
        wrap = self.has("wrap", 0.15)
        self.large = self.has("large", 0.1)
        narrower = not wrap and choices.chance("fewer_acc_bits", 0.3)
        self.arithmetic = Arithmetic(
            choices.integer("acc_bits", min(LEAST_ACC_BITS, machine.acc_bits), machine.acc_bits) if narrower
            else machine.acc_bits,
            choices.integer("window", min(4, machine.window), machine.window),
            choices.integer("terms", 1, machine.terms) if choices.chance("fewer_terms", 0.3) else machine.terms,
            choices.choice("rounding", machine.roundings), wrap)

    def program(self) -> Program:
        """Return the Program as built so far."""
        return Program(tuple(self.tensors), tuple(self.ops), self.arithmetic)

    def has(self, trait: str, probability: float) -> bool:
        """Decide whether to use a trait now."""
        return trait in self.traits and self.choices.chance(trait, probability)

    def widen(self, bound: int) -> None:
        """Let the accumulator hold sums up to `bound`, as far as the machine does."""
        needed = max(self.arithmetic.acc_bits, bound.bit_length() + 1)
        self.arithmetic = replace(self.arithmetic, acc_bits=min(needed, self.machine.acc_bits))

    def op_name(self) -> str:
        """Return the name of the next op."""
        return f"r{len(self.ops)}"

    def format(self, name: str) -> Format:
        """Draw a format that engines can read; `name` is that of the decision on its bits."""
        kinds: tuple[Kind, ...] = ("unsigned", "signed")
        bits = self.choices.integer(name, 1, self.machine.max_bits_a)
        plain = Format(bits, self.choices.choice("activation_kind", kinds))
        if not self.choices.chance("zero_point", 0.6):
            return plain
        return Format(plain.bits, plain.kind, self.choices.integer("zero_point", plain.low, plain.high))

    def parts(self, most: int, probability: float) -> tuple[int, ...]:
        """Channel counts of a tensor of one part, or of several with that probability."""
        count = 1 + self.choices.integer("parts", 1, LIMITS.max_parts - 1) if self.has("concat", probability) else 1
        return tuple(self.choices.integer("channels", 1, most) for _ in range(count))

    def tensor(self, height: int, width: int, parts: tuple[int, ...], fmt: Format) -> Tensor:
        """Make a tensor that is not yet part of the Program."""
        return Tensor(f"t{len(self.tensors)}", height, width, parts, fmt)

    def add(self, tensor: Tensor, samples: NDArray[np.int32] | None = None) -> Tensor:
        """Make `tensor` part of the Program, with sample codes, by default of the corners of its format."""
        self.tensors.append(tensor)
        self.samples[tensor.name] = (corner_codes(self.choices.values("samples"), tensor, SAMPLES) if samples is None
                                     else samples)
        return tensor

    def holds(self, tensor: Tensor) -> bool:
        """Tell whether four such tensors fit the memory of a column, or need not."""
        machine = self.machine
        return self.large or tensor_words(tensor, machine) <= machine.region_words * (machine.act_regions // 4)
