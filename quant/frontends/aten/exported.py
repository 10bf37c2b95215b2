"""What torch.export lists in memory."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Iterator, Mapping
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
                    if made.kind is OutputKind.USER_OUTPUT and getattr(made.arg, "value", 0) is not None)
    return Listing(inputs, constants, list(_calls(program.graph, {})), outputs)


def _calls(graph: fx.Graph, names: Mapping[str, str], inside: str = "") -> Iterator[Call]:
    """Yield the calls of a graph: of one inside another, whose nodes have `names` that begin with `inside`, too."""
    for node in graph.nodes:
        if node.op != "call_function" or node.target is operator.getitem:
            continue
        if (wrapped := _wrapped(node)) is None:
            yield _call(node, names, inside)
            continue
        within, given = wrapped
        starts = within.graph.find_nodes(op="placeholder")
        (output,) = within.graph.find_nodes(op="output")
        here = f"{inside}{node.name}."
        known = {start.name: _named(read, names, inside) for start, read in zip(starts, given, strict=True)}
        yield from _calls(within.graph, known, here)
        for user in node.users:
            made = output.args[0][user.args[1]]
            yield Call("aten.alias.default", {"self": Ref(_named(made, known, here))},
                       (_named(user, names, inside),), (_shape(made.meta.get("val")),), "", False)


def _wrapped(node: fx.Node) -> tuple[fx.GraphModule, list[fx.Node]] | None:
    """Return the graph that a call computes as it stands, and what that reads; None if it is another call."""
    skipped = {"wrap_with_set_grad_enabled": 1, "wrap_with_autocast": 4}.get(str(node.target))
    if skipped is None or (skipped == 4 and node.args[2]):  # another precision
        return None
    inner, *given = node.args[skipped:]
    owner, path = node.graph.owning_module, cast(fx.Node, inner).target
    return cast(fx.GraphModule, cast(fx.GraphModule, owner).get_submodule(str(path))), cast("list[fx.Node]", given)


def _named(node: fx.Node, names: Mapping[str, str], inside: str) -> str:
    return names.get(node.name, f"{inside}{node.name}")


def _call(node: fx.Node, names: Mapping[str, str], inside: str) -> Call:
    target = str(node.target) if "." in str(node.target) else f"higher_order.{node.target}.default"
    own = _named(node, names, inside)
    value, outputs = node.meta.get("val"), [own]
    made: list[Any] = [value]
    if isinstance(value, list | tuple):
        made, outputs = list(value), [f"{own}.{place}" for place in range(len(value))]
    for user in node.users:
        if user.target is operator.getitem:
            outputs[cast(int, user.args[1])] = _named(user, names, inside)
    stack = list(node.meta.get("nn_module_stack", {}).values())
    path, kind = stack[-1] if stack else ("", "")
    name = kind if isinstance(kind, str) else f"{kind.__module__}.{kind.__qualname__}"

    def read(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [read(part) for part in value]
        if isinstance(value, fx.Node):
            return Ref(_named(value, names, inside)) if isinstance(value.meta.get("val"), Tensor) else SYMBOL
        return value

    return Call(target, bound(target, read(node.args), {key: read(value) for key, value in node.kwargs.items()}),
                tuple(outputs), tuple(map(_shape, made)), path,
                name.startswith("torch.nn.modules.") and "container" not in name)


def _shape(value: Any) -> tuple[int, ...] | None:
    if not isinstance(value, Tensor) or not all(isinstance(size, int) for size in value.shape[1:]):
        return None
    return tuple(int(size) for size in value.shape[1:])
