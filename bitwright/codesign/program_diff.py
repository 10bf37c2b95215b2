"""What differs between two Programs: arithmetic, tensors, ops, and how many numbers of each array."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.ir.arithmetic import Arithmetic
from sim.ir.ops import Conv, Op, Table, Tensor
from sim.ir.program import Program
from sim.ir.signed_digits import multipliers

__all__ = ["Difference", "program_differences"]

PRESENT, MISSING = "present", "missing"


@dataclass(frozen=True)
class Difference:
    """One thing in which two Programs differ.

    Attributes
    ----------
    where : str
        `program`, `arithmetic`, `tensor 'NAME'` or `op 'NAME'`.
    what : str
        The field, or `it` for what only one of them has.
    left, right : object
        What each has, or whether it is "present" or "missing"; of arrays the first numbers that differ.
    index : tuple of int or None
        Where in the arrays these are.
    count, size : int or None
        How many numbers of how many differ.
    largest : int or None
        Their largest difference.
    """

    where: str
    what: str
    left: Any
    right: Any
    index: tuple[int, ...] | None = None
    count: int | None = None
    size: int | None = None
    largest: int | None = None

    def __str__(self) -> str:
        if self.what == "it":
            return f"{self.where}: only the {'second' if self.left == MISSING else 'first'} Program has it"
        if self.index is None:
            return f"{self.where}: {self.what} is {self.left} and {self.right}"
        return (f"{self.where}: {self.count} of {self.size} numbers of {self.what} differ, by up to {self.largest}; "
                f"first at {self.index}, {self.left} and {self.right}")


def program_differences(left: Program, right: Program) -> list[Difference]:
    """Return what differs between two Programs; an empty list means that they compute the same in the same way.

    Tensors and ops are compared by their names.

    Examples
    --------
    >>> from sim.ir.arithmetic import Arithmetic
    >>> from sim.ir.formats import Format
    >>> from sim.ir.ops import Tensor
    >>> one = Program((Tensor("x", 4, 4, (3,), Format(4, "unsigned")),), ())
    >>> two = Program((Tensor("x", 4, 5, (3,), Format(4, "unsigned")),), (), Arithmetic(24))
    >>> print(*program_differences(one, two), sep=chr(10))
    arithmetic: acc_bits is 32 and 24
    tensor 'x': width is 4 and 5
    """
    found = list(_fields("arithmetic", _own_fields(left.arithmetic), _own_fields(right.arithmetic)))
    tensors = [{tensor.name: tensor for tensor in program.tensors} for program in (left, right)]
    found += _existing("tensor", tensors[0], tensors[1])
    for name in (name for name in tensors[0] if name in tensors[1]):
        found += _fields(f"tensor '{name}'", *(_own_fields(side[name]) for side in tensors))
    ops = [{op.name: op for op in program.ops} for program in (left, right)]
    found += _existing("op", ops[0], ops[1])
    shared = [[name for name in ops[side] if name in ops[1 - side]] for side in (0, 1)]
    for name in shared[0]:
        found += _op_differences(ops[0][name], ops[1][name])
    for position, (one, other) in enumerate(zip(*shared, strict=True)):
        if one != other:
            found.append(Difference("program", f"op {position} of those that both have", f"'{one}'", f"'{other}'"))
            break
    return found


def _existing(kind: str, left: dict[str, Any], right: dict[str, Any]) -> Iterator[Difference]:
    for name in [*left, *(name for name in right if name not in left)]:
        if (name in left) != (name in right):
            yield Difference(f"{kind} '{name}'", "it", _presence(name in left), _presence(name in right))


def _presence(has: bool) -> str:
    return PRESENT if has else MISSING


def _own_fields(record: Arithmetic | Tensor) -> dict[str, Any]:
    return {item.name: getattr(record, item.name) for item in fields(record)}


def _fields(where: str, left: dict[str, Any], right: dict[str, Any]) -> Iterator[Difference]:
    for name, value in left.items():
        if value != right[name]:
            yield Difference(where, name, value, right[name])


def _op_differences(left: Op, right: Op) -> Iterator[Difference]:
    """Yield what differs between two ops of one name; of Convs, weights as they are meant and M and R as numbers."""
    where = f"op '{left.name}'"
    if left.kind != right.kind:
        yield Difference(where, "kind", left.kind, right.kind)
        return
    if isinstance(left, Conv) and isinstance(right, Conv):
        yield from _fields(where, _digits(left), _digits(right))
    for item in fields(left):
        values = _value(left, item.name), _value(right, item.name)
        if isinstance(values[0], Table) and isinstance(values[1], Table):
            yield from _fields(where, *({"index of table": table.index} for table in values))
            values = values[0].codes.astype(np.int64), values[1].codes.astype(np.int64)
        if not isinstance(values[0], np.ndarray):
            if any(isinstance(value, Table) for value in values):
                values = _presence(values[0] is not None), _presence(values[1] is not None)
            yield from _fields(where, *({item.name: value} for value in values))
        elif values[0].shape != values[1].shape:
            yield Difference(where, f"shape of {item.name}", values[0].shape, values[1].shape)
        else:
            yield from _array_difference(where, item.name, *values)


def _digits(conv: Conv) -> dict[str, int]:
    """Return how many digits M and R have: the same numbers may have more than they need, which takes time."""
    return {"digits": conv.terms, "residual_digits": conv.residual_terms}


def _value(op: Op, name: str) -> Any:
    if isinstance(op, Conv) and name == "weights":
        return op.weight_values
    value = getattr(op, name)
    return multipliers(value) if name in ("multiplier", "residual_multiplier") else value


def _array_difference(where: str, name: str, left: NDArray[np.int64], right: NDArray[np.int64]) -> Iterator[Difference]:
    different = left != right
    if different.any():
        index = tuple(int(i) for i in np.argwhere(different)[0])
        largest = int(np.abs(left.astype(np.int64) - right).max())
        yield Difference(where, name, int(left[index]), int(right[index]), index, int(np.count_nonzero(different)),
                         left.size, largest)
