"""Tensors of which a random part of the elements is quantized and the rest is not, in one pass over the memory.

QDrop (Wei et al., ICLR 2022, arXiv 2203.05740) needs a random number, a quantizer and a choice for every element of
every tensor at every step. Done one after another they take longer than the convolutions.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from quant.quantizers.base import ActivationQuantizer
from sim.jit.compiled_loop import compiled

__all__ = ["Mixer"]

STEPS = 256
"""A random byte decides."""


class Mixer:
    """Draws which elements stay unquantized.

    Parameters
    ----------
    drop : float, 0..1
        Their share.
    generator : torch.Generator
    """

    def __init__(self, drop: float, generator: torch.Generator) -> None:
        self.below, self.generator = round(drop * STEPS), generator

    def choose(self, quantized: Tensor, real: Tensor) -> Tensor:
        """Return `quantized` with a random part of the elements of `real`; without gradients."""
        if self.below == 0:
            return quantized
        order = _order(quantized)
        quantized, real = quantized.contiguous(memory_format=order), real.contiguous(memory_format=order)
        out = torch.empty_like(quantized)
        _choose(_flat(quantized), _flat(real), self._bytes(out).numpy(), self.below, _flat(out))
        return out

    def quantize(self, x: Tensor, quantizer: ActivationQuantizer) -> Tensor:
        """Return the values of the codes of `x`, a random part unquantized, with gradients to `x` and to a learnt step.

        Gradients are those of LSQ: straight through the rounding, none where a code is clipped, and that of the step
        divided by sqrt(elements of an image * largest code).
        """
        return cast(Tensor, _Mixed.apply(x, quantizer.scale, quantizer, self._bytes(x), self.below))

    def _bytes(self, like: Tensor) -> Tensor:
        words = torch.empty(-(-like.numel() // 8), dtype=torch.int64)
        if self.below:
            words.random_(-(2**63), None, generator=self.generator)
        return words.view(torch.uint8)[:like.numel()]


class _Mixed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, quantizer: ActivationQuantizer, kept: Tensor, below: int) -> Tensor:
        x = x.contiguous(memory_format=_order(x))
        fmt, number = quantizer.format, _flat(x).dtype.type
        numbers = (quantizer.gain, quantizer.bias + 0.5, fmt.low, fmt.high, quantizer.zero, scale)
        ctx.numbers = tuple(number(float(value)) for value in numbers)
        ctx.save_for_backward(x, kept)
        ctx.below, ctx.factor = below, (x[:1].numel() * max(fmt.high, 1)) ** -0.5
        out = torch.empty_like(x)
        _quantize(_flat(x), kept.numpy(), below, ctx.numbers, _flat(out))
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        x, kept = ctx.saved_tensors
        grad = grads[0].contiguous(memory_format=_order(x))
        out = torch.empty_like(x)
        step = _differentiate(_flat(x), kept.numpy(), ctx.below, ctx.numbers, _flat(grad), _flat(out))
        of_step = torch.tensor(step * ctx.factor, dtype=x.dtype) if ctx.needs_input_grad[1] else None
        return out, of_step, None, None, None


def _order(x: Tensor) -> torch.memory_format:
    """Return the order of axes in which `x` already lies, if it is one of the two."""
    return (torch.channels_last if x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last)
            else torch.contiguous_format)


def _flat(x: Tensor) -> Any:
    """Return the elements of `x` as they lie in memory, as an array."""
    return torch.as_strided(x.detach(), (x.numel(),), (1,)).numpy()


@compiled
def _choose(quantized: Any, real: Any, kept: Any, below: int, out: Any) -> None:
    for place in range(out.size):
        out[place] = real[place] if kept[place] < below else quantized[place]


@compiled
def _quantize(x: Any, kept: Any, below: int, numbers: Any, out: Any) -> None:
    gain, bias, low, high, zero, step = numbers
    for place in range(out.size):
        code = np.floor(x[place] * gain + bias)
        code = low if code < low else (high if code > high else code)
        out[place] = x[place] if kept[place] < below else (code - zero) * step


@compiled
def _differentiate(x: Any, kept: Any, below: int, numbers: Any, grad: Any, out: Any) -> float:
    gain, bias, low, high, zero, _ = numbers
    total = 0.0
    for place in range(out.size):
        code = np.floor(x[place] * gain + bias)
        real = kept[place] < below
        inside = (code >= low) and (code <= high)
        code = low if code < low else (high if code > high else code)
        out[place] = grad[place] if real or inside else x.dtype.type(0)
        if not real:
            total += grad[place] * ((code - zero) - (x[place] * gain if inside else x.dtype.type(0)))
    return total
