"""The op that is wrong, cut out: a Program of one layer with the codes that it had read on the RTL."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bitwright.divergence.ops import OpCheck
from sim.ir.ops import Conv, Load, Pool, Tensor
from sim.ir.program import Program
from sim.plan.plan import Plan
from sim.testing.stimulus.cases import Case

__all__ = ["cut_out"]


def cut_out(plan: Plan, check: OpCheck, image: int) -> Case:
    """Return an op as a Program of its own, on the plan's machine, with what it had read of an image.

    A Load or Store becomes that of a layer that copies its tensor.
    """
    layer, tensors = _layer(plan.program, check)
    inputs: dict[str, NDArray[np.int32]] = {
        name: np.ascontiguousarray(_codes(plan.program, check, name, tensors)[image : image + 1])
        for name in layer.reads}
    return Case(Program(tensors, (layer,), plan.program.arithmetic), plan.machine, inputs,
                {"op": check.op.name, "image": image})


def _codes(program: Program, check: OpCheck, name: str, tensors: tuple[Tensor, ...]) -> NDArray[np.int32]:
    """Return what an op had read; of a Load from another tensor the rows that it loads."""
    if name in check.read:
        return check.read[name]
    (codes,), rows = check.read.values(), tensors[0].height
    return codes[:, :, check.op.first_row : check.op.first_row + rows] if isinstance(check.op, Load) else codes


def _layer(program: Program, check: OpCheck) -> tuple[Conv | Pool, tuple[Tensor, ...]]:
    op = check.op
    target = program.tensor(op.output)
    if isinstance(op, Conv):
        rows, columns = op.map_size(program.tensor(op.input))
        own = Tensor(target.name, rows, columns, (op.channels,), target.format)
        return replace(op, output_part=0, lattice=None), (*(program.tensor(name) for name in op.reads), own)
    if isinstance(op, Pool):
        return op, (program.tensor(op.input), target)
    chip = program.tensor(op.on_chip)
    return Pool("copy", chip.name, "copied", kernel=(1, 1)), (chip, replace(chip, name="copied"))
