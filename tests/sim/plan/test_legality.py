"""What no machine can run is refused by `plan`, with the op, the limit and what came."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from sim.arch.limits import LIMITS
from sim.arch.machine import Machine
from sim.errors import InputError
from sim.ir.arithmetic import Arithmetic
from sim.ir.formats import Format
from sim.ir.ops import Conv, Pool, Steps, Tensor, out_size
from sim.ir.program import Program
from sim.ir.signed_digits import no_digits
from sim.mapping.scheduler import Scheduler
from sim.plan.legality import check_limits
from sim.plan.plan import plan

WIDE = Machine(name="wide", rows=1, columns=1, lanes=4, acc_bits=32, acc_depth=64, requantizers=1, terms=8, window=12,
               weight_words=1 << 24, act_regions=64, region_words=1 << 22, stream_bits=4, clock_mhz=1)
U1 = Format(1, "unsigned")


def chain(ops: int) -> Program:
    """So many pools of one pixel."""
    tensors = tuple(Tensor(f"t{i}", 1, 1, (1,), U1) for i in range(ops + 1))
    return Program(tensors, tuple(Pool(f"p{i}", f"t{i}", f"t{i + 1}", (1, 1)) for i in range(ops)))


def pool(height: int, width: int, kernel: tuple[int, int] = (1, 1), stride: Steps = (1, 1), channels: int = 1,
         fmt: Format = U1) -> Program:
    size = (out_size(height, 0, 0, kernel[0], stride[0]), out_size(width, 0, 0, kernel[1], stride[1]))
    tensors = Tensor("x", height, width, (channels,), fmt), Tensor("y", *size, (channels,), fmt)
    return Program(tensors, (Pool("r", "x", "y", kernel, stride),))


def conv(outputs: int = 1, inputs: tuple[int, ...] = (1,), kind: str = "signed", **fields: object) -> Program:
    """A 1 x 1 convolution of one pixel."""
    zeros = np.zeros(outputs, np.int64)
    op = Conv("r", "x", "y", np.zeros((outputs, sum(inputs), 1, 1), np.int8), Format(1, kind), no_digits(outputs),
                  zeros, zeros, 0, 1, **fields)
    return Program((Tensor("x", 1, 1, inputs, U1), Tensor("y", 1, 1, (outputs,), U1)), (op,))


def digits(count: int) -> Program:
    """A convolution with multipliers of so many digits."""
    program = replace(conv(), arithmetic=Arithmetic(terms=8))
    row = np.arange(count, 0, -1, dtype=np.int8)[None]
    return replace(program, ops=(replace(program.ops[0], multiplier=row),))


def changed(**fields: object) -> Machine:
    """A machine, for some limits beyond its own ranges: without their check."""
    return WIDE.model_copy(update=fields)


CASES = {
    "rows": (lambda over: pool(32767 + over, 1), WIDE, "32767 rows of a padded map, not 32768"),
    "columns": (lambda over: pool(1, 32767 + over), WIDE, "32767 pixels in a row of a padded map, not 32768"),
    "stride": (lambda over: pool(1, 1, stride=(4681 + over, 1)), changed(columns=7),
               "32767 rows between two row groups, vertical stride times columns, not 32774"),
    "stride along rows": (lambda over: pool(1, 1, stride=(1, 32767 + over)), WIDE, "32767 as stride, not 32768"),
    "taps": (lambda over: pool(64 + over, 64, (64 + over, 64)), WIDE, "4096 taps, not 4160"),
    "pixels": (lambda over: pool(1024 + over, 1024), WIDE, "1048576 pixels per column, not 1049600"),
    "steps": (lambda over: pool(64, 32 + 32 * over, (64, 32 + 32 * over), (64, 64), fmt=Format(8, "unsigned")),
              changed(columns=64), "1048576 cycles per step, not 2097152"),
    "blocks": (lambda over: conv(inputs=(4 * (4096 + over),)), WIDE, "4096 channel blocks, not 4097"),
    "pooled blocks": (lambda over: pool(1, 1, channels=4 * (4096 + over)), WIDE, "4096 channel blocks, not 4097"),
    "dilation": (lambda over: conv(dilation=(32767 + over, 1)), WIDE, "32767 as dilation, not 32768"),
    "dilation along rows": (lambda over: conv(dilation=(1, 32767 + over)), WIDE, "32767 as dilation, not 32768"),
    "tiles": (lambda over: conv(outputs=4096 + over), WIDE, "4096 row tiles, not 4097"),
    "requantizer": (lambda over: digits(4 + over), changed(rows=1 << 18, lanes=1 << 18, stream_bits=1 << 18),
                    "1048576 requantizer cycles per pixel, not 1310720"),
    "parts": (lambda over: conv(inputs=(1,) * (4 + over), kind="bipolar"), WIDE,
              "4 parts of an input of bipolar weights, not 5"),
}


WIDTHS = {"rows": "map_bits", "taps": "tap_bits", "pixels": "pixel_bits", "steps": "step_bits", "blocks": "block_bits",
          "tiles": "tile_bits", "parts": "max_parts"}
"""What each case is the upper end of."""


@pytest.mark.parametrize("name", CASES)
def test_sizes_of_an_op(name: str, reaches: Callable[[str, int], None]) -> None:
    """The largest size passes, the next one is refused."""
    make, machine, message = CASES[name]
    checked(make(0), machine)
    if name in WIDTHS:
        reaches(f"limits.{WIDTHS[name]}", int(message.split()[0]))
    message = f"op 'r': the hardware takes at most {message}"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        plan(make(1), machine)
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        checked(make(1), machine)


def checked(program: Program, machine: Machine) -> None:
    """Check the limits alone, whether or not the tensors have a place."""
    check_limits(program, Scheduler(machine).schedules(program), machine)


def test_other_weights_read_any_number_of_parts() -> None:
    """Only the reference row of bipolar weights looks at parts."""
    assert plan(conv(inputs=(1,) * 9), WIDE).schedules[1].blocks == 9


@pytest.mark.parametrize("ops", [0, LIMITS.max_ops + 1])
def test_number_of_ops(ops: int, reaches: Callable[[str, int], None]) -> None:
    """A Program without ops has nothing to run; the descriptor memory holds 256."""
    plan(chain(1), WIDE), plan(chain(LIMITS.max_ops), WIDE)
    if ops > LIMITS.max_ops:
        reaches("limits.max_ops", ops - 1)
    with pytest.raises(InputError, match=rf"^the hardware runs 1\.\.256 Convs and Pools, not {ops}$"):
        plan(chain(ops), WIDE)
