"""How much the loss feels an error in each quantized tensor: traces of the empirical Fisher information.

FIT (Zandonati et al., "FIT: A Metric for Model Sensitivity", ICLR 2023, arXiv 2210.08502): a small error with variance
e in every element of a tensor raises the loss by about half of e times the trace of the tensor's Fisher information,
which is the mean over samples of the summed squared gradient. Here the gradients are those that training computes
anyway: batch * sum of (gradient of the batch's mean loss)**2, averaged over steps. For activations that is the mean
over the batch's samples exactly, for weights it is when the samples' gradients are uncorrelated and average to 0, as
those of labels do that are drawn from the network's own predictions. The errors are measured: at few bits clipping
dominates and the usual uniform-noise law is wrong. That law is there to be compared with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed, nn

from quant.quantizers.base import Quantizer, sample_of
from quant.training.distributed import same_on_all

__all__ = ["Sensitivity", "expected_loss", "measured_errors", "uniform_noise_errors"]


class Sensitivity:
    """Watches quantizers while a model trains. Use it in a `with` block or call `close`.

    Parameters
    ----------
    model : nn.Module
        The batch size is the first extent of what it is called with.
    quantizers : mapping of str to Quantizer
        Those to watch. The gradient is taken of what a quantizer puts out, where its error enters the network.
    decay : float, in 0..1
        Of the exponential average over steps; 0.99 looks back about a hundred, 1 is the plain mean of all.
    scaler : torch.amp.GradScaler, optional
        That the loss is multiplied by before `backward`: its scale is divided out, and passes whose gradients are not
        finite, which it does not step by, do not count.

    Attributes
    ----------
    samples : dict of str to Tensor
        Some elements of what each quantizer last read.
    """

    def __init__(self, model: nn.Module, quantizers: Mapping[str, Quantizer], decay: float = 0.99,
                 scaler: torch.amp.GradScaler | None = None) -> None:
        self.decay, self.scaler = decay, scaler
        self.samples: dict[str, Tensor] = {}
        self._batch = 1
        self._averages = dict.fromkeys(quantizers, 0.0)
        self._counts = dict.fromkeys(quantizers, 0)
        self._hooks = [model.register_forward_pre_hook(self._see_batch)]
        self._hooks += [quantizer.register_forward_hook(self._watcher(name)) for name, quantizer in quantizers.items()]

    @property
    def traces(self) -> dict[str, float]:
        """Fisher trace of each tensor; 0 before any backward pass."""
        weights = {name: 1.0 - self.decay**count if self.decay < 1 else count for name, count in self._counts.items()}
        return {name: average / weights[name] if weights[name] else 0.0 for name, average in self._averages.items()}

    def state(self) -> dict[str, Any]:
        """Return the averages, for JSON."""
        return {"averages": dict(self._averages), "counts": dict(self._counts)}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self._averages, self._counts = dict(state["averages"]), dict(state["counts"])

    def agree(self) -> None:
        """Give processes that train together the mean of their averages and the samples of the first.

        Each has seen its own share of the batches; decisions that are to be equal need equal grounds.
        """
        if not distributed.is_initialized():
            return
        device = next((sample.device for sample in self.samples.values()), None)
        averages = torch.tensor(list(self._averages.values()), dtype=torch.float64, device=device)
        distributed.all_reduce(averages)
        averages /= distributed.get_world_size()
        self._averages = dict(zip(self._averages, averages.tolist(), strict=True))
        self.samples = {name: sample.clone() for name, sample in self.samples.items()}
        same_on_all(*self.samples.values())

    def close(self) -> None:
        """Stop watching."""
        for hook in self._hooks:
            hook.remove()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()

    def _see_batch(self, module: nn.Module, args: tuple[Tensor, ...]) -> None:
        self._batch = len(args[0])

    def _watcher(self, name: str) -> Any:
        def see_gradient(gradient: Tensor) -> None:
            scale = self.scaler.get_scale() if self.scaler is not None else 1.0
            value = self._batch * float((gradient.detach() / scale).square().sum())
            if self.scaler is not None and not isfinite(value):
                return
            share = 1.0 - self.decay if self.decay < 1 else 1.0
            self._averages[name] = self.decay * self._averages[name] + share * value
            self._counts[name] += 1

        def see_output(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
            self.samples[name] = sample_of(args[0])
            if output.requires_grad:
                output.register_hook(see_gradient)

        return see_output


def expected_loss(trace: float, errors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how much mean squared errors in a tensor raise the loss: trace times error / 2, FIT's second-order term.

    >>> expected_loss(10.0, np.array([0.5, 0.125]))
    array([2.5  , 0.625])
    """
    return 0.5 * trace * errors


def measured_errors(quantizer: Quantizer, x: Tensor, bits: Sequence[int]) -> NDArray[np.float64]:
    """Return the mean squared error of `quantizer` on `x` at each width, refitted each time; wider is never worse.

    A fit is a search over a grid, so that a wider quantizer can come out a little worse; it then counts as good as the
    narrower one. `bits` rise.
    """
    return np.minimum.accumulate([quantizer.error(x, width) for width in bits])


def uniform_noise_errors(x: Tensor, bits: Sequence[int]) -> NDArray[np.float64]:
    """Return FIT's error model at each width, uniform noise: (range of x / (2**bits - 1))**2 / 12.

    >>> uniform_noise_errors(torch.tensor([-1.0, 2.0]), (1, 2))
    array([0.75      , 0.08333333])
    """
    low, high = (float(end) for end in torch.aminmax(x.detach()))
    return np.array([((high - low) / (2**width - 1)) ** 2 / 12 for width in bits])
