"""Products and sums along named axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_letters

import torch
from torch import Tensor

from quant.graph.ops.operator import Operator
from sim.errors import InputError

__all__ = ["Einsum", "read_equation"]


@dataclass(frozen=True)
class Einsum(Operator):
    """Multiply values whose axes have names, and sum over the axes that the result does not have.

    Attributes
    ----------
    operands : tuple of str
        A letter for each axis of each operand, the batch included.
    result : str
        The letters of the result.
    """

    operands: tuple[str, ...]
    result: str

    def compute(self, *inputs: Tensor) -> Tensor:
        """Return the sums of products."""
        return torch.einsum(f"{','.join(self.operands)}->{self.result}", *inputs)


def read_equation(equation: str, batched: Sequence[bool]) -> Einsum:
    """Return the operator that an equation such as "bi,io->bo" means.

    Parameters
    ----------
    equation : str
    batched : sequence of bool
        For each operand, whether its first axis counts the images of a batch; it is a constant otherwise.

    Raises
    ------
    InputError
        If an operand names an axis twice or leaves axes to "...", or the images of a batch do not stay apart.

    Examples
    --------
    >>> read_equation("bi, io", (True, False))
    Einsum(operands=('bi', 'io'), result='bo')
    """
    left, arrow, result = equation.replace(" ", "").partition("->")
    operands = tuple(left.split(","))
    if not arrow:
        result = "".join(sorted(letter for letter in {*left} - {","} if left.count(letter) == 1))
    if any(letter not in ascii_letters for letter in left.replace(",", "") + result):
        raise InputError(f"'{equation}' must name every axis by a letter")
    if len(operands) != len(batched) or any(len({*letters}) != len(letters) for letters in (*operands, result)):
        raise InputError(f"'{equation}' must name the axes of each operand once")
    images = {letters[:1] for letters, has_images in zip(operands, batched, strict=True) if has_images}
    (batch,) = images if len(images) == 1 else ("",)
    inside = [letters[has_images:] for letters, has_images in zip(operands, batched, strict=True)]
    if not batch or result[:1] != batch or any(batch in letters for letters in inside):
        raise InputError("it mixes the images of a batch")
    return Einsum(operands, result)
