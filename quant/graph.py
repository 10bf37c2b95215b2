"""A traced model as stages: what happens between one stored tensor and the next.

The chip computes a convolution, its BatchNorm, a residual add and a ReLU in one record, and stores one tensor of
codes at the end of it. `stages` finds these groups in the graph that torch.fx traces; quantizing puts a quantizer at
the end of each, lowering turns each into a record.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf
from typing import Any, Literal, cast

import torch
from torch import fx, nn
from torch.nn import functional

from quant.calls import arguments, is_in_place, where
from quant.layers import QuantConv2d, QuantLinear
from quant.quantizers.base import Quantizer
from sim.errors import InputError

__all__ = ["Stage", "module_of", "stages", "trace"]

FLATTEN = "; write torch.flatten(x, 1) to make each image one row"
INSTEAD = dict.fromkeys(("size", "view", "reshape", getattr), FLATTEN)
"""What to write in place of functions and methods that are not supported."""

Kind = Literal["input", "conv", "linear", "average", "max", "copy"]


@dataclass(frozen=True)
class Stage:
    """What one record computes, or the graph's input.

    Attributes
    ----------
    kind : {"input", "conv", "linear", "average", "max", "copy"}
        `copy` reads a stored tensor again, to add to it or to change its format.
    name : str
        Path of the module that computes, or the graph's name of the function; names record and tensor.
    compute : fx.Node
        The node that computes.
    end : fx.Node
        The last node; its value is stored.
    source : fx.Node or None
        End of the stage whose tensor is read; None for an input.
    norm : str or None
        Path of the BatchNorm2d that follows.
    residual : fx.Node or None
        End of the stage whose tensor is added, before the ReLU.
    relu : bool
    ceiling : float
        Largest value that the activation lets through: 6 for ReLU6.
    quantizer : str or None
        Path of the quantizer at the end; a `max` stage keeps its source's codes and needs none.
    signed : bool
        Whether the stored values can be negative.
    """

    kind: Kind
    name: str
    compute: fx.Node
    end: fx.Node
    source: fx.Node | None = None
    norm: str | None = None
    residual: fx.Node | None = None
    relu: bool = False
    ceiling: float = inf
    quantizer: str | None = None
    signed: bool = True


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, Quantizer | QuantConv2d | QuantLinear) or super().is_leaf_module(m, module_qualified_name)


def trace(model: nn.Module) -> fx.GraphModule:
    """`model` as a graph whose leaves are torch's own layers and ours; parameters are shared, not copied.

    Raises
    ------
    InputError
        If the model's control flow depends on data, so that there is no one graph.
    """
    try:
        return fx.GraphModule(model, _Tracer().trace(model))
    except fx.proxy.TraceError as error:
        raise InputError(f"the model cannot be traced: {error}") from error


def module_of(graph: fx.GraphModule, node: fx.Node) -> nn.Module:
    """The module that a `call_module` node calls."""
    return graph.get_submodule(str(node.target))


def stages(graph: fx.GraphModule) -> tuple[Stage, ...]:
    """The stages of a traced model, in an order in which they can run.

    Raises
    ------
    InputError
        If a module or function has no counterpart on the chip; the message names it and where it is.
    """
    return _Finder(graph).find()


class _Finder:
    """Walks the graph once. `values` maps a node to the stage it ends or, when passed through, to one stored before."""

    def __init__(self, graph: fx.GraphModule) -> None:
        self.graph = graph
        self.values: dict[fx.Node, Stage] = {}
        self.stored: dict[fx.Node, Stage] = {}
        self.called: set[str] = set()
        self.order = {node: place for place, node in enumerate(graph.graph.nodes)}
        self.modules: dict[Any, Callable[[fx.Node], Stage]] = {
            nn.Conv2d: self._start("conv"), nn.Linear: self._start("linear"), nn.MaxPool2d: self._max,
            (nn.AvgPool2d, nn.AdaptiveAvgPool2d): self._start("average"), nn.BatchNorm2d: self._norm,
            nn.ReLU: self._relu, nn.ReLU6: self._relu6, (nn.Identity, nn.Dropout, nn.Dropout2d): self._same,
            nn.Flatten: self._flatten, Quantizer: self._quantizer,
        }
        self.functions: dict[Any, Callable[[fx.Node], Stage]] = {
            **dict.fromkeys((operator.add, operator.iadd, torch.add, "add", "add_"), self._add),
            **dict.fromkeys((torch.relu, torch.relu_, functional.relu, "relu", "relu_"), self._relu),
            functional.relu6: self._relu6,
            **dict.fromkeys((functional.max_pool2d, torch.max_pool2d), self._max),
            **dict.fromkeys((torch.flatten, "flatten", functional.dropout), self._same),
            **dict.fromkeys((torch.mean, "mean", functional.adaptive_avg_pool2d), self._start("average")),
        }

    def find(self) -> tuple[Stage, ...]:
        for node in self.graph.graph.nodes:
            if node.op == "output":
                if not isinstance(node.args[0], fx.Node):
                    raise InputError("the model must return one tensor")
                self._store(node.args[0])
            elif node.op == "placeholder":
                self.values[node] = Stage("input", node.name, node, node)
            else:
                handler = self._handler(node)
                self._check_call(node)
                self.values[node] = handler(node)
        return tuple(self.stored.values())

    def _handler(self, node: fx.Node) -> Callable[[fx.Node], Stage]:
        if node.op == "call_module":
            module = module_of(self.graph, node)
            for kinds, handler in self.modules.items():
                if isinstance(module, kinds):
                    return handler
            raise InputError(f"unsupported module {type(module).__name__} {where(node)}")
        if node.op in ("call_function", "call_method") and node.target in self.functions:
            return self.functions[node.target]
        raise InputError(f"unsupported {node.op.removeprefix('call_')} "
                         f"{getattr(node.target, '__name__', node.target)} {where(node)}"
                         f"{INSTEAD.get(node.target, '')}")

    def _check_call(self, node: fx.Node) -> None:
        """Refuse parameters used twice, arguments that are not understood, and values changed under a later reader."""
        module = self._module(node)
        if module is None:
            arguments(node)
        elif str(node.target) in self.called and module.state_dict():
            raise InputError(f"module '{node.target}' is called twice; every call needs parameters of its own")
        self.called.add(str(node.target))
        if not is_in_place(node, module):
            return
        for value in self._same_memory(_operand(node, 0), node):
            if value.op == "placeholder":
                raise InputError(f"{_name(node)} {where(node)} changes the model's input in place")
            for reader in value.users:
                if self.order[reader] > self.order[node]:
                    raise InputError(f"{_name(node)} {where(node)} changes '{value.name}' in place, which "
                                     f"'{reader.name}' reads later")

    def _module(self, node: fx.Node) -> nn.Module | None:
        return module_of(self.graph, node) if node.op == "call_module" else None

    def _same_memory(self, value: fx.Node, changer: fx.Node) -> set[fx.Node]:
        """Nodes whose values `changer` changes when it changes `value`: that, what it is a view of, and their views."""
        while self._is_view(value):
            value = _operand(value, 0)
        found, new = set[fx.Node](), [value]
        while new:
            node = new.pop()
            found.add(node)
            new += [user for user in node.users if user is not changer and user.args[:1] == (node,)
                    and self.order[user] < self.order[changer] and self._is_view(user)]
        return found

    def _is_view(self, node: fx.Node) -> bool:
        """Whether a node's value is its first operand's memory."""
        if node.op not in ("call_module", "call_function", "call_method"):
            return False
        handler = self._handler(node)
        return handler in (self._same, self._flatten) or is_in_place(node, self._module(node))

    def _store(self, node: fx.Node) -> fx.Node:
        """Take a node's value as a tensor of its own; gives the end of its stage."""
        stage = self.values[node]
        self.stored.setdefault(stage.end, stage)
        return stage.end

    def _is_open(self, node: fx.Node) -> bool:
        """Whether the stage of `node` can go on: nothing else needs its value as it stands."""
        stage = self.values[node]
        return stage.end not in self.stored and stage.kind != "input" and len(node.users) == 1

    def _copy(self, node: fx.Node) -> Stage:
        return Stage("copy", "", node, node, source=self._store(node), signed=self.values[node].signed)

    def _continue(self, stage: Stage, node: fx.Node, **changes: Any) -> Stage:
        return replace(stage, name=stage.name or _name(node), end=node, **changes)

    def _start(self, kind: Kind) -> Callable[[fx.Node], Stage]:
        def handler(node: fx.Node) -> Stage:
            source = _operand(node, 0)
            signed = kind in ("conv", "linear") or self.values[source].signed
            return Stage(kind, _name(node), node, node, source=self._store(source), signed=signed)
        return handler

    def _max(self, node: fx.Node) -> Stage:
        self.stored[node] = self._start("max")(node)
        return self.stored[node]

    def _norm(self, node: fx.Node) -> Stage:
        source = _operand(node, 0)
        stage = self.values[source]
        can = self._is_open(source) and not (stage.norm or stage.residual or stage.relu)
        return self._continue(stage if can else self._copy(source), node, norm=str(node.target), signed=True)

    def _can_add(self, node: fx.Node) -> bool:
        stage = self.values[node]
        return self._is_open(node) and not (stage.residual or stage.relu)

    def _add(self, node: fx.Node) -> Stage:
        left, right = _operand(node, 0), _operand(node, 1)
        if self._can_add(right) and not self._can_add(left):
            left, right = right, left
        stage = self.values[left] if self._can_add(left) else self._copy(left)
        signed = stage.signed or self.values[right].signed
        return self._continue(stage, node, residual=self._store(right), signed=signed)

    def _relu(self, node: fx.Node, ceiling: float = inf) -> Stage:
        source = _operand(node, 0)
        stage = self.values[source] if self._is_open(source) else self._copy(source)
        return self._continue(stage, node, relu=True, ceiling=min(stage.ceiling, ceiling), signed=False)

    def _relu6(self, node: fx.Node) -> Stage:
        return self._relu(node, 6.0)

    def _quantizer(self, node: fx.Node) -> Stage:
        source = _operand(node, 0)
        stage, quantizer = self.values[source], module_of(self.graph, node)
        assert isinstance(quantizer, Quantizer)
        fresh_input = stage.kind == "input" and stage.end not in self.stored
        stage = stage if fresh_input or self._is_open(source) else self._copy(source)
        self.stored[node] = self._continue(stage, node, quantizer=str(node.target), signed=quantizer.signed)
        return self.stored[node]

    def _flatten(self, node: fx.Node) -> Stage:
        module = cast(nn.Flatten, module_of(self.graph, node))
        if (module.start_dim, module.end_dim) != (1, -1):
            raise InputError(f"Flatten {where(node)} must start at axis 1 and end at -1, not "
                             f"{module.start_dim} and {module.end_dim}")
        return self._same(node)

    def _same(self, node: fx.Node) -> Stage:
        source = _operand(node, 0)
        if self._is_open(source):
            return self._continue(self.values[source], node)
        self._store(source)
        return self.values[source]


def _name(node: fx.Node) -> str:
    """Path of the module; the graph's name of a function, or of one of several calls of a module."""
    alone = node.op == "call_module" and len(node.graph.find_nodes(op="call_module", target=str(node.target))) == 1
    return str(node.target) if alone else node.name


def _operand(node: fx.Node, index: int) -> fx.Node:
    operand = node.args[index] if index < len(node.args) else None
    if not isinstance(operand, fx.Node):
        raise InputError(f"unsupported operand {operand} of {_name(node)} {where(node)}")
    return operand
