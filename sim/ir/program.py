"""`Program`: an integer network, free of any machine, checked once when it is made.

A Program is an ordered list of ops over named tensors. Nothing in it is a float, and everything that an engine
could trip over - a shape, a code, a reference, an accumulator that could overflow - is refused here, so that no
engine checks again. Ops are part of this module for whoever uses `sim`; inside it they come from `sim.ir.ops`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

from sim.errors import InputError
from sim.io.bounds import listed, shown
from sim.ir.arithmetic import Arithmetic
from sim.ir.ops import (
    Conv,
    Layer,
    Load,
    Op,
    Pads,
    Pool,
    Store,
    Tensor,
    Transfer,
    accumulator_bounds,
    out_size,
    reads,
    writes,
)
from sim.ir.validate import check_program

__all__ = [
    "Conv",
    "Layer",
    "Load",
    "Op",
    "Pads",
    "Pool",
    "Program",
    "Store",
    "Tensor",
    "Transfer",
    "accumulator_bounds",
    "out_size",
    "reads",
    "writes",
]


@dataclass(frozen=True, eq=False)
class Program:
    """An integer network.

    Parameters
    ----------
    tensors : tuple of Tensor
    ops : tuple of Conv, Pool, Load or Store
        In execution order. `sim.plan.plan` adds the Loads of inputs and the Stores of outputs that are missing.
    arithmetic : Arithmetic
        Of all ops.

    Raises
    ------
    InputError
        If anything breaks the contract; the message names the op or tensor, the limit and what came.
    """

    tensors: tuple[Tensor, ...]
    ops: tuple[Op, ...]
    arithmetic: Arithmetic = field(default_factory=Arithmetic)

    def __post_init__(self) -> None:
        check_program(self)

    def __reduce__(self) -> tuple[type[Program], tuple[Any, ...]]:
        """Pickled or copied, it is made anew, and so checked anew."""
        return Program, tuple(getattr(self, item.name) for item in fields(self))

    def tensor(self, name: str) -> Tensor:
        """The tensor of that name."""
        if name not in self._tensors:
            raise InputError(f"no tensor named '{shown(name)}'; there are {listed(self._tensors)}")
        return self._tensors[name]

    @cached_property
    def _tensors(self) -> dict[str, Tensor]:
        return {tensor.name: tensor for tensor in self.tensors}

    @cached_property
    def inputs(self) -> tuple[Tensor, ...]:
        """Tensors that no op writes: the host provides them."""
        written = {writes(op) for op in self.ops}
        return tuple(t for t in self.tensors if t.name not in written)

    @cached_property
    def outputs(self) -> tuple[Tensor, ...]:
        """Tensors that no op reads: the host takes them."""
        read = {name for op in self.ops for name in reads(op)}
        return tuple(t for t in self.tensors if t.name not in read)

    @cached_property
    def convs(self) -> tuple[Conv, ...]:
        """The Conv ops, in order."""
        return tuple(op for op in self.ops if isinstance(op, Conv))
