"""Activations that cut values at two ends, as layers and as functions."""

from __future__ import annotations

from math import inf
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional

from quant.layers.clamp import Clamp
from quant.trace.calls import arguments, where
from sim.errors import InputError

__all__ = ["CLAMPS", "ends_of"]

RELUS = (torch.relu, torch.relu_, functional.relu, "relu", "relu_")
CLAMPS = (*RELUS, functional.relu6, functional.hardtanh, torch.clamp, "clamp", "clamp_", torch.clip, "clip", "clip_")
"""Functions that `ends_of` knows."""


def ends_of(node: fx.Node, module: nn.Module | None) -> tuple[float, float]:
    """Return the least and the largest value that an activation lets through; `module` is the one it calls, if any.

    Raises
    ------
    InputError
        If an end is no number, or the lower one is above the upper one.
    """
    if isinstance(module, Clamp):
        return module.low, module.high
    if isinstance(module, nn.Hardtanh):
        low, high = module.min_val, module.max_val
    elif isinstance(module, nn.ReLU) or node.target in RELUS:
        low, high = 0.0, inf
    elif node.target is functional.relu6:
        low, high = 0.0, 6.0
    else:
        given, ends = arguments(node), ("min_val", "max_val") if node.target is functional.hardtanh else ("min", "max")
        none: tuple[Any, Any] = (-1.0, 1.0) if node.target is functional.hardtanh else (None, None)
        low, high = (given.get(name, other) for name, other in zip(ends, none, strict=True))
    low, high = -inf if low is None else low, inf if high is None else high
    if not isinstance(low, int | float) or not isinstance(high, int | float) or not low <= high:
        raise InputError(f"the ends of a clamp {where(node)} must be numbers, the lower one first, not {low} and "
                         f"{high}")
    return float(low), float(high)
