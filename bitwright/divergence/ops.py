"""Every op of a run by itself: what the contract makes of what the RTL had read, against what the RTL wrote."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rtl.cosim.run import UNDEFINED, RtlResult
from sim.functional.reference import accumulate, run_op
from sim.ir.ops import Conv, Load, Op, Store, Tensor
from sim.ir.program import Program
from sim.plan.plan import Plan

__all__ = ["OpCheck", "check_ops"]

Codes = NDArray[np.int32]
Map = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class OpCheck:
    """One op on what it had read on the RTL.

    Attributes
    ----------
    number : int
        Of the op in the Plan.
    op : Op
    tensor : str
        What it writes: of a Load on chip, of a Store in the host's memory.
    read : dict of str to int32 array, shape (N, channels, height, width)
        What it read, by tensors; 0 for codes with undefined bits.
    expected, found : int64 arrays, shape (N, channels, own rows, own columns)
        What the contract makes of this, and what the RTL wrote; of the op's own map.
    comparable : bool array of the same shape
        No code with undefined bits was read.
    places : int64 array, shape (3, channels, own rows, own columns)
        Channel, y and x of each in `tensor`.
    wrong_before : int
        Codes that it read and that the Program without faults does not have.
    """

    number: int
    op: Op
    tensor: str
    read: dict[str, Codes]
    expected: Map
    found: Map
    comparable: NDArray[np.bool_]
    places: Map
    wrong_before: int

    @property
    def wrong(self) -> NDArray[np.bool_]:
        """The codes that are wrong by the op itself."""
        return np.asarray((self.expected != self.found) & self.comparable, np.bool_)

    @property
    def undefined(self) -> int:
        """Count the codes with undefined bits that it made out of defined ones."""
        return int(np.count_nonzero(self.wrong & (self.found == UNDEFINED)))


def check_ops(plan: Plan, inputs: Mapping[str, Codes], result: RtlResult,
              simulated: Mapping[str, Codes]) -> Iterator[OpCheck]:
    """Yield every op whose tensors the RTL has completed, in order.

    Parameters
    ----------
    plan : Plan
    inputs : mapping of str to int32 array, shape (N, channels, height, width)
        What the host gave.
    result : RtlResult
        Of the same images.
    simulated : mapping of str to int32 array
        Every tensor of the Program without faults.
    """
    program = plan.program
    chip = {**result.codes, **result.on_chip}
    host = {**result.codes, **{tensor.name: np.asarray(inputs[tensor.name], np.int32) for tensor in program.inputs}}
    for number, op in enumerate(program.ops):
        reads = {name: (host if isinstance(op, Load) else chip) for name in (op.reads or (op.input,))}
        target = host if isinstance(op, Store) else chip
        if op.output in target and all(name in place for name, place in reads.items()):
            read = {name: place[name] for name, place in reads.items()}
            images = min(len(codes) for codes in (*read.values(), target[op.output]))
            yield _check(program, number, {name: codes[:images] for name, codes in read.items()},
                         target[op.output][:images], simulated)


def _check(program: Program, number: int, read: dict[str, Codes], written: Codes,
           simulated: Mapping[str, Codes]) -> OpCheck:
    op = program.ops[number]
    images = len(written)
    known = {name: np.where(codes == UNDEFINED, 0, codes).astype(np.int32) for name, codes in read.items()}
    expected = _own_map(program, op, _after(program, op, known, images))
    comparable = ~_depends(program, op, read, images)
    indices = np.indices(written.shape[1:], np.int32)
    places = np.stack([_own_map(program, op, indices[axis : axis + 1])[0] for axis in range(3)])
    before = sum(int(np.count_nonzero(codes != simulated[name][:images])) for name, codes in read.items())
    return OpCheck(number, op, op.output, known, expected.astype(np.int64),
                   _own_map(program, op, written).astype(np.int64), comparable, places.astype(np.int64), before)


def _after(program: Program, op: Op, read: Mapping[str, Codes], images: int) -> Codes:
    """Return the output of an op after it has run on these codes."""
    if op.writes is None:
        return read[op.input]
    codes = {**read, op.output: np.zeros((images, *program.tensor(op.output).shape), np.int32)}
    run_op(program, op, codes)
    return codes[op.output]


def _own_map(program: Program, op: Op, output: Codes) -> Codes:
    """Return, of all codes of the output of an op, those that it writes."""
    target = program.tensor(op.output)
    match op:
        case Conv():
            return op.own_pixels(output[:, target.part_slice(op.output_part)], program.tensor(op.input))
        case Store() if op.writes is not None:
            part = slice(None) if op.output_part is None else target.part_slice(op.output_part)
            rows = program.tensor(op.input).height
            return output[:, part, op.first_row : op.first_row + rows]
        case _:
            return output


def _depends(program: Program, op: Op, read: Mapping[str, Codes], images: int) -> NDArray[np.bool_]:
    """Return which codes of its own map an op makes of codes with undefined bits."""
    marks = {name: (codes == UNDEFINED).astype(np.int32) for name, codes in read.items()}
    if not any(mark.any() for mark in marks.values()):
        return np.zeros(_own_map(program, op, np.zeros((images, *program.tensor(op.output).shape), np.int32)).shape,
                        np.bool_)
    if isinstance(op, Conv):
        return _conv_depends(program, op, marks)
    return _own_map(program, op, _after(program, op, marks, images)) > 0


def _conv_depends(program: Program, conv: Conv, marks: Mapping[str, Codes]) -> NDArray[np.bool_]:
    source = program.tensor(conv.input)
    plain = Tensor(source.name, source.height, source.width, source.parts, replace(source.format, zero_point=0))
    ones = replace(conv, weights=np.ones_like(conv.weights), weight_format=replace(conv.weight_format, kind="unsigned")
                   if conv.weight_format.kind != "unit" else conv.weight_format)
    found = accumulate(ones, plain, marks[conv.input]) != 0
    if conv.residual is not None:
        part = program.tensor(conv.residual).part_slice(conv.residual_part)
        found |= np.broadcast_to(marks[conv.residual][:, part] != 0, found.shape)
    return np.asarray(found, np.bool_)

