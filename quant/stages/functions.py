"""Activations of a traced model, as torch spells them, become the layers that stages are made of."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Any, cast

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from quant.layers.affine import Affine
from quant.layers.clamp import Clamp
from quant.layers.function import Function
from quant.trace.calls import module_of, put_in_place, uses
from quant.trace.naming import free_path
from quant.trace.shapes import shape_of

__all__ = ["PRODUCTS", "Chain", "Times", "functions_as_layers"]

PRODUCTS = (operator.mul, operator.imul, torch.mul, torch.multiply, "mul", "mul_", "multiply", "multiply_")

MODULES = (nn.SiLU, nn.GELU, nn.Hardswish, nn.Hardsigmoid, nn.Mish, nn.Sigmoid, nn.Tanh, nn.ELU, nn.SELU, nn.CELU,
           nn.LeakyReLU, nn.Softplus, nn.Softsign, nn.LogSigmoid, nn.Tanhshrink, nn.Hardshrink, nn.Softshrink,
           nn.Threshold)
NAMES = ("abs", "ceil", "cos", "erf", "exp", "expm1", "floor", "log", "log1p", "reciprocal", "round", "rsqrt",
         "sigmoid", "sign", "sin", "sqrt", "square", "tanh")
"""Functions of torch that are methods of tensors, too, and change them in place with `_` at the end."""
FUNCTIONAL = ("silu", "gelu", "hardswish", "hardsigmoid", "mish", "sigmoid", "tanh", "elu", "selu", "celu",
              "leaky_relu", "softplus", "softsign", "logsigmoid", "tanhshrink", "hardshrink", "softshrink", "threshold")
FUNCTIONS: dict[Any, str] = {
    **{function: name for name in NAMES for function in (getattr(torch, name), getattr(torch, f"{name}_", name), name,
                                                         f"{name}_")},
    **{function: name for name in FUNCTIONAL for function in (getattr(functional, name),
                                                              getattr(functional, f"{name}_", name))},
}
"""The name of each function that is called."""


NAMED_PRODUCTS = {"sigmoid": "silu", "hardsigmoid": "hardswish", "softplus+tanh": "mish"}
"""Functions of which x times them has a name."""


@dataclass(frozen=True)
class Chain:
    """A function of a function.

    Attributes
    ----------
    inner, outer : callable
    """

    inner: Callable[[Tensor], Tensor]
    outer: Callable[[Tensor], Tensor]

    def __call__(self, x: Tensor) -> Tensor:
        return self.outer(self.inner(x))


@dataclass(frozen=True)
class Times:
    """x times a function of x.

    Attributes
    ----------
    compute : callable
        The function.
    """

    compute: Callable[[Tensor], Tensor]

    def __call__(self, x: Tensor) -> Tensor:
        return x * self.compute(x)


def functions_as_layers(graph: fx.GraphModule) -> None:
    """Put a `Function` in the place of each activation that is one, in place; shapes must be noted.

    x times a function of x becomes one function. A hardsigmoid by itself is a line and a clamp, which need no table,
    and a PReLU with slopes a per channel is x + (a - 1) * min(x, 0).
    """
    calls = Counter(node.target for node in graph.graph.nodes if node.op == "call_module")
    for node in list(graph.graph.nodes):
        found = _clamp_of(graph, node) or _function_of(graph, node)
        if found is not None:
            called = node.target
            _put(graph, node, found, own=calls[called] == 1)
            calls[called] -= 1
    for node in list(graph.graph.nodes):
        if node.target in PRODUCTS and node.op != "call_module":
            _join_with_factor(graph, node)
        elif node.op == "call_module" and isinstance(module_of(graph, node), Function):
            _join_with_inner(graph, node)
    for node in list(graph.graph.find_nodes(op="call_module")):
        module = module_of(graph, node)
        if isinstance(module, Function) and module.operator == "hardsigmoid":
            _spell_hard_sigmoid(graph, node)
        elif type(module) is nn.PReLU and shape_of(node) is not None:
            _spell_prelu(graph, node, module.weight.detach())
    graph.delete_all_unused_submodules()
    graph.recompile()


def _clamp_of(graph: fx.GraphModule, node: fx.Node) -> Clamp | None:
    """Return the clamp that a threshold is which puts itself in the place of what is below it."""
    ends: list[Any] = []
    if node.op == "call_module":
        module = module_of(graph, node)
        ends = [module.threshold, module.value] if type(module) is nn.Threshold else []
    elif FUNCTIONS.get(node.target) == "threshold":
        ends = [*node.args[1:], *(node.kwargs[name] for name in ("threshold", "value") if name in node.kwargs)]
    return Clamp(float(ends[0]), inf) if len(ends) >= 2 and ends[0] == ends[1] else None


def _function_of(graph: fx.GraphModule, node: fx.Node) -> Function | None:
    """Return the function that a call is, None if it is none."""
    if node.op == "call_module":
        module = module_of(graph, node)
        if type(module) is nn.PReLU and module.weight.numel() == 1:
            return Function("prelu", partial(functional.leaky_relu, negative_slope=float(module.weight.detach())))
        if type(module) not in MODULES:
            return None
        layer: Any = deepcopy(module)
        if hasattr(layer, "inplace"):
            layer.inplace = False
        return Function(type(layer).__name__.lower(), _Layer(layer))
    if node.op not in ("call_function", "call_method") or node.target not in FUNCTIONS:
        return None
    name = FUNCTIONS[node.target]
    read: list[fx.Node] = []
    fx.node.map_arg((node.args, node.kwargs), read.append)
    if len(read) != 1 or node.args[:1] != (read[0],):
        return None
    kwargs = {key: value for key, value in node.kwargs.items() if key != "inplace"}
    function = getattr(functional, name) if name in FUNCTIONAL else getattr(torch, name)
    return Function(name, _Call(function, node.args[1:], tuple(kwargs.items())))


@dataclass(frozen=True, eq=False)
class _Layer:
    """Calls a layer that is no part of the model any more."""

    module: nn.Module

    def __call__(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.module(x))


@dataclass(frozen=True)
class _Call:
    """A function with all arguments but the first."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: tuple[tuple[str, Any], ...]

    def __call__(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.function(x, *self.args, **dict(self.kwargs)))


def _put(graph: fx.GraphModule, node: fx.Node, function: nn.Module, *, own: bool = True) -> None:
    """Let a node call a layer of its own in place of what it calls, at the same path if that is its `own`."""
    path = str(node.target) if node.op == "call_module" else node.name
    if node.op == "call_module" and own:
        put_in_place(graph, path, function.eval())
    else:
        path = free_path(graph, path)
        graph.add_submodule(path, function.eval())
    node.op, node.target, node.args, node.kwargs = "call_module", path, node.args[:1], {}


def _join_with_inner(graph: fx.GraphModule, node: fx.Node) -> None:
    """Make f(g(x)) one function, where nothing else reads g(x)."""
    made = cast(fx.Node, node.args[0])
    outer, inner = module_of(graph, node), module_of(graph, made) if made.op == "call_module" else None
    if isinstance(outer, Function) and isinstance(inner, Function) and uses(made) == 1:
        node.args = made.args
        _put(graph, node, Function(f"{inner.operator}+{outer.operator}", Chain(inner.compute, outer.compute)))
        graph.graph.erase_node(made)


def _join_with_factor(graph: fx.GraphModule, product: fx.Node) -> None:
    """Make x * x and x * f(x) one function, where nothing else reads f(x)."""
    if len(product.args) != 2 or not all(isinstance(operand, fx.Node) for operand in product.args):
        return
    if product.args[0] is product.args[1]:
        _put(graph, product, Function("square", torch.square))
        return
    for factor, other in (product.args, product.args[::-1]):
        made = cast(fx.Node, factor)
        module = module_of(graph, made) if made.op == "call_module" else None
        if isinstance(module, Function) and made.args == (other,) and uses(made) == 1:
            name = NAMED_PRODUCTS.get(module.operator, f"{module.operator}+mul")
            product.args = (other,)
            _put(graph, product, Function(name, Times(module.compute)))
            graph.graph.erase_node(made)
            return


def _spell_hard_sigmoid(graph: fx.GraphModule, node: fx.Node) -> None:
    shape = shape_of(node)
    if shape is None or len(shape) not in (2, 3, 4):
        return
    _before(graph, node, Affine(torch.full((shape[1],), 1 / 6), torch.full((shape[1],), 0.5)), "line")
    _put(graph, node, Clamp(0.0, 1.0))


def _spell_prelu(graph: fx.GraphModule, node: fx.Node, slopes: Tensor) -> None:
    read = cast(fx.Node, node.args[0])
    _before(graph, node, Clamp(-inf, 0.0), "negative")
    _put(graph, node, Affine(slopes - 1, torch.zeros_like(slopes)))
    with graph.graph.inserting_after(node):
        added = graph.graph.call_function(operator.add, (node, read))
    added.meta["shape"] = shape_of(node)
    node.replace_all_uses_with(added, delete_user_cb=lambda user: user is not added)


def _before(graph: fx.GraphModule, node: fx.Node, layer: nn.Module, what: str) -> None:
    """Let a layer work on what a node reads."""
    path = free_path(graph, f"{node.target}_{what}")
    graph.add_submodule(path, layer.eval())
    with graph.graph.inserting_before(node):
        made = graph.graph.call_module(path, node.args[:1])
    made.meta["shape"] = shape_of(node)
    node.args = (made,)
