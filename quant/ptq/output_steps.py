"""The step of a tensor, chosen by the error that it makes in what reads the tensor."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, fx

from quant.layers.quantized import QuantConv2d, QuantLinear
from quant.quantizers.base import ActivationQuantizer
from quant.quantizers.lsq import LSQActivation
from quant.quantizers.power_of_two import EXPONENTS, PowerOfTwoActivation
from quant.trace.calls import module_of

__all__ = ["choose_step", "readers_of"]

FACTORS = (1.0, 0.6, 0.7, 0.8, 0.9, 1.1, 1.25)
"""Factors that are tried on real steps."""
Reader = QuantConv2d | QuantLinear | None


def readers_of(graph: fx.GraphModule, node: fx.Node) -> list[Reader]:
    """Return the layers that read a value; None for anything else that does."""
    modules = [module_of(graph, user) if user.op == "call_module" else None for user in node.users]
    return [module if isinstance(module, QuantConv2d | QuantLinear) else None for module in modules]


def choose_step(quantizer: ActivationQuantizer, readers: Sequence[Reader], values: Sequence[Tensor]) -> None:
    """Choose a step near the present one and near that of least squared error.

    Parameters
    ----------
    quantizer : ActivationQuantizer
        Of a step that can be chosen; any other is only fitted.
    readers : sequence of layers, or None for others
        What reads the tensor. Errors of several readers count relative to what each puts out.
    values : sequence of Tensor
        Batches of the tensor before the quantizer.
    """
    present = quantizer.scale.detach().clone()
    quantizer.initialise(torch.cat(list(values)))
    if not isinstance(quantizer, PowerOfTwoActivation | LSQActivation):
        return
    best = quantizer.scale.detach().clone()
    factors = (1.0, 0.5, 2.0) if isinstance(quantizer, PowerOfTwoActivation) else FACTORS
    tried = torch.stack([start * factor for start in (best, present) for factor in factors]).unique()
    tried = tried[(tried > 2.0 ** EXPONENTS[0]) & (tried < 2.0 ** EXPONENTS[-1])]
    errors = []
    for step in (best, *tried):
        _set(quantizer, step)
        errors.append(_error(quantizer, readers, values))
    _set(quantizer, (best, *tried)[min(range(len(errors)), key=errors.__getitem__)])


def _set(quantizer: PowerOfTwoActivation | LSQActivation, step: Tensor) -> None:
    if isinstance(quantizer, PowerOfTwoActivation):
        quantizer.exponent.copy_(torch.frexp(step).exponent - 1)
    else:
        quantizer.load_state_dict(quantizer.state_dict() | {"step": step, "_last": step})


def _error(quantizer: ActivationQuantizer, readers: Sequence[Reader], values: Iterable[Tensor]) -> float:
    """Return the squared error in what the readers put out, as a share of that, summed over readers."""
    lost, all_of_it = [0.0] * len(readers), [0.0] * len(readers)
    with torch.no_grad():
        for value in values:
            error = quantizer(value) - value
            for place, reader in enumerate(readers):
                lost[place] += float(_through(reader, error).square().sum())
                all_of_it[place] += float(_through(reader, value).square().sum())
    return sum(part / max(whole, 1e-30) for part, whole in zip(lost, all_of_it, strict=True))


def _through(reader: Reader, value: Tensor) -> Tensor:
    """Return what a reader makes of a value, without its bias."""
    if reader is None:
        return value
    if isinstance(reader, QuantLinear):
        return value @ reader.weight.T
    return reader.convolve(value, reader.weight) - (0 if reader.bias is None else reader.bias[:, None, None])
