"""How much errors in the outputs of a layer matter to the network's predictions, alone and together.

To second order the predictions diverge by half of e' F e for an error e in what a layer puts out at some position, with
the Fisher information F of these outputs. Its mean over positions and images says which errors cancel further on: the
rounding of one output channel can then make up for that of others (K-FAC: Martens and Grosse, ICML 2015, arXiv
1503.05671; for rounding: Tseng et al., "Model-Preserving Adaptive Rounding", 2025, arXiv 2505.22988).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, fx

from quant.calibration.prefix import pieces
from quant.ptq.second_order import damped
from quant.stages.stage import Stage
from quant.trace.inputs import Read, each
from quant.trace.outputs import tensors_of
from sim.jit.compiled_loop import compiled

__all__ = ["fisher_of_outputs", "guided"]

IMAGES = 256
"""Images that gradients are taken of, at most."""
DAMPING = 0.3
"""Share of the mean Fisher information that is added to that of each channel, because images are few."""
SWEEPS = 2


def fisher_of_outputs(graph: fx.GraphModule, found: Iterable[Stage], data: Read) -> dict[str, Tensor]:
    """Return the mean Fisher information of what each layer's activation reads, by the layer's path.

    The gradients of the logits are those of random signs (as in `quant.bits.sensitivities`).

    Parameters
    ----------
    graph : fx.GraphModule
        Without quantizers, in eval mode.
    found : iterable of Stage
        Stages of it, each with a layer.
    data : Tensor or Inputs
        What the graph reads.

    Returns
    -------
    dict of str to float64 Tensor, shape (channels, channels)
    """
    totals: dict[str, Tensor] = {}
    generator = torch.Generator().manual_seed(0)
    paths = {str(stage.norm or stage.compute.target): str(stage.compute.target) for stage in found}

    def watch(path: str) -> Any:
        def see(module: Any, args: Any, output: Tensor) -> None:
            output.register_hook(lambda grad: add(path, grad))
        return see

    def add(path: str, grad: Tensor) -> None:
        rows = grad.flatten(2).transpose(1, 2).flatten(0, 1) if grad.ndim > 2 else grad
        totals[path] = totals.get(path, 0.0) + (rows.T @ rows).double()

    hooks = [graph.get_submodule(name).register_forward_hook(watch(path)) for name, path in paths.items()]
    some = torch.arange(0, len(data), max(len(data) // IMAGES, 1))[:IMAGES]
    try:
        for which in pieces(graph.graph.nodes, len(some)):
            read = data[some[which]]
            with torch.enable_grad():
                given = [tensor.detach().clone().requires_grad_() for tensor in each(read)]
                logits = tensors_of(graph(*given))[0].flatten(1)
                torch.autograd.grad(logits, given, _informative(logits.detach(), generator), allow_unused=True)
    finally:
        for hook in hooks:
            hook.remove()
    return totals


def _informative(logits: Tensor, generator: torch.Generator) -> Tensor:
    """Return gradients whose expected outer product is the Fisher information of the logits."""
    root = logits.softmax(1).sqrt()
    signs = torch.randint(2, root.shape, generator=generator).to(root) * 2 - 1
    drawn = root * signs
    return drawn - root.square() * drawn.sum(1, keepdim=True)


def guided(values: Tensor, rows: Tensor, scales: Tensor, moments: Tensor, fisher: Tensor, levels: range) -> Tensor:
    """Return weights on their grids, each the best one beside all others for the predictions.

    Parameters
    ----------
    values, rows : float64 Tensor, shape (r, n)
        On their grids; what they stand for.
    scales : float64 Tensor, shape (r,)
    moments : float64 Tensor, shape (n, n)
        Damped.
    fisher : float64 Tensor, shape (r, r)
    levels : range
    """
    found = values.contiguous().numpy().copy()
    metric = damped(fisher[None], DAMPING)[0].numpy()
    for _ in range(SWEEPS):
        _sweep(found, rows.contiguous().numpy(), scales.numpy(), moments.contiguous().numpy(), metric,
               float(levels[0]), float(levels[-1]))
    return torch.from_numpy(found)


@compiled
def _sweep(found: Any, rows: Any, scales: Any, moments: Any, metric: Any, low: float, high: float) -> None:
    channels, count = found.shape
    for channel in range(channels):
        felt = rows[channel] * 0.0
        for other in range(channels):
            share = metric[channel, other]
            for place in range(count):
                felt[place] += share * (found[other, place] - rows[other, place])
        slope = felt * 0.0
        for place in range(count):
            for at in range(count):
                slope[at] += felt[place] * moments[place, at]
        for place in range(count):
            best = found[channel, place] - slope[place] / (metric[channel, channel] * moments[place, place])
            code = best / scales[channel] + 0.5
            code = min(max(code // 1.0, low), high)
            change = code * scales[channel] - found[channel, place]
            if change != 0.0:
                found[channel, place] += change
                for at in range(count):
                    slope[at] += metric[channel, channel] * change * moments[place, at]
