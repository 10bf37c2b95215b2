"""What a model reads: one tensor, or several of the same images."""

from __future__ import annotations

from collections.abc import Sequence
from inspect import Parameter, signature

import torch
from torch import Tensor, fx, nn

__all__ = ["Inputs", "Read", "each", "input_names", "joined"]


class Inputs:
    """Several tensors of the same images, for a model that reads them in this order.

    Parameters
    ----------
    tensors : sequence of Tensor
        At least two, with the images along the first axis.
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self.tensors = tuple(tensors)

    def __len__(self) -> int:
        return len(self.tensors[0])

    def __getitem__(self, which: Tensor | slice) -> Inputs:
        return Inputs([tensor[which] for tensor in self.tensors])

    @property
    def shape(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of all tensors."""
        return tuple(tuple(tensor.shape) for tensor in self.tensors)

    @property
    def dtype(self) -> torch.dtype:
        """Type of the first tensor."""
        return self.tensors[0].dtype

    def clone(self) -> Inputs:
        """Return copies."""
        return Inputs([tensor.clone() for tensor in self.tensors])

    def to(self, kind: torch.dtype) -> Inputs:
        """Return them in another type."""
        return Inputs([tensor.to(kind) for tensor in self.tensors])


Read = Tensor | Inputs


def each(data: Read) -> tuple[Tensor, ...]:
    """Return the tensors that a model is called with."""
    return data.tensors if isinstance(data, Inputs) else (data,)


def joined(parts: Sequence[Read]) -> Read:
    """Return batches as one."""
    whole = [torch.cat(tensors) for tensors in zip(*map(each, parts), strict=True)]
    return whole[0] if len(whole) == 1 else Inputs(whole)


def input_names(model: nn.Module) -> tuple[str, ...]:
    """Return the names of the tensors that a model reads: arguments without a default, or one by itself.

    >>> input_names(nn.Sequential()), input_names(nn.Bilinear(1, 1, 1))
    (('input',), ('input1', 'input2'))
    """
    if isinstance(model, fx.GraphModule):
        return tuple(str(node.target) for node in model.graph.find_nodes(op="placeholder"))
    try:
        parameters = signature(model.forward).parameters
    except (AttributeError, TypeError, ValueError):
        return ("input",)  # what this is is refused elsewhere
    needed = [name for name, parameter in parameters.items()
              if parameter.default is Parameter.empty
              and parameter.kind in (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)]
    return tuple(needed) or ("input",)
