"""Where in a quantized model the bits of each layer live."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from quant.bits.budgets import stored_input
from quant.bits.moves import has_fixed_weights
from quant.layers.quantized import QuantConv2d, QuantLinear
from quant.quantizers.base import ActivationQuantizer
from quant.trace.naming import quantizer_of
from sim.errors import InputError
from sim.ir.program import Program

__all__ = ["Site", "sites"]


@dataclass(frozen=True)
class Site:
    """A layer of a Program and the quantizers that choose its bits.

    Attributes
    ----------
    layer : str
        Name of the Conv op.
    module : QuantConv2d, QuantLinear or None
        Whose weights they are; None for weights that lowering makes, which have no choice.
    tensor : str
        The stored tensor that the layer reads, possibly through max pools.
    activation : ActivationQuantizer
        Of that tensor.
    is_input : bool
        Whether the host gives the tensor, so that its bits are fixed.
    """

    layer: str
    module: QuantConv2d | QuantLinear | None
    tensor: str
    activation: ActivationQuantizer
    is_input: bool


def sites(model: nn.Module, program: Program) -> tuple[Site, ...]:
    """Return the sites of a quantized model whose lowering is `program`, in its order.

    Raises
    ------
    InputError
        If the model lacks a layer or a tensor's quantizer that the Program has.
    """
    inputs = {tensor.name for tensor in program.inputs}
    found = []
    for conv in program.convs:
        tensor = stored_input(program, conv)
        layer = None if has_fixed_weights(conv) else _part(model, conv.name)
        activation = quantizer_of(model, tensor)
        if activation is None:
            raise InputError(f"the program is not a lowering of this model, which has no '{tensor}_quantizer'")
        if not isinstance(layer, QuantConv2d | QuantLinear | None):
            raise InputError(f"the program is not a lowering of this model: they differ at '{conv.name}'")
        found.append(Site(conv.name, layer, tensor, activation, tensor in inputs))
    return tuple(found)


def _part(model: nn.Module, path: str) -> nn.Module:
    try:
        return model.get_submodule(path)
    except AttributeError as error:
        raise InputError(f"the program is not a lowering of this model, which has no '{path}'") from error
