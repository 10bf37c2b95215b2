"""Whether a machine, or any machine, can run a Program: the sentence that refuses one that it cannot."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from sim.arch.limits import LIMITS, HardwareLimits
from sim.arch.machine import Machine
from sim.errors import InputError
from sim.ir.ops import Op, Queue
from sim.ir.program import Program
from sim.mapping.schedule import Schedule

__all__ = ["check_arithmetic", "check_counts", "check_limits", "check_needs"]


def check_counts(ops: Sequence[Op], limits: HardwareLimits = LIMITS) -> None:
    """Refuse more ops than the descriptor memories hold; what is added to a Program later only makes them more.

    Raises
    ------
    InputError
        If there are no Convs and Pools, or too many ops of a queue.
    """
    counts = Counter(op.queue for op in ops)
    for queue, what in ((Queue.COMPUTE, "Convs and Pools"), (Queue.LOAD, "Loads"), (Queue.STORE, "Stores")):
        fewest = int(queue is Queue.COMPUTE)
        if not fewest <= counts[queue] <= limits.max_ops:
            raise InputError(f"the hardware runs {fewest}..{limits.max_ops} {what}, not {counts[queue]}")


def check_limits(program: Program, schedules: Sequence[Schedule], machine: Machine,
                 limits: HardwareLimits = LIMITS) -> None:
    """Refuse a Program that is beyond the hardware on any machine.

    Raises
    ------
    InputError
        If there are no Convs and Pools or too many ops, bipolar weights read too many parts, or a number does not
        fit its field; the message names the op, the limit and what came.
    """
    check_counts(program.ops, limits)
    for op, schedule in zip(program.ops, schedules, strict=True):
        for what, came, most in schedule.sizes(machine, limits):
            if came > most:
                raise InputError(f"op '{op.name}': the hardware takes at most {most} {what}, not {came}")


def check_arithmetic(program: Program, machine: Machine) -> None:
    """Refuse a Program whose arithmetic or activations are wider than those of `machine`.

    Raises
    ------
    InputError
        With what the Program needs, and what the machine has.
    """
    needed = program.arithmetic
    if needed.rounding not in machine.roundings:
        raise _refusal("the program", f"rounding {needed.rounding}", machine, ", ".join(machine.roundings))
    if needed.window > machine.window:
        raise _refusal("the program", f"window {needed.window}", machine, machine.window)
    if needed.wrap and needed.acc_bits != machine.acc_bits:
        raise _refusal("the program", f"acc_bits {needed.acc_bits} exactly, since it wraps", machine, machine.acc_bits)
    if needed.acc_bits > machine.acc_bits:
        raise _refusal("the program", f"acc_bits {needed.acc_bits}", machine, machine.acc_bits)
    for op in program.ops:
        for name in op.reads if op.queue is Queue.COMPUTE else ():
            bits = program.tensor(name).format.bits
            if bits > machine.max_bits_a:
                raise _refusal(op.where, f"{bits} bits for activations '{name}'", machine,
                               f"max_bits_a {machine.max_bits_a}")


def check_needs(op: Op, schedule: Schedule, machine: Machine) -> None:
    """Refuse an op that needs more than `machine` has.

    Raises
    ------
    InputError
        With what the op needs, and what the machine has.
    """
    for has, needed, had in schedule.needs(machine):
        if not has:
            raise _refusal(op.where, needed, machine, had)


def _refusal(what: str, needed: str, machine: Machine, has: object) -> InputError:
    return InputError(f"{what} needs {needed}; machine '{machine.name}' has {has}")
