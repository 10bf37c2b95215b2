"""BatchNorms and constants that follow each other are one: a layer's stage has a single gain and shift per channel."""

from __future__ import annotations

from copy import deepcopy
from typing import cast

import torch
from torch import fx, nn

from quant.layers.quantized import affine_of
from quant.stages.stages import NORMS
from quant.trace.calls import module_of

__all__ = ["merge_norms"]


def merge_norms(graph: fx.GraphModule) -> None:
    """Make what alone reads a BatchNorm, and is one too, part of its gain and shift, in place.

    Otherwise the first would be folded into the layer before it and the second into what is then its stage, which the
    float network computes in another one.
    """
    for node in list(graph.graph.nodes):
        second = _norm(graph, node)
        before = node.args[0] if second is not None else None
        first = _norm(graph, before) if isinstance(before, fx.Node) and len(before.users) == 1 else None
        if second is not None and first is not None:
            graph.set_submodule(str(cast(fx.Node, before).target), _merged(first, second))
            node.replace_all_uses_with(cast(fx.Node, before))
            graph.graph.erase_node(node)
    graph.delete_all_unused_submodules()
    graph.recompile()


def _norm(graph: fx.GraphModule, node: fx.Node) -> nn.BatchNorm2d | None:
    """Return the BatchNorm that a node calls."""
    module = module_of(graph, node) if node.op == "call_module" else None
    return cast(nn.BatchNorm2d, module) if isinstance(module, NORMS) else None


def _merged(first: nn.BatchNorm2d, second: nn.BatchNorm2d) -> nn.BatchNorm2d:
    """Return a BatchNorm with the statistics of the first that computes both."""
    gain, shift = affine_of(second)
    merged, like = deepcopy(first), cast(torch.Tensor, first.running_mean)
    weight, bias = (first.weight.detach(), first.bias.detach()) if first.affine else (torch.ones(1), torch.zeros(1))
    merged.affine = True
    merged.weight, merged.bias = (nn.Parameter(numbers.to(like)) for numbers in (
        weight.double() * gain, bias.double() * gain + shift))
    return merged
