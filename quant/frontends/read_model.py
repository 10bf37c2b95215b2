"""A user's model comes in as a graph that computes what it does, or is refused by all that is in the way."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, fx, nn

from quant.emit.emit import emit
from quant.frontends.aten.exported import graph_of_module
from quant.graph.graph import Graph, Input
from quant.graph.passes.normalise import normalise
from quant.stages.frontend import as_floats, check_any, drop_identities, inspected
from quant.stages.functions import functions_as_layers
from quant.stages.norms import merge_norms
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
from quant.trace.fixed_weights import with_fixed_weights
from quant.trace.inputs import Read, each, input_names
from quant.trace.refusals import refuse
from quant.trace.shapes import Shapes
from quant.trace.tracer import is_leaf, trace
from sim.errors import InputError

__all__ = ["read_model"]

COMPARED_IMAGES = 2
"""How many images graph and model are compared on."""
BATCHES = (13, 17, 19, 23)
"""Of the images that a model is exported with: one that is none of their own sizes."""


def read_model(model: nn.Module, data: Read) -> fx.GraphModule:
    """Return the graph of a copy of `model` in eval mode, without what changes nothing; shapes are noted at its nodes.

    A model of layers that the machine has is taken as torch.fx traces it, with its own modules. Of any other
    torch.export lists what it computes, which is made of such layers again. Each layer of the copy has its own memory:
    tied parameters are tied no more, since the machine stores every layer's weights by themselves. Half precision
    becomes single.

    Parameters
    ----------
    model : nn.Module
        Not changed.
    data : float Tensor, shape (n, ...)
        Real inputs: the model and its graph are run on the first ones and compared.

    Raises
    ------
    InputError
        With every reason there is, each with its place: what cannot be traced or has no counterpart on the machine,
        what a copy would lose, values that are not finite, a graph that computes something else than the model.
    """
    check_kind(model)
    check_float(model)
    with keeping_random_states(), torch.inference_mode(False):
        _refuse_lost(model)
        if is_leaf(model):
            raise InputError(f"the model is one {type(model).__name__} by itself; put it into an nn.Sequential")
        own = _own(model)
        images = as_floats(data[:COMPARED_IMAGES], own)
        try:
            graph = _structure(own, trace(deepcopy(own)), data, images)
        except InputError as error:
            graph = _from_export(own, data, images, error)
        check_any(graph, inspected(graph)[0])
        check_finite(graph)
        check_repeatable(own, images)
        try:
            check_agreement(own, graph, images)
        except InputError as error:
            graph = _agreeing(own, data, images, error)
    drop_identities(graph)
    merge_norms(graph)
    return graph


def _structure(own: nn.Module, graph: fx.GraphModule, data: Read, images: Read) -> fx.GraphModule:
    """Return a graph with its shapes, all of which has a counterpart on the machine."""
    check_inputs(graph, data)
    cannot_run = _run(own, graph, data, images)
    functions_as_layers(graph)
    _, reasons = inspected(graph)
    refuse([*reasons, *cannot_run])
    return graph


def _from_export(own: nn.Module, data: Read, images: Read, reason: InputError) -> fx.GraphModule:
    """Return the graph of what torch.export lists, where the traced one was refused for `reason`."""
    try:
        check_runs(own, as_floats(data, own))
        check_repeatable(own, images)
        taken = {size for read in each(images) for size in read.shape}
        batch = next(size for size in BATCHES if size not in taken)
        typed = graph_of_module(own, tuple(read[:1].repeat(batch, *[1] * (read.ndim - 1)) for read in each(images)))
    except InputError:
        raise reason from None
    _name_inputs(typed, input_names(own))
    normalise(typed)
    graph = _structure(own, trace(emit(typed)), data, images)
    try:
        check_any(graph, inspected(graph)[0])
    except InputError:
        raise reason from None
    return graph


def _name_inputs(typed: Graph, names: tuple[str, ...]) -> None:
    """Call inputs as the model's forward does."""
    for given, name in zip(typed.inputs, names, strict=True):
        if given.name != name:
            typed.replace_input(given.name, Input(typed.fresh(name), given.shape))


def _agreeing(own: nn.Module, data: Read, images: Read, reason: InputError) -> fx.GraphModule:
    """Return the graph of what torch.export lists, where the traced one computes something else, as `reason` says."""
    graph = _from_export(own, data, images, reason)
    try:
        check_agreement(own, graph, images)
    except InputError:
        raise reason from None
    return graph


def _refuse_lost(model: nn.Module) -> None:
    """Refuse what a copy would lose, and what else can be seen without running the model."""
    lost = lost_by_copying(model)
    if not lost:
        return
    try:
        graph = trace(with_fixed_weights(model))
    except InputError as error:
        refuse([*lost.values(), str(error)])
    except Exception:  # of the user's own attributes, with errors of any kind
        refuse(lost.values())
    for path in lost:
        for node in graph.graph.find_nodes(op="call_module", target=path):
            node.replace_all_uses_with(node.args[0])
            graph.graph.erase_node(node)
    refuse([*lost.values(), *inspected(graph)[1]])


def _own(model: nn.Module) -> nn.Module:
    """Return a copy in eval mode, at least in single precision, whose layers share no memory."""
    try:
        copy = with_fixed_weights(model)
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
