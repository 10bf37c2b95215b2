"""What a traced graph of layers is on the machine, or why it is not."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from quant.stages.operators import problems
from quant.stages.stage import Stage
from quant.stages.stages import Refusal, inspect
from quant.trace.calls import module_of
from quant.trace.host import host_part
from quant.trace.inputs import Inputs, Read
from quant.trace.refusals import refuse
from quant.trace.shapes import shape_of
from sim.errors import InputError
from sim.io.bounds import listed

__all__ = ["as_floats", "check_any", "checked_stages", "drop_identities", "inspected"]

AnyRead = TypeVar("AnyRead", Tensor, Inputs, Read)


def checked_stages(graph: fx.GraphModule) -> tuple[Stage, ...]:
    """Return the stages of a graph whose shapes are noted; every option of a layer has its counterpart on the machine.

    Raises
    ------
    InputError
        With every reason why not, each with its place.
    """
    found, reasons = inspected(graph)
    refuse(reasons)
    check_any(graph, found)
    return found


def as_floats(data: AnyRead, model: nn.Module) -> AnyRead:
    """Return `data` in the precision of the model's parameters, at least single."""
    kinds = {tensor.dtype for tensor in (*model.parameters(), *model.buffers()) if tensor.is_floating_point()}
    return data.to(torch.float64 if torch.float64 in kinds or (not kinds and data.dtype is torch.float64)
                   else torch.float32)


def inspected(graph: fx.GraphModule) -> tuple[tuple[Stage, ...], list[str]]:
    """Return the stages, and everything that is wrong with them, in the order in which the graph runs."""
    found, refusals = inspect(graph)
    order = {node: place for place, node in enumerate(graph.graph.nodes)}
    wrong = [*refusals, *(Refusal(stage.compute, text) for stage in found for text in problems(graph, stage))]
    return found, [reason for _, reason in sorted(wrong, key=lambda refusal: order[refusal.node])]


def check_any(graph: fx.GraphModule, found: tuple[Stage, ...]) -> None:
    """Refuse a model that only passes on what it reads, to its output or to the host."""
    if any(stage.kind != "input" for stage in found):
        return
    part = host_part(graph)
    if part is None:
        raise InputError("the model must compute something; its output is its input")
    refuse(part.reasons)
    raise InputError(f"the model must compute something on the machine; all of it is the host's: "
                     f"{listed(dict.fromkeys(part.operators))}")


def drop_identities(graph: fx.GraphModule) -> None:
    """Take out adaptive average pools whose output is their input: on the machine they would be copies."""
    for node in list(graph.graph.nodes):
        adaptive = (isinstance(module_of(graph, node), nn.AdaptiveAvgPool2d) if node.op == "call_module"
                    else node.target is functional.adaptive_avg_pool2d)
        if adaptive and shape_of(node) == shape_of(node.args[0]):
            node.replace_all_uses_with(node.args[0])
            graph.graph.erase_node(node)
    graph.delete_all_unused_submodules()
    graph.recompile()
