"""Functions of one number: on the machine a table of codes at the end of an op.

In a quantized network such a function reads the codes of an index quantizer of its own, and looks up what the function
makes of each: `value(code) = f(scale * (code - zero_point))`, computed in double precision once for every code.
Lowering writes the same numbers, rounded by the tensor's quantizer, into the table, so that no code can differ.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn

from quant.quantizers.base import ActivationQuantizer
from sim.errors import InputError

__all__ = ["Function", "QuantFunction"]

REACH = 64.0
"""Where a function's least value is looked for: activations are flat, straight or large beyond."""


class Function(nn.Module):
    """Applies a function of one number to each number.

    Parameters
    ----------
    operator : str
        Its name in reports and messages, such as "silu".
    compute : callable
        From a Tensor to a Tensor of the same shape, which must not be the same memory; differentiable.

    Examples
    --------
    >>> Function("silu", torch.nn.functional.silu).lowest
    -0.278...
    """

    def __init__(self, operator: str, compute: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.operator, self.compute = operator, compute

    def extra_repr(self) -> str:
        return self.operator

    @property
    def lowest(self) -> float:
        """The least value that comes out of numbers of a usual magnitude."""
        with torch.no_grad():
            found = self.compute(torch.linspace(-REACH, REACH, 4097, dtype=torch.float64))
        found = found[found.isfinite()]
        return float(found.min()) if len(found) else 0.0

    def exact(self, x: Tensor) -> Tensor:
        """Return the function of every number, without an index."""
        return self.compute(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.exact(x)


class QuantFunction(Function):
    """A function that is looked up by codes of `index_quantizer`; gradients pass the index and take the slope there.

    Parameters
    ----------
    function : Function
    index_quantizer : ActivationQuantizer
        Unsigned codes with a zero point.

    Attributes
    ----------
    looks_up : bool
        If False, it computes the function of every number, as in the float network.
    """

    def __init__(self, function: Function, index_quantizer: ActivationQuantizer) -> None:
        super().__init__(function.operator, function.compute)
        self.index_quantizer, self.looks_up = index_quantizer, True

    def forward(self, x: Tensor) -> Tensor:
        if not self.looks_up:
            return self.exact(x)
        read = self.index_quantizer(x)
        codes = self.index_quantizer.codes_of(read.detach()).to(torch.int64)
        values, slopes = (part.to(read.device, read.dtype) for part in self.entries())
        return cast(Tensor, _LookUp.apply(read, codes, values, slopes))

    def levels(self) -> Tensor:
        """Return the numbers that the codes of the index mean, float64, shape (2**bits,)."""
        fmt = self.index_quantizer.format
        return self.index_quantizer.values(torch.arange(fmt.low, fmt.high + 1, device=self.index_quantizer.scale.device)
                                           .reshape(1, -1)).flatten().double()

    def entries(self) -> tuple[Tensor, Tensor]:
        """Return the function's value and slope for every code of the index, float64, shape (2**bits,) each.

        Where the function has no finite value it has that of the nearest code with one, and no slope.

        Raises
        ------
        InputError
            If it has no finite value at all.
        """
        with torch.enable_grad():
            levels = self.levels().detach().requires_grad_()
            values = self.compute(levels)
            (slopes,) = (torch.autograd.grad(values.sum(), levels) if values.requires_grad
                         else (torch.zeros_like(levels),))
        values, finite = values.detach(), values.detach().isfinite()
        if not bool(finite.any()):
            raise InputError(f"function {self.operator} has no value in {float(levels[0]):g}..{float(levels[-1]):g}")
        if not bool(finite.all()):
            known = finite.nonzero().flatten()
            nearest = known[(levels.detach()[:, None] - levels.detach()[known]).abs().argmin(1)]
            values, slopes = values[nearest], torch.where(finite, slopes, 0.0)
        return values, slopes.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)


class _LookUp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, read: Tensor, codes: Tensor, values: Tensor, slopes: Tensor) -> Tensor:
        ctx.save_for_backward(codes, slopes)
        return values[codes]

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        codes, slopes = ctx.saved_tensors
        return grads[0] * slopes[codes], None, None, None
