"""Calls of functions and methods: which of their arguments are understood, which change a value, which give numbers."""

from __future__ import annotations

import operator
from collections.abc import Container
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional

from sim.errors import InputError

__all__ = ["arguments", "gives_numbers", "is_in_place", "make_positional", "module_of", "put_in_place", "type_name",
           "uses", "where"]

ANY: tuple[Any, ...] = ()
"""Stands for every value: the code that reads the argument checks it."""

_POOL = dict.fromkeys(("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices"), ANY)

UNDERSTOOD: dict[Any, dict[str, tuple[Any, ...]]] = {
    **{key: {"other": ANY} for key in (operator.add, operator.iadd)},
    **{key: {"other": ANY, "alpha": (1,)} for key in (torch.add, "add", "add_")},
    **{key: {"other": ANY} for key in (operator.sub, operator.isub)},
    **{key: {"other": ANY, "alpha": (1,)} for key in (torch.sub, torch.subtract, "sub", "sub_")},
    **{key: {"other": ANY} for key in (operator.mul, operator.imul, torch.mul, torch.multiply, "mul", "mul_",
                                       "multiply", "multiply_")},
    **{key: {"dim": ANY} for key in (torch.cat, torch.concat, torch.concatenate)},
    **{key: {"min": ANY, "max": ANY} for key in (torch.clamp, torch.clip, "clamp", "clamp_", "clip", "clip_")},
    functional.hardtanh: {"min_val": ANY, "max_val": ANY, "inplace": (False, True)},
    **{key: {} for key in (torch.relu, torch.relu_, "relu", "relu_")},
    **{key: {"inplace": (False, True)} for key in (functional.relu, functional.relu6)},
    **{key: {"start_dim": (1,), "end_dim": (-1,)} for key in (torch.flatten, "flatten")},
    functional.pad: {"pad": ANY, "mode": ("constant",), "value": (None, 0)},
    functional.dropout: {"p": ANY, "training": (False,), "inplace": ANY},
    **{key: {"dim": ANY, "keepdim": (False, True), "dtype": (None,)} for key in (torch.mean, "mean")},
    functional.adaptive_avg_pool2d: {"output_size": ANY},
    **dict.fromkeys((functional.max_pool2d, torch.max_pool2d), _POOL),
}
"""Supported calls: the arguments after the tensor, in order, and the values that the machine can follow."""

DEFAULTS = {"start_dim": 0, "training": True}
"""Values that torch takes where nothing is given and that are not among those."""

PROPERTIES = ("shape", "ndim", "dtype", "device", "is_cuda", "layout", "requires_grad",
              "size", "dim", "ndimension", "numel", "nelement", "get_device")
"""Attributes and methods of tensors that give no tensor."""

IN_PLACE = (operator.iadd, operator.isub, operator.imul, "mul_", "multiply_", torch.relu_, "relu_", "add_", "sub_",
            "clamp_", "clip_")
MAY_BE_IN_PLACE = (functional.relu, functional.relu6, functional.hardtanh)


def module_of(graph: fx.GraphModule, node: fx.Node) -> nn.Module:
    """Return the module that a `call_module` node calls."""
    return graph.get_submodule(str(node.target))


def put_in_place(graph: fx.GraphModule, path: str, module: nn.Module) -> None:
    """Put a module where another one is, whose children stay: a layer may have others beside its own computation."""
    for name, child in graph.get_submodule(path).named_children():
        module.add_module(name, child)
    graph.set_submodule(path, module)


def where(node: fx.Node) -> str:
    """Return which part of the model a node belongs to, for messages."""
    path = str(node.target) if node.op == "call_module" else next(reversed(node.meta.get("nn_module_stack", {})), "")
    return f"at '{path}'" if path else f"at the top of the model (node '{node.name}')"


def arguments(node: fx.Node) -> dict[str, Any]:
    """Return the arguments of a call after its tensor, by name.

    Raises
    ------
    InputError
        If one is unknown, or has a value that the machine cannot follow; the message names it and where it is.
    """
    understood = UNDERSTOOD[node.target]
    call = f"{getattr(node.target, '__name__', node.target)} {where(node)}"
    if len(node.args) > 1 + len(understood):
        raise InputError(f"{call} has {len(node.args)} arguments; only {1 + len(understood)} are supported")
    given = dict(zip(understood, node.args[1:], strict=False)) | node.kwargs
    given = {name: DEFAULTS[name] for name in understood if name in DEFAULTS} | given
    for name, value in given.items():
        if name != "other" and _holds_node(value):
            raise InputError(f"argument {name} of {call} is computed while the model runs; write the number")
        if name not in understood or (understood[name] and value not in understood[name]):
            raise InputError(f"argument {name}={value} of {call} is not supported")
    return given


def is_in_place(node: fx.Node, module: nn.Module | None) -> bool:
    """Return whether a call changes its first operand; `module` is the one it calls, if any."""
    if module is not None:
        return isinstance(module, nn.ReLU | nn.Hardtanh) and module.inplace
    return node.target in IN_PLACE or (node.target in MAY_BE_IN_PLACE
                                       and bool(arguments(node).get("inplace", False)))


def make_positional(node: fx.Node) -> None:
    """Move tensors that a call got by keyword to where they are without: `conv(input=x)` becomes `conv(x)`."""
    if node.op == "call_module" or node.target in UNDERSTOOD:
        kwargs = dict(node.kwargs)
        name = next((name for name in ("input", "tensors") if name in kwargs), None)
        first = (kwargs.pop(name),) if not node.args and name is not None else ()
        args = (*first, *node.args)
        if len(args) == 1 and isinstance(kwargs.get("other"), fx.Node):
            args = (*args, kwargs.pop("other"))
        node.args, node.kwargs = args, kwargs


def gives_numbers(node: fx.Node, numbers: Container[fx.Node]) -> bool:
    """Return whether a call gives numbers about a tensor, or computes with `numbers`, and so computes no tensor.

    Whoever needs the numbers is refused, for what it does with them.
    """
    if node.op == "call_method":
        return node.target in PROPERTIES
    if node.op != "call_function":
        return False
    operands = node.all_input_nodes
    return (node.target is getattr and node.args[1] in PROPERTIES) or (
        bool(operands) and all(operand in numbers for operand in operands))


def uses(node: fx.Node) -> int:
    """Return how often a value is read: `y + y` reads y twice."""
    found: list[fx.Node] = []
    for user in node.users:
        fx.node.map_arg((user.args, user.kwargs), found.append)
    return found.count(node)


def type_name(kind: type) -> str:
    """Return a type's name, with its module where it is not one of torch's own layers."""
    own = kind.__module__.startswith("torch.nn.modules")
    return kind.__name__ if own else f"{kind.__module__}.{kind.__qualname__}"


def _holds_node(value: Any) -> bool:
    return isinstance(value, fx.Node) or (isinstance(value, tuple | list) and any(map(_holds_node, value)))
