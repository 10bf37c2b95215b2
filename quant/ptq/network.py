"""The last pass over a power-of-two network: exponents that the whole network is better off with.

Reconstruction looks at one unit at a time. Here one exponent after another moves by one - of an output channel's
weights, of a tensor, of a residual branch - and stays where it went if the network's output is nearer to the float
network's, on the images that it was tried on and on others that only check.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from quant.calibration.host_images import HostImages, read_host_images
from quant.calibration.images import Data
from quant.convert import round_biases
from quant.frontends.read_model import read_model
from quant.layers.quantized import QuantConv2d, QuantLinear
from quant.quantizers.base import nearest_codes
from quant.quantizers.power_of_two import PowerOfTwoActivation, PowerOfTwoWeight
from quant.quantizers.strict import check_steps
from quant.trace.inputs import each
from quant.trace.outputs import tensors_of
from sim.errors import InputError

__all__ = ["Move", "move_exponents"]

FEWEST = 32
CHUNK = 32
"""Images that go through the network together."""


@dataclass(frozen=True)
class Move:
    """An exponent that moved.

    Attributes
    ----------
    quantizer : str
        Path of its quantizer.
    channel : int or None
        Of the weights; None for a tensor.
    by : int
        -1 or 1.
    before, after : float
        Divergence from the float network, on the images that the move was tried on [nats].
    """

    quantizer: str
    channel: int | None
    by: int
    before: float
    after: float


def move_exponents(quantized: fx.GraphModule, model: nn.Module, data: Data, *, trials: int = 100,
                   progress: Callable[[Move], None] | None = None) -> list[Move]:
    """Move exponents of `quantized` in place while that brings its output nearer to the float network's.

    Tensors are tried first, then the channels whose weights change least. Weights are rounded to the nearest code of
    their new step. Every other image only checks: neither half ever gets worse.

    Parameters
    ----------
    quantized : fx.GraphModule
        From `quantize(..., scheme="power_of_two")`, reconstructed or not; in eval mode.
    model : nn.Module
        The float model it came from, in eval mode.
    data : float Tensor, shape (n, C, H, W), uint8 if the input is pixels; or an iterable of such batches
        At least 32 inputs, as for `quantize`; no labels are needed. They are read once and kept as the host's codes.
    trials : int, at least 0
        Moves that are tried, each two passes over the images.
    progress : callable, optional
        Called after each move that stays.

    Returns
    -------
    list of Move

    Raises
    ------
    InputError
        If there are too few images, they are not finite or are no inputs of `quantized`, or `trials` is negative.
    EngineError
        If a step of `quantized` is no power of two.
    """
    images = read_host_images(quantized, data)
    check_steps(quantized)
    if len(images) < FEWEST:
        raise InputError(f"moving exponents takes at least {FEWEST} images, not {len(images)}")
    if trials < 0:
        raise InputError(f"trials must be at least 0, not {trials}")
    exact = read_model(model, images.values(slice(1)))
    halves = [_Half(images, exact, torch.arange(start, len(images), 2)) for start in (0, 1)]
    found: list[Move] = []
    losses = [half.divergence(quantized) for half in halves]
    for (name, channel, by), _ in zip(_moves(quantized), range(trials), strict=False):
        undo = _apply(quantized, name, channel, by)
        tried = halves[0].divergence(quantized)
        checked = halves[1].divergence(quantized) if tried < losses[0] else losses[1]
        if tried < losses[0] and checked < losses[1]:
            found.append(Move(name, channel, by, losses[0], tried))
            losses = [tried, checked]
            if progress is not None:
                progress(found[-1])
        else:
            undo()
    round_biases(quantized)
    return found


class _Half:
    """Every other image, and what the float network says of it."""

    def __init__(self, images: HostImages, model: nn.Module, which: Tensor) -> None:
        self.images, self.parts = images, which.split(CHUNK)
        self.wanted = self._log_shares(model)

    def divergence(self, quantized: nn.Module) -> float:
        """Return the mean Kullback-Leibler divergence from the float network's [nats], summed over the outputs."""
        return sum(float(functional.kl_div(found, wanted, reduction="batchmean", log_target=True))
                   for found, wanted in zip(self._log_shares(quantized), self.wanted, strict=True))

    def _log_shares(self, model: nn.Module) -> list[Tensor]:
        """Return the logarithms of the shares of each output's elements, for all images."""
        with torch.no_grad():
            parts = [[output.flatten(1).log_softmax(1) for output in tensors_of(model(*each(self.images.values(part))))]
                     for part in self.parts]
        return [torch.cat(of_output) for of_output in zip(*parts, strict=True)]


def _moves(quantized: fx.GraphModule) -> Iterator[tuple[str, int | None, int]]:
    """Yield every move of one exponent, in the order in which they are tried."""
    given = {str(user.target) for start in quantized.graph.find_nodes(op="placeholder") for user in start.users}
    for name, module in quantized.named_modules():
        if isinstance(module, PowerOfTwoActivation) and name not in given:
            yield from ((name, None, by) for by in (-1, 1))
    changes = [(change, name, channel, by) for name, layer in quantized.named_modules()
               if isinstance(layer, QuantConv2d | QuantLinear) for by in (-1, 1)
               for channel, change in enumerate(_changes(layer, by))]
    yield from ((f"{name}.weight_quantizer", channel, by) for _, name, channel, by in sorted(changes))


def _changes(layer: QuantConv2d | QuantLinear, by: int) -> list[float]:
    """Return how much the weights of each channel change when its exponent moves, as a share of their square."""
    weight = layer.weight.detach().flatten(1)
    quantizer = layer.weight_quantizer
    step = quantizer.scale[:, None] * 2.0**by
    moved = nearest_codes(weight / step, quantizer.levels) * step
    largest = weight.abs().amax(1, keepdim=True)
    unit = torch.where(largest > 0, largest, 1.0)
    share = ((moved - weight) / unit).square().sum(1) / (weight / unit).square().sum(1)
    return share.nan_to_num(nan=0.0).tolist()


def _apply(quantized: fx.GraphModule, name: str, channel: int | None, by: int) -> Callable[[], None]:
    """Make a move; gives what takes it back."""
    quantizer = quantized.get_submodule(name)
    if channel is None:
        assert isinstance(quantizer, PowerOfTwoActivation)
        exponent = quantizer.exponent
        exponent += by

        def undo() -> None:
            exponent.sub_(by)

        return undo
    assert isinstance(quantizer, PowerOfTwoWeight)
    layer = quantized.get_submodule(name.removesuffix(".weight_quantizer"))
    assert isinstance(layer, QuantConv2d | QuantLinear)
    weight, before = layer.weight.data, layer.weight.data[channel].clone()
    quantizer.exponent[channel] += by
    weight[channel] = quantizer(weight)[channel]

    def undo_channel() -> None:
        quantizer.exponent[channel] -= by
        weight[channel] = before

    return undo_channel
