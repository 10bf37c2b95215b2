"""A user's model comes in as a graph that computes what it does, or is refused by all that is in the way."""

from __future__ import annotations

from copy import deepcopy
from typing import TypeVar

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from quant.trace.agreement import UNDECIDED, check_agreement, check_repeatable, keeping_random_states
from quant.trace.checks import (
    check_finite,
    check_float,
    check_inputs,
    check_kind,
    check_runs,
    lost_by_copying,
    running_on,
)
from quant.trace.inputs import Inputs, Read, each
from quant.trace.operators import problems
from quant.trace.refusals import refuse
from quant.trace.shapes import Shapes, shape_of
from quant.trace.stage import Stage, module_of
from quant.trace.stages import Refusal, inspect
from quant.trace.tracer import is_leaf, trace
from sim.errors import InputError

__all__ = ["as_floats", "checked_stages", "read_model"]

AnyRead = TypeVar("AnyRead", Tensor, Inputs, Read)

COMPARED_IMAGES = 2
"""How many images graph and model are compared on."""


def read_model(model: nn.Module, data: Read) -> fx.GraphModule:
    """Return the graph of a copy of `model` in eval mode, without what changes nothing; shapes are noted at its nodes.

    Each layer of the copy has its own memory: tied parameters are tied no more, since the chip stores every layer's
    weights by themselves. Half precision becomes single.

    Parameters
    ----------
    model : nn.Module
        Not changed.
    data : float Tensor, shape (n, C, H, W)
        Real inputs: the model and its graph are run on the first ones and compared.

    Raises
    ------
    InputError
        With every reason there is, each with its place: what cannot be traced or has no counterpart on the chip, what
        a copy would lose, values that are not finite, a graph that computes something else than the model.
    """
    check_kind(model)
    check_float(model)
    with keeping_random_states(), torch.inference_mode(False):
        _refuse_lost(model)
        if is_leaf(model):
            raise InputError(f"the model is one {type(model).__name__} by itself; put it into an nn.Sequential")
        own = _own(model)
        graph = trace(deepcopy(own))
        check_inputs(graph, data)
        images = as_floats(data[:COMPARED_IMAGES], own)
        cannot_run = _run(own, graph, data, images)
        found, reasons = _inspected(graph)
        refuse([*reasons, *cannot_run])
        _check_any(found)
        check_finite(graph)
        check_repeatable(own, images)
        check_agreement(own, graph, images)
    _drop_identities(graph)
    return graph


def checked_stages(graph: fx.GraphModule) -> tuple[Stage, ...]:
    """Return the stages of a graph whose shapes are noted; every option of a layer has its counterpart on the chip.

    Raises
    ------
    InputError
        With every reason why not, each with its place.
    """
    found, reasons = _inspected(graph)
    refuse(reasons)
    _check_any(found)
    return found


def as_floats(data: AnyRead, model: nn.Module) -> AnyRead:
    """Return `data` in the precision of the model's parameters, at least single."""
    kinds = {tensor.dtype for tensor in (*model.parameters(), *model.buffers()) if tensor.is_floating_point()}
    return data.to(torch.float64 if torch.float64 in kinds or (not kinds and data.dtype is torch.float64)
                   else torch.float32)


def _refuse_lost(model: nn.Module) -> None:
    """Refuse what a copy would lose, and what else can be seen without running the model."""
    lost = lost_by_copying(model)
    if not lost:
        return
    try:
        graph = trace(deepcopy(model).eval())
    except InputError as error:
        refuse([*lost.values(), str(error)])
    except Exception:  # a pruned layer, for one, cannot be copied
        refuse(lost.values())
    for path in lost:
        for node in graph.graph.find_nodes(op="call_module", target=path):
            node.replace_all_uses_with(node.args[0])
            graph.graph.erase_node(node)
    refuse([*lost.values(), *_inspected(graph)[1]])


def _own(model: nn.Module) -> nn.Module:
    """Return a copy in eval mode, at least in single precision, whose layers share no memory."""
    try:
        copy = deepcopy(model).eval()
    except Exception as error:  # of the user's own attributes, with errors of any kind
        reason = str(error).strip().partition("\n")[0]
        raise InputError(f"the model cannot be copied: {type(error).__name__}: {reason}") from error
    for module in copy.modules():
        for name, parameter in list(module.named_parameters(recurse=False, remove_duplicate=False)):
            setattr(module, name, nn.Parameter(_widened(parameter), parameter.requires_grad))
        for name, buffer in list(module.named_buffers(recurse=False, remove_duplicate=False)):
            setattr(module, name, _widened(buffer))
    kinds = {tensor.dtype: name for name, tensor in copy.state_dict().items() if tensor.is_floating_point()}
    if len(kinds) > 1:
        listed = " and ".join(f"{kind} ('{name}')" for kind, name in kinds.items())
        raise InputError(f"the model mixes {listed}; make it one by model.float()")
    return copy


def _widened(tensor: Tensor) -> Tensor:
    """Return a contiguous copy, halves in single precision."""
    own = tensor.detach().clone(memory_format=torch.contiguous_format)
    return own.float() if own.is_floating_point() and own.dtype.itemsize < torch.float32.itemsize else own


def _run(model: nn.Module, graph: fx.GraphModule, data: Read, images: Read) -> list[str]:
    """Note the shapes of a graph; why that is not possible, if it is not."""
    try:
        check_runs(model, as_floats(data, model))
    except InputError as error:
        return [str(error)]
    try:
        with running_on(images):
            Shapes(graph).run(*each(images.clone()))
    except InputError as error:
        reason = str(error.__cause__).strip().partition("\n")[0]
        return [f"the traced graph does not run where the model does ({reason}); {UNDECIDED}"]
    return []


def _inspected(graph: fx.GraphModule) -> tuple[tuple[Stage, ...], list[str]]:
    """Return the stages, and everything that is wrong with them, in the order in which the graph runs."""
    found, refusals = inspect(graph)
    order = {node: place for place, node in enumerate(graph.graph.nodes)}
    wrong = [*refusals, *(Refusal(stage.compute, text) for stage in found for text in problems(graph, stage))]
    return found, [reason for _, reason in sorted(wrong, key=lambda refusal: order[refusal.node])]


def _check_any(found: tuple[Stage, ...]) -> None:
    """Refuse a model that only passes on what it reads."""
    if all(stage.kind == "input" for stage in found):
        raise InputError("the model must compute something; its output is its input")


def _drop_identities(graph: fx.GraphModule) -> None:
    """Take out adaptive average pools whose output is their input: on the chip they would be copies."""
    for node in list(graph.graph.nodes):
        adaptive = (isinstance(module_of(graph, node), nn.AdaptiveAvgPool2d) if node.op == "call_module"
                    else node.target is functional.adaptive_avg_pool2d)
        if adaptive and shape_of(node) == shape_of(node.args[0]):
            node.replace_all_uses_with(node.args[0])
            graph.graph.erase_node(node)
    graph.delete_all_unused_submodules()
    graph.recompile()
