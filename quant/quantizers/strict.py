"""Check that the steps of all quantizers are powers of two; `quant.lowering.strict` checks whole networks."""

from __future__ import annotations

import torch
from torch import nn

from quant.quantizers.base import Quantizer
from sim.errors import EngineError

__all__ = ["check_steps", "has_power_of_two_steps"]


def has_power_of_two_steps(model: nn.Module) -> bool:
    """Return whether every step of every quantizer of `model` is exactly 2**k or, mirrored, -(2**k), k whole."""
    return all(_exact(module) for module in model.modules() if isinstance(module, Quantizer))


def check_steps(model: nn.Module) -> None:
    """Refuse steps that are no powers of two; those of mirrored channels are negative.

    Raises
    ------
    EngineError
        With the first quantizer and its steps.
    """
    for name, module in model.named_modules():
        if isinstance(module, Quantizer) and not _exact(module):
            steps = module.scale.detach().flatten()[:4].tolist()
            raise EngineError(f"'{name}' has steps that are no powers of two: {steps}")


def _exact(quantizer: Quantizer) -> bool:
    mantissa, _ = torch.frexp(quantizer.scale.detach().abs())
    return bool((mantissa == 0.5).all())
