"""`plan`: a Program on a machine - where every tensor lies and how every layer runs.

A Program that does not fit is refused here, with the field and both numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sim.arch.machine import Machine
from sim.errors import InputError
from sim.ir.ops import Conv, Layer, Load, Store, Transfer
from sim.ir.program import Program
from sim.mapping.layout import Bits, row_tile_words
from sim.mapping.schedule import ConvSchedule, conv_shape, schedule_conv
from sim.mapping.transfers import Schedule, schedule_op, with_transfers
from sim.plan.allocator import NoRoom, place
from sim.plan.banding import cut
from sim.plan.host_stream import RowTileItem, TensorItem, tensor_item
from sim.plan.legality import check_counts, check_limits
from sim.plan.prefetch import prefetched
from sim.timing.dependencies import Waits, op_waits

__all__ = ["Plan", "plan"]


@dataclass(frozen=True, eq=False)
class Plan:
    """A Program placed on a machine.

    Attributes
    ----------
    program : Program
        With all its Loads and Stores.
    machine : Machine
    schedules : tuple of ConvSchedule, PoolSchedule or TransferSchedule
        One for each op.
    bases : dict of str to int
        First word in its bank of every tensor that is on chip.
    waits : tuple of Waits
        What each op waits for.
    """

    program: Program
    machine: Machine
    schedules: tuple[Schedule, ...]
    bases: dict[str, int]
    waits: tuple[Waits, ...]

    def convs(self) -> Iterator[tuple[Conv, ConvSchedule]]:
        """The Conv ops with their schedules, in order."""
        for op, schedule in zip(self.program.ops, self.schedules, strict=True):
            if isinstance(op, Conv) and isinstance(schedule, ConvSchedule):
                yield op, schedule

    def stream(self) -> Iterator[Bits]:
        """Words of the weight stream, an array (words, rows, lanes) for each row tile of the whole Program."""
        for conv, schedule in self.convs():
            for tile in range(schedule.row_tiles):
                yield row_tile_words(conv, schedule, tile, self.machine)

    def inward(self) -> Iterator[RowTileItem | TensorItem]:
        """What the host sends while the Program runs, in order: the row tiles of every Conv and every Load."""
        for index, (op, schedule) in enumerate(zip(self.program.ops, self.schedules, strict=True)):
            if isinstance(op, Load):
                yield tensor_item(self.program, index, self.waits[index].written)
            elif isinstance(op, Conv) and isinstance(schedule, ConvSchedule):
                for tile in range(schedule.row_tiles):
                    yield RowTileItem(index, row_tile_words(op, schedule, tile, self.machine))

    def outward(self) -> Iterator[TensorItem]:
        """What the host gets while the Program runs, in order: every Store."""
        for index, op in enumerate(self.program.ops):
            if isinstance(op, Store):
                yield tensor_item(self.program, index)


def plan(program: Program, machine: Machine) -> Plan:
    """Place `program` on `machine`.

    Loads of inputs and Stores of outputs that it lacks are added, and if its tensors do not fit on chip and it has no
    Loads and Stores of its own, it is cut into row bands (`sim.plan.banding`).

    Raises
    ------
    InputError
        If a bit width, digit count, window, rounding, accumulator, row tile or tensor set does not fit, there are no
        ops, or a size is beyond the hardware on any machine (`sim.arch.limits`).
    """
    check_counts(program.ops)
    _check_arithmetic(program, machine)
    for conv in program.convs:
        _check_conv(conv, schedule_conv(conv_shape(program, conv), machine), machine)
    complete = _with_all_transfers(program, machine)
    schedules = tuple(schedule_op(complete, op, machine) for op in complete.ops)
    check_limits(complete, schedules, machine)
    tensors = {tensor.name: tensor for tensor in complete.tensors}
    regions = place(tensors, complete.ops, machine)
    bases = {name: places.start * machine.region_words for name, places in regions.items()}
    return Plan(complete, machine, schedules, bases, op_waits(tensors, complete.ops, regions))


def _with_all_transfers(program: Program, machine: Machine) -> Program:
    """`program` with every Load and Store it needs to fit on `machine`; those that are added run ahead."""
    complete, own = with_transfers(program), {op.name for op in program.ops}
    try:
        return prefetched(complete, [op.name for op in complete.ops
                                     if isinstance(op, Load) and op.name not in own], machine)
    except NoRoom:
        if any(isinstance(op, Transfer) for op in program.ops):
            raise
        return cut(program, machine)


def _refusal(what: str, needed: str, machine: Machine, has: object) -> InputError:
    return InputError(f"{what} needs {needed}; machine '{machine.name}' has {has}")


def _check_arithmetic(program: Program, machine: Machine) -> None:
    if program.arithmetic.rounding not in machine.roundings:
        raise _refusal("the program", f"rounding {program.arithmetic.rounding}", machine, ", ".join(machine.roundings))
    if program.arithmetic.window > machine.window:
        raise _refusal("the program", f"window {program.arithmetic.window}", machine, machine.window)
    if program.arithmetic.wrap and program.arithmetic.acc_bits != machine.acc_bits:
        raise _refusal("the program", f"acc_bits {program.arithmetic.acc_bits} exactly, since it wraps", machine,
                       machine.acc_bits)
    if program.arithmetic.acc_bits > machine.acc_bits:
        raise _refusal("the program", f"acc_bits {program.arithmetic.acc_bits}", machine, machine.acc_bits)
    for op in program.ops:
        for name in op.reads if isinstance(op, Layer) else ():
            bits = program.tensor(name).format.bits
            if bits > machine.max_bits_a:
                raise _refusal(f"op '{op.name}'", f"{bits} bits for activations '{name}'", machine,
                               f"max_bits_a {machine.max_bits_a}")


def _check_conv(conv: Conv, schedule: ConvSchedule, machine: Machine) -> None:
    where, fmt = f"op '{conv.name}'", conv.weight_format
    if fmt.bits > machine.max_bits_w:
        raise _refusal(where, f"{fmt.bits} bits for weights", machine, f"max_bits_w {machine.max_bits_w}")
    if fmt.kind == "bipolar" and not machine.bipolar:
        raise _refusal(where, "a reference row for bipolar weights", machine, "none")
    terms = max(conv.terms, conv.residual_terms)
    if terms > machine.terms:
        raise _refusal(where, f"{terms} digits per multiplier", machine, f"terms {machine.terms}")
    if schedule.weight_words > machine.weight_words:
        raise _refusal(where, f"{schedule.weight_words} weight words per row for a row tile", machine,
                       f"weight_words {machine.weight_words} ({schedule.weight_words - machine.weight_words} too few)")
