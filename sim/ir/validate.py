"""Every rule that a Program must keep as a whole; each op knows its own."""

from __future__ import annotations

from collections.abc import Sequence

from sim.io.bounds import check_name, require, shown
from sim.ir.arithmetic import Arithmetic
from sim.ir.ops import Op, Queue
from sim.ir.residency import Residency
from sim.ir.tensor import Tensor

__all__ = ["check_program"]


def check_program(tensors: Sequence[Tensor], ops: Sequence[Op], arithmetic: Arithmetic) -> None:
    """Refuse tensors and ops that are no Program.

    Raises
    ------
    InputError
        For the first rule that is broken: what, the limit, and what came.
    """
    written = {op.writes for op in ops}
    inputs = {tensor.name for tensor in tensors} - written
    require(bool(inputs), "program", "needs an input: a tensor that no op writes")
    _check_names(tensors, ops)
    for tensor in tensors:
        where = f"tensor '{tensor.name}'"
        require(tensor.format.bits <= arithmetic.acc_bits, where,
                f"a code has at most acc_bits = {arithmetic.acc_bits} bits, not {tensor.format.bits}")
        require(tensor.format.high < 1 << 31, where, f"codes must fit 32 signed bits, not {tensor.format}")
    named = {tensor.name: tensor for tensor in tensors}
    loaded = {op.output for op in ops if op.queue is Queue.LOAD and op.writes is None}
    residency = Residency(named, inputs, loaded)
    for op in ops:
        for role, name in (("input", op.input), ("output", op.output)):
            require(name in named, op.where, f"{role} '{shown(name)}' is not a tensor of the program")
        op.check(named, arithmetic, residency)
    residency.finish()


def _check_names(tensors: Sequence[Tensor], ops: Sequence[Op]) -> None:
    for op in ops:
        check_name(op.name, "an op's name")
    for what, names in (("tensor", [tensor.name for tensor in tensors]), ("op", [op.name for op in ops])):
        seen = set[str]()
        for name in names:
            require(name not in seen, f"{what} '{name}'", "the name is used twice")
            seen.add(name)
