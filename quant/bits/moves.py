"""Ops of a Program that have no weights to choose bits for, and those that only move codes."""

from __future__ import annotations

import numpy as np

from sim.ir.ops import Conv, Layer, Op
from sim.ir.program import Program

__all__ = ["has_fixed_weights", "keeps_codes"]

def has_fixed_weights(conv: Conv) -> bool:
    """Return whether lowering has made the weights, such as ones and zeros: those of quantizers have a sign."""
    return conv.weight_format.kind in ("unit", "unsigned")


def keeps_codes(program: Program, op: Op) -> bool:
    """Return whether a whole tensor holds codes of the op's input, so that both have one width: max pools, and moves.

    A move picks codes, or brings them to other places, and adds nothing to them but zero points.
    """
    if not isinstance(op, Conv):
        return isinstance(op, Layer) and op.keeps_codes
    source, target = program.tensor(op.input), program.tensor(op.output)
    if not has_fixed_weights(op) or source.format != target.format or op.residual is not None:
        return False
    sums = op.weights.sum(axis=(1, 2, 3), dtype=np.int64)
    return (len(target.parts) == 1
            and op.table is None and int(sums.max()) <= 1 and not op.shift.any() and op.multiplier.shape[1] == 1
            and bool((op.multiplier == 1).all()) and bool((op.offset == -sums * source.format.zero_point).all())
            and (op.low, op.high) == (target.format.low, target.format.high))
