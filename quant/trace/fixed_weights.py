"""Weights that layers compute from others while they run: in eval mode they are constant."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, cast

from torch import Tensor, nn
from torch.nn.utils import parametrize, prune
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

__all__ = ["computes_weights", "with_fixed_weights"]

COMPUTING = (WeightNorm, SpectralNorm, prune.BasePruningMethod)
"""Hooks of torch that compute a layer's weights before it runs."""


def computes_weights(hook: Any) -> bool:
    """Return whether a hook of a layer does nothing but compute its weights."""
    return isinstance(hook, COMPUTING)


def with_fixed_weights(model: nn.Module) -> nn.Module:
    """Return a copy of a model in eval mode whose layers hold the weights that they compute.

    Weight and spectral norms, pruning and parametrizations are gone; the weights are parameters like others.
    """
    made: dict[int, Any] = {id(value): value.detach().clone() for module in model.modules()
                            for value in vars(module).values() if isinstance(value, Tensor) and not value.is_leaf}
    copy = deepcopy(model, made).eval()  # what a hook has made of others cannot be copied by itself
    for module in copy.modules():
        for key, hook in list(module._forward_pre_hooks.items()):
            if computes_weights(hook):
                cast(Any, hook).remove(module)
                del module._forward_pre_hooks[key]
        if parametrize.is_parametrized(module):
            _take_own_class(module)
            for name in list(cast(nn.ModuleDict, module.parametrizations)):
                parametrize.remove_parametrizations(module, name, leave_parametrized=True)
    return copy


def _take_own_class(module: nn.Module) -> None:
    """Give a parametrized layer a class by itself: torch deletes the computed weight from that, and copies share it."""
    shared = type(module)
    members = {name: member for name, member in vars(shared).items() if name not in ("__dict__", "__weakref__")}
    module.__class__ = type(shared.__name__, shared.__bases__, members)
