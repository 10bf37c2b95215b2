"""A traced model as stages: what happens between one stored tensor and the next.

The machine computes a convolution, its BatchNorm, a residual add and a ReLU in one op, and stores one tensor of
codes at the end of it. `stages` finds these groups in the graph that torch.fx traces; quantizing puts a quantizer at
the end of each, lowering turns each into an op.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import Any, NamedTuple, cast

import torch
from torch import fx, nn
from torch.nn import functional
from torch.utils._pytree import tree_leaves

from quant.layers.affine import Affine
from quant.layers.arranged import Arranged
from quant.layers.averages import HostScale, ShiftAverage
from quant.layers.bilinear import Bilinear
from quant.layers.clamp import Clamp
from quant.layers.function import Function, QuantFunction
from quant.layers.pools import PaddedMax
from quant.layers.quantized import QuantConv2d, QuantLinear
from quant.layers.selection import Selection
from quant.layers.spread import Spread
from quant.layers.view import View, as_map
from quant.quantizers.base import Quantizer
from quant.stages.activations import CLAMPS, ends_of
from quant.stages.broadcast import second_is_larger
from quant.stages.functions import PRODUCTS
from quant.stages.memory import same_memory
from quant.stages.padding import pads_of
from quant.stages.stage import Kind, Stage
from quant.stages.stage_names import named
from quant.trace.calls import arguments, gives_numbers, is_in_place, module_of, type_name, uses, where
from quant.trace.refusals import refuse
from quant.trace.shapes import shape_of
from quant.trace.taps import CATS, Tap
from sim.errors import InputError
from sim.ir.ops import Pads

__all__ = ["NORMS", "Refusal", "inspect", "stages"]

NORMS = (nn.BatchNorm2d, nn.BatchNorm1d, nn.SyncBatchNorm, Affine)


class Refusal(NamedTuple):
    """Why a node has no counterpart on the machine."""

    node: fx.Node
    reason: str


def stages(graph: fx.GraphModule) -> tuple[Stage, ...]:
    """Return the stages of a traced model, in an order in which they can run.

    Raises
    ------
    InputError
        If modules or functions have no counterpart on the machine; the message names each and where it is.
    """
    found, refusals = inspect(graph)
    refuse(refusal.reason for refusal in refusals)
    return found


def inspect(graph: fx.GraphModule) -> tuple[tuple[Stage, ...], tuple[Refusal, ...]]:
    """Return the stages of a traced model as far as they go, and what has no counterpart on the machine, in order."""
    finder = _Finder(graph)
    finder.find()
    return named(tuple(finder.stored.values())), tuple(finder.refusals)


class _Finder:
    """Walks the graph once. `values` maps a node to the stage it ends or, when passed through, to one stored before."""

    def __init__(self, graph: fx.GraphModule) -> None:
        self.graph = graph
        self.values: dict[fx.Node, Stage] = {}
        self.stored: dict[fx.Node, Stage] = {}
        self.padded: dict[fx.Node, Pads] = {}
        self.reshaped: set[fx.Node] = set()  # what has other channels than what its stage computes
        self.restored: set[fx.Node] = set()  # what has the same ones again
        self.numbers: set[fx.Node] = set()
        self.refusals: list[Refusal] = []
        self.order = {node: place for place, node in enumerate(graph.graph.nodes)}
        self.calls = Counter(node.target for node in graph.graph.nodes if node.op == "call_module")
        self.modules: dict[Any, Callable[[fx.Node], Stage]] = {
            **dict.fromkeys((nn.Conv2d, QuantConv2d), self._conv),
            **dict.fromkeys((nn.Linear, QuantLinear), self._start("linear")),
            **dict.fromkeys((nn.AvgPool2d, nn.AdaptiveAvgPool2d, ShiftAverage), self._start("average")),
            Bilinear: self._start("bilinear"), **dict.fromkeys((nn.Identity, nn.Dropout, nn.Dropout2d), self._same),
            **dict.fromkeys((nn.ZeroPad2d, nn.ConstantPad2d), self._pad),
            **dict.fromkeys(NORMS, self._norm),
            **dict.fromkeys((nn.MaxPool2d, PaddedMax), self._keep("max")),
            **dict.fromkeys((Selection, Spread), self._keep("selection")),
            **dict.fromkeys((nn.ReLU, nn.ReLU6, nn.Hardtanh, Clamp), self._clamp),
            nn.Flatten: self._flatten, View: self._view, Arranged: self._arranged, Tap: self._tap,
            Quantizer: self._quantizer, HostScale: self._host_scale,
            **dict.fromkeys((Function, QuantFunction), self._function),
        }
        self.functions: dict[Any, Callable[[fx.Node], Stage]] = {
            **dict.fromkeys((operator.add, operator.iadd, torch.add, "add", "add_"), self._add),
            **dict.fromkeys((operator.sub, operator.isub, torch.sub, torch.subtract, "sub", "sub_"), self._subtract),
            **dict.fromkeys(PRODUCTS, self._multiply), **dict.fromkeys(CLAMPS, self._clamp),
            functional.pad: self._pad, **dict.fromkeys(CATS, self._cat),
            **dict.fromkeys((functional.max_pool2d, torch.max_pool2d), self._keep("max")),
            **dict.fromkeys((torch.flatten, "flatten"), self._row), functional.dropout: self._same,
            **dict.fromkeys((torch.mean, "mean", functional.adaptive_avg_pool2d), self._start("average")),
        }

    def find(self) -> None:
        for node in self.graph.graph.nodes:
            if node.op == "placeholder":
                self.values[node] = Stage("input", node.name, node, node)
            elif node.op == "get_attr" or gives_numbers(node, self.numbers):
                self.numbers.add(node)
            else:
                try:
                    self._take(node)
                except InputError as error:
                    if not self._is_part_of_refused(node):
                        self.refusals.append(Refusal(node, str(error)))
                    for operand in node.all_input_nodes:
                        if operand in self.values:
                            self._store(operand)
                    self.values[node] = Stage("input", node.name, node, node)  # what follows is judged by itself

    def _take(self, node: fx.Node) -> None:
        if node.op == "output":
            for value in tree_leaves(node.args[0]):
                if value is None:
                    continue
                if not isinstance(value, fx.Node):
                    raise InputError(f"the model must return tensors, not {type(value).__name__}")
                if value not in self.values:
                    raise InputError(f"the model must return a tensor that it computes from its input, not "
                                     f"'{value.name}'")
                self._check_unpadded(value)
                self._store(value)
        else:
            handler = self._handler(node)
            self._check_call(node)
            stage = self.values[node] = handler(node)
            same = (value for value in node.all_input_nodes if self.values[value].compute is stage.compute)
            if node not in self.restored and any(value in self.reshaped for value in same):
                self.reshaped.add(node)

    def _is_part_of_refused(self, node: fx.Node) -> bool:
        """Return whether a node takes one of several values of a call that is refused already."""
        if node.target is not operator.getitem or not isinstance(node.args[0], fx.Node):
            return False
        return shape_of(node.args[0]) is None and any(refusal.node is node.args[0] for refusal in self.refusals)

    def _handler(self, node: fx.Node) -> Callable[[fx.Node], Stage]:
        if node.op == "call_module":
            module = module_of(self.graph, node)
            kind = Quantizer if isinstance(module, Quantizer) else type(module)  # a subclass may compute otherwise
            if kind in self.modules:
                return self.modules[kind]
            raise InputError(f"unsupported module {type_name(kind)} {where(node)}")
        if node.op in ("call_function", "call_method") and node.target in self.functions:
            return self.functions[node.target]
        what = (f"attribute {node.args[1]}" if node.target is getattr else
                f"{node.op.removeprefix('call_')} {getattr(node.target, '__name__', node.target)}")
        raise InputError(f"unsupported {what} {where(node)}")

    def _check_call(self, node: fx.Node) -> None:
        """Refuse parameters used twice, arguments that are not understood, and values changed under a later reader."""
        module = self._module(node)
        if module is None:
            arguments(node)
        if not is_in_place(node, module):
            return
        for value in same_memory(self.graph, self._operand(node, 0), node):
            if value.op == "placeholder":
                raise InputError(f"{self._name(node)} {where(node)} changes the model's input in place")
            for reader in value.users:
                if self.order[reader] > self.order[node]:
                    raise InputError(f"{self._name(node)} {where(node)} changes '{value.name}' in place, which "
                                     f"'{reader.name}' reads later")

    def _module(self, node: fx.Node) -> nn.Module | None:
        return module_of(self.graph, node) if node.op == "call_module" else None

    def _store(self, node: fx.Node) -> fx.Node:
        """Take a node's value as a tensor of its own; gives the end of its stage."""
        stage = self.values[node]
        self.stored.setdefault(stage.end, stage)
        return stage.end

    def _operand(self, node: fx.Node, index: int, *, padded: bool = False) -> fx.Node:
        operand = node.args[index] if index < len(node.args) else None
        if not isinstance(operand, fx.Node) or operand not in self.values:
            raise InputError(f"unsupported operand {operand} of {self._name(node)} {where(node)}")
        if not padded:
            self._check_unpadded(operand)
        return operand

    def _check_unpadded(self, node: fx.Node) -> None:
        if node in self.padded:
            raise InputError(f"padding {where(node)} must be followed by convolutions alone")

    def _is_open(self, node: fx.Node) -> bool:
        """Return whether the stage of `node` can go on: nothing else needs its value as it stands."""
        stage = self.values[node]
        return stage.end not in self.stored and stage.kind != "input" and uses(node) == 1

    def _copy(self, node: fx.Node) -> Stage:
        return Stage("copy", "", node, node, source=self._store(node), signed=self.values[node].signed)

    def _continue(self, stage: Stage, node: fx.Node, **changes: Any) -> Stage:
        return replace(stage, name=stage.name or self._name(node), end=node, **changes)

    def _start(self, kind: Kind) -> Callable[[fx.Node], Stage]:
        def handler(node: fx.Node) -> Stage:
            source = self._operand(node, 0)
            signed = kind == "linear" or self.values[source].signed
            return Stage(kind, self._name(node), node, node, source=self._store(source), signed=signed)
        return handler

    def _conv(self, node: fx.Node) -> Stage:
        source = self._operand(node, 0, padded=True)
        return Stage("conv", self._name(node), node, node, source=self._store(source),
                     pads=self.padded.get(source, (0, 0, 0, 0)))

    def _pad(self, node: fx.Node) -> Stage:
        source = self._operand(node, 0)
        self.padded[node] = pads_of(node, self._module(node))
        self._store(source)
        return self.values[source]

    def _keep(self, kind: Kind) -> Callable[[fx.Node], Stage]:
        """Return what handles a layer whose output holds codes of its input."""
        def handler(node: fx.Node) -> Stage:
            if getattr(self._module(node), "return_indices", False):
                raise InputError(f"MaxPool2d {where(node)} returns indices, which the machine does not have")
            self.stored[node] = self._start(kind)(node)
            return self.stored[node]
        return handler

    def _norm(self, node: fx.Node) -> Stage:
        source = self._operand(node, 0)
        stage, norm = self.values[source], cast(nn.BatchNorm2d, module_of(self.graph, node))
        if norm.running_mean is None or norm.running_var is None:
            raise InputError(f"{type(norm).__name__} {where(node)} has no running statistics, so no fixed gain")
        if norm.training and not self.graph.training:
            raise InputError(f"{type(norm).__name__} {where(node)} stays in training mode when the model is in eval "
                             "mode")
        can = self._is_open(source) and self._is_plain(stage) and source not in self.reshaped
        return self._continue(stage if can else self._copy(source), node, norm=str(node.target), signed=True)

    def _is_plain(self, stage: Stage) -> bool:
        """Return whether nothing follows the layer of a stage so far."""
        return not (stage.norm or stage.residual or stage.clamps or stage.function)

    def _can_add(self, node: fx.Node) -> bool:
        stage = self.values[node]
        return (self._is_open(node) and not (stage.residual or stage.clamps or stage.function)
                and stage.kind not in ("cat", "bilinear"))

    def _add(self, node: fx.Node, sign: int = 1) -> Stage:
        left, right = self._operand(node, 0), self._operand(node, 1)
        swapped = self._larger_is_right(node, left, right)
        if swapped and sign < 0:
            raise InputError(f"{self._name(node)} {where(node)} subtracts a larger tensor from one that is repeated; "
                             "write the sum of the negated tensor")
        if swapped or (swapped is None and self._can_add(right) and not self._can_add(left) and sign == 1):
            left, right = right, left
        stage = self.values[left] if self._can_add(left) else self._copy(left)
        signed = stage.signed or self.values[right].signed or sign < 0
        return self._continue(stage, node, residual=self._store(right), residual_sign=sign, signed=signed)

    def _larger_is_right(self, node: fx.Node, left: fx.Node, right: fx.Node) -> bool | None:
        """Return which of two operands is as large as the result; None if both are, or a shape is unknown."""
        shapes = [shape[1:] for operand in (left, right) if (shape := shape_of(operand)) is not None]
        return second_is_larger(shapes, f"{self._name(node)} {where(node)}") if len(shapes) == 2 else None

    def _multiply(self, node: fx.Node) -> Stage:
        """Multiply two stored tensors: the larger one is read again, each value times its counterpart."""
        left, right = self._operand(node, 0), self._operand(node, 1)
        if self._larger_is_right(node, left, right):
            left, right = right, left
        signed = self.values[left].signed or self.values[right].signed
        stage = Stage("copy", "", node, node, source=self._store(left), signed=self.values[left].signed)
        return self._continue(stage, node, residual=self._store(right), is_product=True, signed=signed)

    def _subtract(self, node: fx.Node) -> Stage:
        return self._add(node, -1)

    def _clamp(self, node: fx.Node) -> Stage:
        source = self._operand(node, 0)
        low, high = ends_of(node, self._module(node))
        can = self._is_open(source) and not self.values[source].function
        stage = self.values[source] if can else self._copy(source)
        floor, ceiling = (min(max(end, low), high) for end in (stage.floor, stage.ceiling))
        return self._continue(stage, node, floor=floor, ceiling=ceiling, signed=stage.signed and floor < 0)

    def _function(self, node: fx.Node) -> Stage:
        source = self._operand(node, 0)
        stage, function = self.values[source], cast(Function, module_of(self.graph, node))
        can = self._is_open(source) and not stage.function and stage.kind != "cat"
        return self._continue(stage if can else self._copy(source), node, function=str(node.target),
                              signed=function.lowest < 0)

    def _tap(self, node: fx.Node) -> Stage:
        """Take a value as a part of a cat, or as an output: as it is made if nothing else needs it, else as a copy."""
        source = self._operand(node, 0)
        stage, (reader, *_) = self.values[source], node.users
        is_part = reader.target in CATS
        if stage.function and stage.quantizer and not is_part and uses(source) == 1:  # the host reads its codes
            return stage
        can = self._is_open(source) and not (is_part and (
            stage.kind == "cat" or source in self.reshaped or (stage.is_product and not stage.function)
            or (self._is_normed(reader) and not self._is_plain(stage))))
        self.stored[node] = self._continue(stage if can else self._copy(source), node, is_part=is_part)
        return self.stored[node]

    def _is_normed(self, cat: fx.Node) -> bool:
        """Return whether a BatchNorm alone reads a cat, so that its parts can be normed where they are written."""
        user = next(iter(cat.users))
        return uses(cat) == 1 and isinstance(self._module(user), NORMS)

    def _cat(self, node: fx.Node) -> Stage:
        axis, shape = arguments(node).get("dim", 0), shape_of(node)
        if axis != 1 and not (axis < 0 if shape is None else axis == 1 - len(shape)):
            raise InputError(f"{self._name(node)} {where(node)} must be along axis 1, the channels, not {axis}")
        operands = node.args[0]
        if not isinstance(operands, tuple | list):
            raise InputError(f"{self._name(node)} {where(node)} must join a list of tensors; write out which")
        parts = [self.values[part] for part in cast("tuple[fx.Node, ...]", operands)]
        return Stage("cat", self._name(node), node, node, parts=tuple(part.end for part in parts),
                     signed=any(part.signed for part in parts))

    def _quantizer(self, node: fx.Node) -> Stage:
        source = self._operand(node, 0)
        stage, quantizer = self.values[source], module_of(self.graph, node)
        assert isinstance(quantizer, Quantizer)
        fresh_input = stage.kind == "input" and stage.end not in self.stored
        stage = stage if fresh_input or self._is_open(source) else self._copy(source)
        self.stored[node] = self._continue(stage, node, quantizer=str(node.target), signed=quantizer.signed)
        return self.stored[node]

    def _host_scale(self, node: fx.Node) -> Stage:
        source = self._operand(node, 0)
        if isinstance(self._module(source), Tap) and uses(source) == 1:
            del self.stored[source]  # one of several outputs ends here, not at its tap
        stage = self.values[source] if self._is_open(source) else self._copy(source)
        return self._continue(stage, node, host_factor=cast(HostScale, module_of(self.graph, node)).factor)

    def _flatten(self, node: fx.Node) -> Stage:
        module = cast(nn.Flatten, module_of(self.graph, node))
        if (module.start_dim, module.end_dim) != (1, -1):
            raise InputError(f"Flatten {where(node)} must start at axis 1 and end at -1, not "
                             f"{module.start_dim} and {module.end_dim}")
        return self._row(node)

    def _row(self, node: fx.Node) -> Stage:
        """Make each image a row: its values stay where they are."""
        if self.values[self._operand(node, 0)].kind != "linear":
            self.reshaped.add(node)
        return self._same(node)

    def _view(self, node: fx.Node) -> Stage:
        source = self._operand(node, 0)
        before, stored, after = shape_of(source), shape_of(self.values[source].compute), as_map(
            cast(View, module_of(self.graph, node)).shape)
        if stored is None or as_map(stored[1:]) == after:  # a row becomes the map again that it was made of
            self.restored.add(node)
            return self._same(node)
        if before is not None and as_map(before[1:]) != after and 1 not in (prod(before[2:]), prod(after[1:])):
            raise InputError(f"View {where(node)} makes {after} of {before[1:]}, which moves values to other channels")
        self.reshaped.add(node)
        return self._same(node)

    def _arranged(self, node: fx.Node) -> Stage:
        if self.values[self._operand(node, 0)].kind != "input":
            raise InputError(f"Arranged {where(node)} must read an input of the model; the host arranges nothing else")
        return self._same(node)

    def _same(self, node: fx.Node) -> Stage:
        source = self._operand(node, 0)
        if self._is_open(source):
            return self._continue(self.values[source], node)
        self._store(source)
        return self.values[source]

    def _name(self, node: fx.Node) -> str:
        """Return the path of the module; the graph's name of a function, or of one of several calls of a module."""
        alone = node.op == "call_module" and self.calls[node.target] == 1
        return str(node.target) if alone else node.name
