"""Run a measured Program, or the cheapest layer of each kind that it has, on the RTL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitwright.codesign.verify import Verification, verify
from sim.arch.machine import Machine
from sim.errors import InputError
from sim.functional.reference import simulate
from sim.ir.cut import cut
from sim.ir.ops import Conv, Layer, Tensor, out_size
from sim.ir.program import Program
from sim.plan.plan import plan

__all__ = ["OnRtl", "beside", "corner", "sampled_on_rtl", "whole_on_rtl"]

Codes = Mapping[str, NDArray[np.int32]]
LEFT_OUT = ("name", "input", "output", "weights", "multiplier", "shift", "offset", "low", "high", "output_part",
            "residual_part", "residual_multiplier")
"""Fields in which layers of one kind may differ."""


@dataclass
class OnRtl:
    """What ran on the RTL.

    Attributes
    ----------
    machine : str
    ops : list of str
        That ran, each by itself if they are not all.
    of : int
        Ops of the Program.
    codes, differing : int
        Codes of the RTL that were compared with the plain loops, and that differ.
    cycles : int
        Counted.
    exact : bool
        Whether all codes, the cycle in which each op ends, and all counters of events are equal.
    """

    machine: str
    ops: list[str]
    of: int
    codes: int = 0
    differing: int = 0
    cycles: int = 0
    exact: bool = True

    def add(self, found: Verification) -> None:
        """Note what one run has shown."""
        if found.failure is not None:
            raise InputError(found.failure)
        self.codes += found.comparisons[-1].codes
        self.differing += found.comparisons[-1].mismatches
        self.cycles += max(layer.counted for layer in found.layers)
        self.exact = self.exact and found.ok


def whole_on_rtl(program: Program, codes: Codes, machine: Machine) -> OnRtl:
    """Run a whole Program."""
    made = OnRtl(machine.name, [op.name for op in program.ops], len(program.ops))
    made.add(verify(program, machine, codes, onnxruntime=False))
    return made


def sampled_on_rtl(program: Program, codes: Codes, machine: Machine, most_cycles: int) -> OnRtl:
    """Run the cheapest layer of each kind, side by side, on a corner of its input that takes at most so long.

    Parameters
    ----------
    program : Program
    codes : mapping of str to int32 array
        One image.
    machine : Machine
    most_cycles : int
        Predicted, of one layer; one whose kernel reaches over too much is left out, and so are those that write some
        pixels of a tensor.
    """
    alone = {op.name: cut(program, op.name, op.name) for op in program.ops
             if not (isinstance(op, Conv) and op.lattice is not None)}
    cycles = {name: _cycles(part, machine) for name, part in alone.items()}
    chosen: dict[tuple[Any, ...], str] = {}
    for name in sorted(cycles, key=cycles.__getitem__):
        chosen.setdefault(_kind(alone[name].ops[0], alone[name]), name)
    small = {name: part for name in chosen.values() if (part := _small(alone[name], machine, most_cycles)) is not None}
    joint, names = beside([*small.values()])
    values, given = simulate(program, codes), dict[str, NDArray[np.int32]]()
    for part, own in zip(small.values(), names, strict=True):
        given |= {own[tensor.name]: values[tensor.name][:, :, :tensor.height, :tensor.width] for tensor in part.inputs}
    made = OnRtl(machine.name, [*small], len(program.ops))
    made.add(verify(joint, machine, given, onnxruntime=False))
    return made


def _cycles(part: Program, machine: Machine) -> float:
    """Return how long a Program takes, without end if it does not fit on the machine."""
    try:
        return plan(part, machine).timeline.total
    except InputError:
        return inf


def _small(part: Program, machine: Machine, most_cycles: int) -> Program | None:
    """Return the Program of a layer on a corner that takes at most so many cycles, None if there is none."""
    source = part.tensor(part.ops[0].input)
    height, width = source.height, source.width
    while _cycles(part, machine) > most_cycles:
        if (height, width) == (1, 1):
            return None
        height, width = ((height + 1) // 2, width) if height > width else (height, (width + 1) // 2)
        try:
            part = corner(part, height, width)
        except InputError:  # less than its kernel reaches over
            return None
    return part


def beside(parts: Sequence[Program]) -> tuple[Program, list[dict[str, str]]]:
    """Return a Program of several that have nothing in common, and what the tensors of each are called there."""
    names = [{tensor.name: f"{place}.{number}" for number, tensor in enumerate(part.tensors)}
             for place, part in enumerate(parts)]
    tensors, ops = list[Tensor](), list[Layer]()
    for part, own in zip(parts, names, strict=True):
        tensors += [replace(tensor, name=own[tensor.name]) for tensor in part.tensors]
        for op in part.ops:
            assert isinstance(op, Layer)
            made = replace(op, input=own[op.input], output=own[op.output])
            residual = made.residual if isinstance(made, Conv) else None
            ops.append(made if residual is None else replace(made, residual=own[residual]))  # type: ignore[call-arg]
    return Program(tuple(tensors), tuple(ops), parts[0].arithmetic), names


def corner(part: Program, height: int, width: int) -> Program:
    """Return a Program of one layer that reads only so many rows and columns of its input.

    Raises
    ------
    InputError
        If no output is left.
    """
    (op,) = part.ops
    assert isinstance(op, Layer)
    made = [out_size(size, op.pads[axis], op.pads[axis + 2], op.kernel[axis], op.stride[axis], op.dilation[axis])
            for axis, size in enumerate((height, width))]
    sizes = {op.output: made, op.input: [height, width]}
    if isinstance(op, Conv) and op.residual is not None and op.residual_broadcast != "map":
        sizes[op.residual] = made
    tensors = tuple(replace(tensor, height=rows, width=columns) for tensor in part.tensors
                    for rows, columns in [sizes.get(tensor.name, [tensor.height, tensor.width])])
    return Program(tensors, part.ops, part.arithmetic)


def _kind(op: Any, part: Program) -> tuple[Any, ...]:
    """Return what two layers have in common if one of them is enough."""
    shown = {item.name: getattr(op, item.name) for item in fields(op) if item.name not in LEFT_OUT}
    if not isinstance(op, Conv):
        return tuple(shown.values())
    shown |= {"table": op.table is not None, "residual": op.residual is not None, "gate": op.gate is not None,
              "groups": "depthwise" if op.depthwise else op.groups > 1, "kernel": op.kernel,
              "parts": len(part.tensor(op.input).parts) > 1}
    return tuple(map(str, shown.values()))
