"""A model as a graph of torch's own layers and ours, or one sentence that says why it has no such graph."""

from __future__ import annotations

import operator
import traceback
from inspect import Parameter, signature, unwrap
from pathlib import Path
from typing import Any

import torch
from torch import fx, nn

from quant.layers.affine import Affine
from quant.layers.arranged import Arranged
from quant.layers.averages import HostScale, ShiftAverage
from quant.layers.bilinear import Bilinear
from quant.layers.clamp import Clamp
from quant.layers.function import Function
from quant.layers.pools import PaddedMax
from quant.layers.quantized import QuantConv2d, QuantLinear
from quant.layers.selection import Selection
from quant.layers.spread import Spread
from quant.layers.view import View
from quant.quantizers.base import Quantizer
from quant.trace.calls import make_positional
from quant.trace.checks import check_kind
from quant.trace.host import Host, cut_host, host_part
from quant.trace.naming import path_fault
from quant.trace.refusals import refuse
from quant.trace.shared import separate_calls
from quant.trace.taps import Tap, insert_taps
from sim.errors import InputError

__all__ = ["is_leaf", "trace"]

REMEDY = "; forward must not branch on a tensor or its shape, loop over them or count with them: write the numbers out"

CHANGERS = frozenset(getattr(operator, name) for name in (
    "iadd", "iand", "iconcat", "ifloordiv", "ilshift", "imatmul", "imod", "imul", "ior", "ipow", "irshift", "isub",
    "itruediv", "ixor", "setitem", "delitem"))

OWN = (Quantizer, QuantConv2d, QuantLinear, ShiftAverage, HostScale, Affine, Clamp, Function, Selection, Spread,
       Bilinear, PaddedMax, View, Arranged, Host, Tap)
"""Layers of this package."""


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, OWN) or super().is_leaf_module(m, module_qualified_name)

    def create_args_for_root(self, root_fn: Any, is_module: bool, concrete_args: Any = None) -> tuple[Any, list[Any]]:
        """Give arguments after the first their defaults: the model is run on the images alone."""
        function, args = super().create_args_for_root(root_fn, is_module, concrete_args)
        inner = unwrap(root_fn)
        defaults = {name: parameter.default for name, parameter in signature(inner).parameters.items()
                    if parameter.default is not Parameter.empty}
        names = inner.__code__.co_varnames[2:len(args)]
        return function, [*args[:2], *(defaults.get(name, arg) for name, arg in zip(names, args[2:], strict=True))]


def is_leaf(module: nn.Module) -> bool:
    """Return whether tracing stops at a module instead of looking into it."""
    return _Tracer().is_leaf_module(module, "")


def trace(model: nn.Module) -> fx.GraphModule:
    """Return `model` as a graph whose leaves are layers of torch or of this package; parameters are shared, not copied.

    What the host computes at the end is cut off (`quant.trace.host`), what nobody reads is left out, and operands come
    by position, as `quant.stages.stages.stages` reads them. A layer that is called again is copied for that call.

    Raises
    ------
    InputError
        If the model is no plain module, its forward cannot be followed without data (the message says where it stops),
        or a layer has a name that a graph cannot have.
    """
    check_kind(model)
    try:
        found = _Tracer().trace(model)
    except Exception as error:  # forward is the user's code: whatever it raises is why there is no graph
        raise InputError(f"the model cannot be traced: {_reason(error)}") from error
    refuse(f"{fault}; rename what has it" for node in found.nodes if node.op in ("call_module", "get_attr")
           if (fault := path_fault(str(node.target))))
    graph = fx.GraphModule(model, found)
    for node in graph.graph.nodes:
        make_positional(node)
    if (part := host_part(model)) is not None:
        graph.meta["host"] = part
    _plain_tuples(graph)
    _drop_unread(graph)
    cut_host(graph)
    separate_calls(graph)
    insert_taps(graph)
    _drop_unread(graph)
    graph.recompile()
    return graph


def _reason(error: Exception) -> str:
    """Return the first sentence of an error, where in the user's code it arose, and what to write instead."""
    text = str(error).strip().partition("\n")[0].partition(". ")[0].rstrip(".")
    inside = str(Path(torch.__file__).parent)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__)
              if not frame.filename.startswith(inside) and frame.filename != __file__]
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    if isinstance(error, NameError) and "not installed as a submodule" in text:
        return f"forward makes a layer{place}, of which a slice of an nn.Sequential is one; make it in __init__"
    if "Proxy" in text or "symbolic" in text:
        return f"{text}{place}{REMEDY}"
    remedy = REMEDY if isinstance(error, TypeError) else ""  # such as functions raise that get no numbers
    return f"{type(error).__name__}: {text}{place}{remedy}"


def _drop_unread(graph: fx.GraphModule) -> None:
    """Take out calls and arguments whose value nobody reads, with their layers, unless they change something else."""
    first = next(iter(graph.graph.nodes))
    for node in reversed(list(graph.graph.nodes)):
        argument = node.op == "placeholder" and node is not first
        if not node.users and (argument or not _has_effects(graph, node)):
            graph.graph.erase_node(node)
    graph.delete_all_unused_submodules()


def _plain_tuples(graph: fx.GraphModule) -> None:
    """Return a tuple in the place of a named one, which torch.fx takes for a call."""
    (output,) = graph.graph.find_nodes(op="output")
    output.args = fx.node.map_arg(output.args, lambda node: node.args if _is_named_tuple(node) else node)
    for node in reversed(list(graph.graph.nodes)):
        if _is_named_tuple(node) and not node.users:
            graph.graph.erase_node(node)


def _is_named_tuple(node: fx.Node) -> bool:
    return isinstance(node.target, type) and issubclass(node.target, tuple) and hasattr(node.target, "_fields")


def _has_effects(graph: fx.GraphModule, node: fx.Node) -> bool:
    """Return whether a call may do more than give its value: where it is not sure, it may."""
    if node.is_impure():
        return True
    if node.op == "call_module":
        return bool(getattr(graph.get_submodule(str(node.target)), "inplace", False))
    name = str(getattr(node.target, "__name__", node.target))
    asked = any(value is True for value in (*node.args, *node.kwargs.values())) or "out" in node.kwargs
    return node.op != "get_attr" and (name.endswith("_") or node.target in CHANGERS or asked)
