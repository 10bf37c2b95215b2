"""ATen's comparisons and choices: truths are values that are 1 or 0, which torch keeps as another type."""

from __future__ import annotations

import torch

from quant.frontends.aten.builder import Builder
from quant.frontends.aten.call import Call
from quant.frontends.aten.handler import Arguments, Handler, Made, operand
from quant.graph.ops.elementwise import COMPARISONS, Binary, BinaryKind, Unary, Where
from sim.errors import InputError

__all__ = ["HANDLERS", "is_truth"]


def is_truth(builder: Builder, value: str) -> bool:
    """Return whether a value is a truth for torch."""
    if value in builder.graph.constants:
        return builder.graph.constants[value].dtype is torch.bool
    maker = builder.graph.maker(value)
    if maker is None or not isinstance(maker.operator, Binary):
        return False
    if maker.operator == Binary("sub"):  # torch subtracts no truths: this one was made here
        return is_truth(builder, maker.inputs[1])
    return maker.operator.kind in COMPARISONS or (
        maker.operator.kind in ("mul", "max") and all(is_truth(builder, name) for name in maker.inputs))


def _compared(kind: BinaryKind) -> Handler:
    def handler(builder: Builder, call: Call, given: Arguments) -> Made:
        return builder.add(Binary(kind), [operand(builder, given[name], call) for name in ("self", "other")], call)
    return handler


def _different(builder: Builder, call: Call, given: Arguments) -> Made:
    return _opposite(builder, call, str(_compared("eq")(builder, call, given)))


def _not(builder: Builder, call: Call, given: Arguments) -> Made:
    value = given["self"]
    if is_truth(builder, value):
        return _opposite(builder, call, value)
    return builder.add(Binary("eq"), [value, operand(builder, 0.0, call)], call)


def _joined(kind: BinaryKind) -> Handler:
    def handler(builder: Builder, call: Call, given: Arguments) -> Made:
        return builder.add(Binary(kind), [_truth_of(builder, call, given[name]) for name in ("self", "other")], call)
    return handler


def _truth_of(builder: Builder, call: Call, value: str) -> str:
    """Return whether each number is another than 0."""
    if is_truth(builder, value):
        return value
    if builder.is_constant(value):
        return builder.constant(value, builder.graph.constants[value] != 0)
    return _opposite(builder, call, builder.add(Binary("eq"), [value, operand(builder, 0.0, call)], call))


def _opposite(builder: Builder, call: Call, truth: str) -> str:
    return builder.add(Binary("sub"), [operand(builder, 1.0, call), truth], call)


def _where(builder: Builder, call: Call, given: Arguments) -> Made:
    names = ("mask", "value", "self") if "mask" in given else ("condition", "self", "other")
    return builder.add(Where(), [operand(builder, given[name], call) for name in names], call)


def _cast(builder: Builder, call: Call, given: Arguments) -> Made:
    """Read a change of type: of a truth to numbers, or of a number to a truth; integers are no numbers of a network."""
    value, kind, other = given["self"], given.get("dtype"), given.get("other")
    if isinstance(other, str) and other in builder.graph.constants:
        kind = builder.graph.constants[other].dtype
    if kind is torch.bool:
        return _truth_of(builder, call, value)
    if is_truth(builder, value):
        return value if kind is None else builder.add(Unary("identity"), [value], call)
    if kind is not None and not kind.is_floating_point:
        raise InputError(f"it makes {kind} of what the network computes; use round or floor")
    return str(value)


HANDLERS: dict[str, Handler] = {
    **{f"aten.{kind}.{overload}": _compared(kind) for kind in COMPARISONS for overload in ("Tensor", "Scalar")},
    **{f"aten.ne.{overload}": _different for overload in ("Tensor", "Scalar")},
    **dict.fromkeys(("aten.logical_not.default", "aten.bitwise_not.default"), _not),
    **dict.fromkeys(("aten.logical_and.default", "aten.bitwise_and.Tensor", "aten.__and__.Tensor"), _joined("mul")),
    **dict.fromkeys(("aten.logical_or.default", "aten.bitwise_or.Tensor", "aten.__or__.Tensor"), _joined("max")),
    **{f"aten.where.{overload}": _where for overload in ("self", "ScalarSelf", "ScalarOther", "Scalar")},
    **{f"aten.masked_fill.{overload}": _where for overload in ("Scalar", "Tensor")},
    **dict.fromkeys(("aten.to.dtype", "aten.to.dtype_layout", "aten.to.device", "aten.to.other",
                     "aten._to_copy.default", "aten.type_as.default"), _cast),
}
