"""Where in a quantized model the bits of each layer live, and what they cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import nn

from quant.layers import QuantConv2d, QuantLinear
from quant.quantizers import ActivationQuantizer
from sim.cost_table import CostTable
from sim.errors import InputError
from sim.program import Pool, Program

__all__ = ["BUDGETS", "Site", "budget_tables", "sites", "ties"]

BUDGETS = ("latency_cycles", "energy_pj", "weight_bytes")
"""Budgets that a cost table can answer for, per image; the last is of the whole network."""


@dataclass(frozen=True)
class Site:
    """A layer of a Program and the quantizers that choose its bits.

    Attributes
    ----------
    layer : str
        Name of the Conv record.
    module : QuantConv2d, QuantLinear or None
        Whose weights they are; None for `unit` weights, which have no choice.
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
    """The sites of a quantized model whose lowering is `program`, in its order.

    Raises
    ------
    InputError
        If the model lacks a layer or a tensor's quantizer that the Program has.
    """
    pools = {record.output: record.input for record in program.records if isinstance(record, Pool)}
    inputs = {tensor.name for tensor in program.inputs}
    found = []
    for conv in program.convs:
        tensor = conv.input
        while tensor in pools:
            tensor = pools[tensor]
        layer = None if conv.weight_format.kind == "unit" else _part(model, conv.name)
        activation = _part(model, f"{tensor}_quantizer")
        if not isinstance(layer, QuantConv2d | QuantLinear | None) or not isinstance(activation, ActivationQuantizer):
            raise InputError(f"the program is not a lowering of this model: they differ at '{conv.name}'")
        found.append(Site(conv.name, layer, tensor, activation, tensor in inputs))
    return tuple(found)


def _part(model: nn.Module, path: str) -> nn.Module:
    try:
        return model.get_submodule(path)
    except AttributeError as error:
        raise InputError(f"the program is not a lowering of this model, which has no '{path}'") from error


def ties(found: tuple[Site, ...]) -> tuple[tuple[int, ...], ...]:
    """Indices of sites that read the same tensor, where there are several."""
    readers: dict[str, list[int]] = {}
    for index, site in enumerate(found):
        readers.setdefault(site.tensor, []).append(index)
    return tuple(tuple(group) for group in readers.values() if len(group) > 1)


def budget_tables(table: CostTable, limits: Mapping[str, float]) -> dict[str, NDArray[np.number]]:
    """The cost of each budget in `limits`, shape (layers, weights, activations); fixed costs are in the first layer.

    Raises
    ------
    InputError
        If a budget is not one of BUDGETS.
    """
    known: dict[str, tuple[NDArray[np.number], float]] = {
        "latency_cycles": (table.cycles, table.fixed_cycles), "energy_pj": (table.energy_pj, table.fixed_energy_pj),
        "weight_bytes": (table.bytes, 0)}
    tables: dict[str, NDArray[np.number]] = {}
    for name in limits:
        if name not in known:
            raise InputError(f"budget must be one of {', '.join(BUDGETS)}, not {name}")
        per_layer, fixed = known[name]
        tables[name] = per_layer.copy()
        tables[name][0] += fixed
    return tables
