"""What the cycles of an op are spent on, and which of these bounds it."""

from __future__ import annotations

import numpy as np

from sim.ir.ops import Conv, Op, Queue
from sim.ir.program import Program
from sim.mapping.conv_schedule import ConvSchedule
from sim.mapping.schedule import Schedule
from sim.timing.timeline import Split

__all__ = ["bound_of", "layer_cycles_by_cause", "useful_macs"]


def layer_cycles_by_cause(schedule: Schedule, share: int, split: Split) -> dict[str, int]:
    """Return the cycles that an op accounts for by what they are spent on; they add up to `share`.

    Parameters
    ----------
    schedule : Schedule
    share : int
        Cycles that the op accounts for.
    split : Split
        Of these, as the timeline splits them.

    Returns
    -------
    dict of str to int
        Of a Conv: `array` or `depthwise lanes`, in which it computes; `operands`, steps that wait for the reads of the
        next one; `requantizer`, waits for a bank of accumulators that is being requantized; `weights`, waits for
        weights; `pipeline`, filling it and draining it through the requantizer. Of others: `pooling` or `transfers`.
    """
    if not isinstance(schedule, ConvSchedule):
        return {"pooling" if schedule.queue is Queue.COMPUTE else "transfers": share}
    steps = schedule.row_tiles * schedule.pixels * schedule.blocks
    operands = steps * (schedule.step_cycles - schedule.busy_cycles)
    found = {"depthwise lanes" if schedule.on_depthwise_unit else "array": split.pairs, "operands": operands,
             "requantizer": split.wait_accumulator, "weights": split.wait_weights}
    return found | {"pipeline": share - sum(found.values())}


def bound_of(cycles: dict[str, int]) -> str:
    """Return what most cycles are spent on; the first of equals.

    >>> bound_of({"array": 90, "operands": 0, "requantizer": 0, "weights": 100, "pipeline": 20})
    'weights'
    """
    return max(cycles, key=cycles.__getitem__)


def useful_macs(program: Program, op: Op, schedule: Schedule) -> int:
    """Return the multiply-accumulates of one image, without those of zeros that folding has added to a first layer.

    A folded first layer reads an input without padding at stride 1; a place of its kernel that no channel uses is one
    that folding has added (`quant.lowering.space_to_depth`).
    """
    inputs = {tensor.name for tensor in program.inputs}
    if (not isinstance(op, Conv) or op.input not in inputs or max(op.stride) > 1 or any(op.pads) or op.groups > 1
            or op.weight_format.kind == "bipolar"):
        return schedule.macs
    used = op.weights.any(axis=0)
    return schedule.macs * int(np.count_nonzero(used)) // int(used.size)
