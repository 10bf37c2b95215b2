"""The typed graph of what torch.export has listed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from quant.frontends.aten import numbers, places, sums, truths, windows
from quant.frontends.aten.builder import Builder
from quant.frontends.aten.call import SYMBOL, Call, Listing, Ref
from quant.frontends.aten.handler import Handler, Made
from quant.frontends.aten.stacks import after_the_batch
from quant.graph.graph import Graph, Input
from sim.errors import InputError
from sim.io.bounds import shown

__all__ = ["graph_of_listing"]

HANDLERS: Mapping[str, Handler] = {**sums.HANDLERS, **numbers.HANDLERS, **truths.HANDLERS, **windows.HANDLERS,
                                   **places.HANDLERS}

FOLDED = frozenset(f"aten.{name}" for name in (
    "view.default", "reshape.default", "unsqueeze.default", "squeeze.dim", "squeeze.default", "permute.default",
    "transpose.int", "t.default", "expand.default", "slice.Tensor", "select.int", "neg.default", "abs.default",
    "add.Tensor", "sub.Tensor", "mul.Tensor", "div.Tensor", "sqrt.default", "rsqrt.default", "exp.default",
    "reciprocal.default", "pow.Tensor_Scalar", "to.dtype", "_to_copy.default", "clone.default", "detach.default",
    "detach_.default", "alias.default", "lift_fresh_copy.default", "contiguous.default", "sigmoid.default",
    "softplus.default", "relu.default", "tanh.default", "softmax.int", "sum.default", "sum.dim_IntList", "mean.default",
    "stack.default", "clamp.default", "full.default", "zeros.default", "ones.default", "arange.default", "arange.start",
    "scalar_tensor.default", "full_like.default", "zeros_like.default", "ones_like.default", "cat.default",
    "linalg_vector_norm.default", "norm.ScalarOpt_dim", "_weight_norm.default", "flatten.using_ints", "mean.dim",
    "repeat.default", "new_ones.default", "new_zeros.default", "new_full.default",
)) | {f"quantized_decomposed.quantize_per_{what}.default" for what in ("tensor", "channel")}
"""What torch itself computes on constants."""

MOST_NUMBERS = 1 << 26
"""Of a constant that is computed."""

ASSERTIONS = ("aten._assert_tensor_metadata.default", "aten._assert_async.msg", "aten._assert_scalar.default",
              "aten.sym_size.int")


def graph_of_listing(listing: Listing) -> Graph:
    """Return the typed graph of a listing; operators without a counterpart are `Unknown`, with the reason.

    Raises
    ------
    InputError
        If it reads nothing, its inputs have different batches, or it returns something else than tensors.
    """
    batches = {shape[0] for shape in listing.inputs.values() if shape}
    if len(batches) != 1:
        raise InputError("the inputs of an exported model must be batches of one size, not "
                         f"{', '.join(map(str, listing.inputs.values())) or 'none'}")
    for name, shape in listing.inputs.items():
        if -1 in shape[1:]:
            raise InputError(f"input '{shown(name)}' of an exported model must have fixed sizes after the batch, not "
                             f"({', '.join('?' if size < 0 else str(size) for size in shape)})")
    reader = _Reader(Builder([Input(name, shape[1:]) for name, shape in listing.inputs.items()], batches.pop()))
    for name, (path, value) in listing.constants.items():
        reader.names[name] = reader.builder.constant(path, value.detach())
    for call in after_the_batch(listing.calls, listing.outputs):
        reader.take(call)
    graph = reader.builder.graph
    graph.outputs = tuple(reader.names[name] for name in listing.outputs)
    graph.drop_unread()
    return graph


class _Reader:
    """Reads one call after the other. `names` tells which value of the graph each name of the listing stands for."""

    def __init__(self, builder: Builder) -> None:
        self.builder = builder
        self.names = {given.name: given.name for given in builder.graph.inputs}

    def take(self, call: Call) -> None:
        if call.target in ASSERTIONS:
            return
        given = {name: self._resolved(value) for name, value in call.given.items()}
        tensors = [value for value in _leaves(call.given.values()) if isinstance(value, Ref)]
        names = [self.names[ref.name] for ref in tensors]
        changes = _changes_first(call.target)
        try:
            if changes and self.builder.is_constant(names[0]):
                raise InputError(f"it changes '{names[0]}'; a model must only compute")
            if call.target in FOLDED and all(map(self.builder.is_constant, names)):
                made: Made = self._folded(call)
            else:
                made = self._handler(call)(self.builder, call, given)
        except InputError as error:
            reason = str(error)
            made = tuple(self.builder.unknown(call, [name for name in names if name], reason))
        for output, name in zip(call.outputs, (made,) if isinstance(made, str) else made, strict=True):
            self.names[output] = name
        if changes and not self.builder.is_constant(self.names[tensors[0].name]):
            self._changed(self.names[tensors[0].name], self.names[call.outputs[0]], call)

    def _handler(self, call: Call) -> Handler:
        target = _without_change(call.target)
        if target not in HANDLERS:
            raise InputError("")
        return HANDLERS[target]

    def _changed(self, before: str, after: str, call: Call) -> None:
        """Let every name of a value that was changed in place stand for the new one."""
        for name, value in self.names.items():
            if value == before:
                self.names[name] = after
        self.builder.changed(before, call)

    def _folded(self, call: Call) -> str:
        """Return the constant that a call makes of constants."""
        namespace, name, overload = call.target.split(".")
        function = getattr(getattr(getattr(torch.ops, namespace), name), overload)
        given = {key: self._tensors(value) for key, value in call.given.items()}
        on_meta = {key: _map(value, lambda part: part.to("meta") if isinstance(part, Tensor) else part)
                   for key, value in given.items()}
        if SYMBOL in _leaves(given.values()):
            raise InputError("its shape is known only when the model runs; give static sizes")
        try:
            size = function(**({**on_meta, "device": "meta"} if "device" in on_meta else on_meta)).numel()
            if size > MOST_NUMBERS:
                raise InputError(f"a constant may have {MOST_NUMBERS} numbers, not {size}")
            made = function(**given)
        except InputError:
            raise
        except Exception as error:  # torch's own reasons are of many types
            raise InputError(str(error).partition("\n")[0]) from error
        return self.builder.constant(call.outputs[0], made)

    def _resolved(self, value: Any) -> Any:
        return _map(value, lambda part: self.names[part.name] if isinstance(part, Ref) else part)

    def _tensors(self, value: Any) -> Any:
        constants = self.builder.graph.constants
        return _map(value, lambda part: constants[self.names[part.name]] if isinstance(part, Ref) else part)


def _map(value: Any, change: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_map(part, change) for part in value]
    return change(value)


def _leaves(values: Any) -> list[Any]:
    return [leaf for value in values
            for leaf in (_leaves(value) if isinstance(value, list | tuple) else [value])]


def _changes_first(target: str) -> bool:
    """Return whether a call changes its first operand in place, as its name tells."""
    name = target.split(".")[1]
    return name.endswith("_") and not name.endswith("__") and target != "aten.detach_.default"


def _without_change(target: str) -> str:
    """Return the operator that computes the same without changing its operand."""
    namespace, name, overload = target.split(".")
    return f"{namespace}.{name if name.endswith('__') else name.removesuffix('_')}.{overload}"
