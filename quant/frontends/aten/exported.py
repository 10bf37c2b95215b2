"""What torch.export lists in memory."""

from __future__ import annotations

import operator
import warnings
from typing import Any, cast

import torch
from torch import Tensor, fx, nn
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, OutputKind

from quant.frontends.aten.call import SYMBOL, Call, Listing, Ref, bound
from quant.frontends.aten.read import graph_of_listing
from quant.graph.graph import Graph
from sim.errors import InputError

__all__ = ["graph_of_exported", "graph_of_module"]


def graph_of_module(model: nn.Module, examples: tuple[Tensor, ...]) -> Graph:
    """Return the typed graph of a model in eval mode, as it computes on inputs of these shapes.

    Parameters
    ----------
    model : nn.Module
        Not changed.
    examples : tuple of Tensor, shape (batch, ...)
        Of one batch size, best none of the model's own sizes.

    Raises
    ------
    InputError
        If torch.export cannot follow the model.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch about itself
            program = torch.export.export(model, examples, strict=False)
    except Exception as error:  # forward is the user's code: whatever it raises is why there is no graph
        reason = str(error).strip().partition("\n")[0]
        raise InputError(f"the model cannot be exported: {type(error).__name__}: {reason}") from error
    return graph_of_exported(program)


def graph_of_exported(program: ExportedProgram) -> Graph:
    """Return the typed graph of an exported program.

    Raises
    ------
    InputError
        If it takes or returns something else than tensors.
    """
    return graph_of_listing(_listing(program))


def _listing(program: ExportedProgram) -> Listing:
    nodes = {node.name: node for node in program.graph.nodes}
    constants: dict[str, tuple[str, Tensor]] = {}
    inputs: dict[str, tuple[int, ...]] = {}
    for given in program.graph_signature.input_specs:
        name = given.arg.name
        if given.kind is InputKind.USER_INPUT:
            if (value := nodes[name].meta.get("val")) is None or not isinstance(value, Tensor):
                raise InputError(f"input '{name}' of the exported model must be a tensor")
            inputs[name] = tuple(size if isinstance(size, int) else -1 for size in value.shape)
        elif given.target is not None:
            held = program.state_dict.get(given.target, program.constants.get(given.target))
            if isinstance(held, Tensor):
                constants[name] = given.target, held
    outputs = tuple(made.arg.name for made in program.graph_signature.output_specs
                    if made.kind is OutputKind.USER_OUTPUT)
    return Listing(inputs, constants, _calls(program.graph), outputs)


def _calls(graph: fx.Graph) -> list[Call]:
    calls = []
    for node in graph.nodes:
        if node.op == "call_function" and node.target is not operator.getitem:
            calls.append(_call(node))
    return calls


def _call(node: fx.Node) -> Call:
    target = str(node.target)
    value, outputs = node.meta.get("val"), [node.name]
    made: list[Any] = [value]
    if isinstance(value, list | tuple):
        made, outputs = list(value), [f"{node.name}.{place}" for place in range(len(value))]
    for user in node.users:
        if user.target is operator.getitem:
            outputs[cast(int, user.args[1])] = user.name
    stack = list(node.meta.get("nn_module_stack", {}).values())
    path, kind = stack[-1] if stack else ("", "")
    name = kind if isinstance(kind, str) else f"{kind.__module__}.{kind.__qualname__}"
    return Call(target, bound(target, _read(node.args), {key: _read(value) for key, value in node.kwargs.items()}),
                tuple(outputs), tuple(map(_shape, made)), path,
                name.startswith("torch.nn.modules.") and "container" not in name)


def _shape(value: Any) -> tuple[int, ...] | None:
    if not isinstance(value, Tensor) or not all(isinstance(size, int) for size in value.shape[1:]):
        return None
    return tuple(int(size) for size in value.shape[1:])


def _read(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_read(part) for part in value]
    if isinstance(value, fx.Node):
        return Ref(value.name) if isinstance(value.meta.get("val"), Tensor) else SYMBOL
    return value
