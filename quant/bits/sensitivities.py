"""What each layer loses at each width, from images without labels and without training.

The loss is the divergence (KL) of the quantized network's predictions from those of the float network. `fisher`
foresees it to second order: half of the trace of the true Fisher information of a tensor times the squared error that a
width makes in it (Zandonati et al., arXiv 2210.08502). The trace takes one backward pass a batch: with p the predicted
probabilities and r random signs, the gradient of the logits is sqrt(p) * r - p * sum(sqrt(p) * r), whose expected outer
product is the Fisher information of the logits. Every image has signs of its own with mean 0, so that gradients of
different images do not add up, and the square of a batch's weight gradient is that of single images on average. Labels
drawn from the predictions would do as much, but a confident network hardly ever draws a label that tells something.

`measured` quantizes one tensor at a time and measures the divergence: slower by the number of tensors and widths, and
right where the second order is not, at 2 bits above all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn
from torch.nn import functional

from quant.bits.fit_sensitivity import Sensitivity, expected_loss, measured_errors
from quant.bits.sites import sites
from quant.calibration.host_images import read_host_images
from quant.calibration.images import Data
from quant.layers.function import QuantFunction
from quant.lowering.lower import lower
from quant.quantizers.base import SAMPLE_SIZE, Quantizer
from quant.trace.inputs import each
from quant.trace.outputs import tensors_of
from sim.errors import InputError

__all__ = ["Measurement", "SensitivityMethod"]

SensitivityMethod = Literal["fisher", "measured"]
Losses = dict[str, list[float]]


class Measurement:
    """Sensitivities of a quantized model, in steps.

    Parameters
    ----------
    model : fx.GraphModule
        From `quantize`, in eval mode, at any bits: what is not looked at runs in float. It ends as it was.
    data : float Tensor, shape (n, C, H, W), uint8 if the input is pixels; or an iterable of such batches
        All classes mixed, as for `quantize`; no labels. Images are read once and kept as the host's codes.
    bits : sequence of int, 1..8
        Widths to tell the losses of, rising.
    method : {"fisher", "measured"}
    batch : int
        Images that go through the network together.
    seed : int
        Of the random signs, and of which elements the errors are measured on.

    Attributes
    ----------
    steps : int
        How often `run` calls its progress.

    Raises
    ------
    InputError
        If the method is unknown, widths do not rise, or images or model cannot be used.
    """

    def __init__(self, model: fx.GraphModule, data: Data, bits: Sequence[int] = tuple(range(2, 9)), *,
                 method: SensitivityMethod = "fisher", batch: int = 16, seed: int = 0) -> None:
        if method not in get_args(SensitivityMethod):
            raise InputError(f"method must be {' or '.join(get_args(SensitivityMethod))}, not {method}")
        if not bits or list(bits) != sorted({*bits}):
            raise InputError(f"bits must rise, not {list(bits)}")
        if batch < 1:
            raise InputError(f"batch must be at least 1, not {batch}")
        self.images = read_host_images(model, data)
        self.model, self.bits, self.method = model, tuple(bits), method
        self.batches = torch.arange(len(self.images)).tensor_split(-(-len(self.images) // batch))
        self.sites = sites(model, lower(model, self.images.values(slice(1)), phases=False))
        self._random = torch.Generator().manual_seed(seed)
        self._tensors = {site.tensor: site.activation for site in self.sites if not site.is_input}
        self._weights = {site.layer: site.module for site in self.sites if site.module is not None}
        self.steps = len(self.batches) + len(self._tensors) + len(self._weights)

    def run(self, progress: Callable[[str], None] = lambda text: None) -> tuple[Losses, Losses]:
        """Return the expected increase of the divergence at each width: of layers' weights, and of stored tensors.

        Parameters
        ----------
        progress : callable
            Gets a text after each batch, and after each layer and tensor.

        Returns
        -------
        tuple of dict
            A loss per width [nats] by layer, and by tensor; a wider quantizer never loses more.
        """
        kept = {name: value.clone() for name, value in self.model.state_dict().items()}
        try:
            return self._run(progress)
        finally:
            self.model.load_state_dict(kept)
            self.model.zero_grad()

    def _run(self, progress: Callable[[str], None]) -> tuple[Losses, Losses]:
        watched: dict[str, Quantizer] = dict(self._tensors)
        watched |= {_of_weights(layer): module.weight_quantizer for layer, module in self._weights.items()}
        samples: dict[str, list[Tensor]] = {name: [] for name in watched}
        with self._in_float(), Sensitivity(self.model, watched, decay=1.0) as seen:
            outputs = []
            for number, which in enumerate(self.batches, 1):
                outputs.append(self._pass(which, number, progress))
                for name, sample in seen.samples.items():
                    some = torch.randint(len(sample), (SAMPLE_SIZE // len(self.batches) + 1,), generator=self._random)
                    samples[name].append(sample[some])
        if self.method == "fisher":
            def losses(name: str, quantizer: Quantizer, x: Tensor) -> NDArray[np.float64]:
                return expected_loss(seen.traces[name], measured_errors(quantizer, x, self.bits))
        else:
            def losses(name: str, quantizer: Quantizer, x: Tensor) -> NDArray[np.float64]:
                return np.minimum.accumulate([self._divergence(quantizer, x, width, outputs) for width in self.bits])
        weight: Losses = {}
        for layer, module in self._weights.items():
            weight[layer] = losses(_of_weights(layer), module.weight_quantizer, module.weight.detach()).tolist()
            progress(f"weights of '{layer}'")
        activation: Losses = {}
        for tensor, quantizer in self._tensors.items():
            activation[tensor] = losses(tensor, quantizer, torch.cat(samples[tensor])).tolist()
            progress(f"tensor '{tensor}'")
        return weight, activation

    def _pass(self, which: Tensor, number: int, progress: Callable[[str], None]) -> list[Tensor]:
        """Return the float network's outputs on a batch, after a backward pass if traces are wanted."""
        with torch.set_grad_enabled(self.method == "fisher"):
            outputs = tensors_of(self.model(*each(self.images.values(which))))
            if self.method == "fisher":
                torch.autograd.backward(outputs, [self._gradient(output.detach()) / len(which) for output in outputs])
        progress(f"images: batch {number} of {len(self.batches)}")
        return [output.detach() for output in outputs]

    def _gradient(self, output: Tensor) -> Tensor:
        """Return a random gradient to an output whose square is the curvature of its divergence."""
        half = output.softmax(1).sqrt()
        signs = torch.randint(0, 2, output.shape, generator=self._random).to(output) * 2 - 1
        return half * signs - half.square() * (half * signs).sum(1, keepdim=True)

    def _divergence(self, quantizer: Quantizer, x: Tensor, width: int, outputs: Sequence[list[Tensor]]) -> float:
        """Return the mean divergence of the network in which `quantizer` alone rounds, summed over outputs [nats]."""
        quantizer.set_bits(width, x)
        total = 0.0
        with self._in_float(quantizer), torch.no_grad():
            for which, wanted in zip(self.batches, outputs, strict=True):
                for found, output in zip(tensors_of(self.model(*each(self.images.values(which)))), wanted, strict=True):
                    total += float(functional.kl_div(found.log_softmax(1), output.log_softmax(1), reduction="sum",
                                                     log_target=True))
        return max(total, 0.0) / len(self.images)

    @contextmanager
    def _in_float(self, rounding: Quantizer | None = None) -> Iterator[None]:
        """Let all quantizers pass on what they read, except `rounding` and those of inputs, which the host rounds.

        Functions are computed, not looked up.
        """
        def pass_on(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Any:
            return args[0].view_as(args[0])

        given = {id(site.activation) for site in self.sites if site.is_input}
        hooks = [module.register_forward_hook(pass_on) for module in self.model.modules()
                 if isinstance(module, Quantizer) and module is not rounding and id(module) not in given]
        functions = [module for module in self.model.modules() if isinstance(module, QuantFunction)]
        try:
            for function in functions:
                function.looks_up = False
            yield
        finally:
            for function in functions:
                function.looks_up = True
            for hook in hooks:
                hook.remove()


def _of_weights(layer: str) -> str:
    return f"{layer}.weight"
