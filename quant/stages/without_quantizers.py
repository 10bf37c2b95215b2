"""The float network that a quantized one rounds."""

from __future__ import annotations

from copy import deepcopy
from typing import cast

from torch import fx, nn
from torch.nn.utils import skip_init

from quant.layers.function import Function, QuantFunction
from quant.layers.quantized import QuantConv2d, QuantLinear
from quant.quantizers.base import Quantizer
from quant.trace.calls import module_of

__all__ = ["without_quantizers"]


def without_quantizers(quantized: fx.GraphModule) -> fx.GraphModule:
    """Return a copy of a quantized model that computes with its real weights and rounds nothing.

    It reads what the input's quantizer puts out, and shapes stay noted at its nodes.
    """
    graph = deepcopy(quantized)
    for node in list(graph.graph.nodes):
        module = module_of(graph, node) if node.op == "call_module" else None
        if isinstance(module, Quantizer):
            node.replace_all_uses_with(cast(fx.Node, node.args[0]))
            graph.graph.erase_node(node)
        elif isinstance(module, QuantConv2d | QuantLinear):
            graph.set_submodule(str(node.target), _plain(module))
        elif isinstance(module, QuantFunction):
            graph.set_submodule(str(node.target), Function(module.operator, module.compute))
    graph.delete_all_unused_submodules()
    graph.recompile()
    return graph


def _plain(layer: QuantConv2d | QuantLinear) -> nn.Conv2d | nn.Linear:
    """Return torch's own layer with the same parameters, and the same children but for the weights' quantizer."""
    plain: nn.Conv2d | nn.Linear
    if isinstance(layer, QuantConv2d):
        plain = skip_init(nn.Conv2d, layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride,
                          layer.padding, layer.dilation, layer.groups, layer.bias is not None, layer.padding_mode)
    else:
        plain = skip_init(nn.Linear, layer.in_features, layer.out_features, layer.bias is not None)
    plain.weight, plain.bias = layer.weight, layer.bias
    for name, child in layer.named_children():
        if child is not layer.weight_quantizer:
            plain.add_module(name, child)
    return plain.train(layer.training)
