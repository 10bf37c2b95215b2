"""Several operators that together are one function of each number."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from quant.graph.ops.operator import Operator

__all__ = ["Composite"]


@dataclass(frozen=True)
class Composite(Operator):
    """A function of each number that is written out in several steps.

    Attributes
    ----------
    steps : tuple of (Operator, tuple of int or float)
        Each reads values by their number, where 0 is the input and k what step k - 1 makes, or constants, which are
        floats.

    Examples
    --------
    >>> import torch
    >>> from quant.graph.ops.elementwise import Binary, Unary
    >>> function = Composite(((Unary("exp"), (0,)), (Binary("add"), (1, 1.0)), (Unary("log"), (2,))))
    >>> function.title, function.compute(torch.zeros(1))
    ('exp+add+log', tensor([0.6931]))
    """

    steps: tuple[tuple[Operator, tuple[int | float, ...]], ...]

    def compute(self, *inputs: Tensor) -> Tensor:
        """Return the function of every number."""
        values = list(inputs)
        for operator, operands in self.steps:
            values.append(operator.compute(*[values[one] if isinstance(one, int) else values[0].new_tensor(one)
                                             for one in operands]))
        return values[-1]

    @property
    def title(self) -> str:
        """The names of its steps."""
        return "+".join(operator.title.lower() for operator, _ in self.steps)
