"""What a model returns: one tensor, or several in a tuple, list or dict, where None stands for nothing."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_leaves

from sim.errors import InputError

__all__ = ["first_tensor", "tensors_of"]


def tensors_of(returned: Any) -> tuple[Tensor, ...]:
    """Return the tensors that a model has returned, in order.

    Raises
    ------
    InputError
        If it has returned anything else, or nothing.

    Examples
    --------
    >>> import torch
    >>> [len(of) for of in tensors_of({"a": torch.zeros(2), "b": (torch.zeros(3), None)})]
    [2, 3]
    """
    found = tuple(value for value in tree_leaves(returned) if value is not None)
    for value in found:
        if not isinstance(value, Tensor):
            raise InputError(f"the model must return tensors, not {type(value).__name__}")
    if not found:
        raise InputError("the model must return a tensor, not nothing")
    return found


def first_tensor(returned: Any) -> Tensor:
    """Return the first tensor that a model has returned: its logits, where it has other outputs too."""
    return tensors_of(returned)[0]
