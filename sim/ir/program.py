"""`Program`: an integer network, free of any machine, checked once when it is made.

A Program is an ordered list of ops over named tensors. Nothing in it is a float, and everything that an engine
could trip over - a shape, a code, a reference, an accumulator that could overflow - is refused here, so that no
engine checks again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.errors import InputError
from sim.io.bounds import listed, shown
from sim.ir.arithmetic import Arithmetic
from sim.ir.formats import check_codes
from sim.ir.ops import Conv, Op
from sim.ir.tensor import Tensor
from sim.ir.validate import check_program

__all__ = ["MAX_IMAGE_CODES", "Program"]

MAX_IMAGE_CODES = 1 << 30
"""Of all tensors of a Program together: an engine that keeps every tensor, as the plain loops do, takes 4 GiB for an
image at most."""


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
        check_program(self.tensors, self.ops, self.arithmetic)

    def __reduce__(self) -> tuple[type[Program], tuple[Any, ...]]:
        """Make it anew when it is unpickled or copied, so that it is checked anew."""
        return Program, tuple(getattr(self, item.name) for item in fields(self))

    def tensor(self, name: str) -> Tensor:
        """Return the tensor of that name."""
        if name not in self._tensors:
            raise InputError(f"no tensor named '{shown(name)}'; there are {listed(self._tensors)}")
        return self._tensors[name]

    @cached_property
    def _tensors(self) -> dict[str, Tensor]:
        return {tensor.name: tensor for tensor in self.tensors}

    @cached_property
    def inputs(self) -> tuple[Tensor, ...]:
        """Tensors that no op writes: the host provides them."""
        written = {op.writes for op in self.ops}
        return tuple(t for t in self.tensors if t.name not in written)

    @cached_property
    def outputs(self) -> tuple[Tensor, ...]:
        """Tensors that no op reads: the host takes them."""
        read = {name for op in self.ops for name in op.reads}
        return tuple(t for t in self.tensors if t.name not in read)

    @cached_property
    def convs(self) -> tuple[Conv, ...]:
        """The Conv ops, in order."""
        return tuple(op for op in self.ops if isinstance(op, Conv))

    def check_inputs(self, inputs: Mapping[str, NDArray[np.integer]]) -> dict[str, NDArray[np.integer]]:
        """Refuse arrays that are not codes of its inputs, and return them in the order of `inputs`.

        The dict is the caller's own: a later change of `inputs` does not change what was checked.

        Raises
        ------
        InputError, TypeError
            As in `sim.functional.reference.simulate`.
        """
        if not isinstance(inputs, Mapping):
            raise TypeError(f"inputs must be a mapping of names to integer arrays, not {type(inputs).__name__}")
        self._check_memory()
        given = dict(inputs)
        self.check_input_names(given)
        arrays: dict[str, NDArray[np.integer]] = {}
        images = -1
        for tensor in self.inputs:
            what, codes = f"input '{tensor.name}'", given[tensor.name]
            if not isinstance(codes, np.ndarray):
                raise TypeError(f"{what} must be an integer array, not {type(codes).__name__}")
            codes = np.asarray(codes)  # of a subclass, what it holds
            tensor.check_batch(codes.shape)
            if images not in (-1, len(codes)):
                raise InputError(f"{what} must have {images} images like the others, not {len(codes)}")
            images = len(codes)
            check_codes(codes, tensor.format, what)
            arrays[tensor.name] = codes
        return arrays

    def check_input_names(self, names: Iterable[object]) -> None:
        """Refuse names that are not those of its inputs.

        Raises
        ------
        InputError
            With the names that are expected.
        """
        given, expected = {*names}, [tensor.name for tensor in self.inputs]
        if given != {*expected}:
            raise InputError(f"inputs must be {_quoted(expected)}, not {_quoted(sorted(map(shown, given)))}")

    @cached_property
    def _image_codes(self) -> int:
        return sum(prod(tensor.shape) for tensor in self.tensors)

    def _check_memory(self) -> None:
        if self._image_codes > MAX_IMAGE_CODES:
            raise InputError(f"engines take at most {MAX_IMAGE_CODES} codes an image in all tensors together, not "
                             f"{self._image_codes}")


def _quoted(names: list[str]) -> str:
    return ", ".join(f"'{name}'" for name in names) or "none"
