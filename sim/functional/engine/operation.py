"""An operation of compiled code, before the executor's table holds it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sim.functional.kernels.kernel_id import KernelId

__all__ = ["Constant", "Operation"]

Constant = NDArray[np.generic]


@dataclass
class Operation:
    """Everything that the executor needs of one operation.

    Parameters
    ----------
    kernel : KernelId
    op : str
        Name of the op, or of the tensor that is moved.
    words : dict of int to int
        By their names in `sim.functional.kernels.abi`.
    constants : dict of int to array
        Words that are addresses of these.
    requantizer : KernelId or None
        What turns sums into codes.
    scratch_bytes : int
    unwanted : bool
        Whether it writes results that must be dropped.
    """

    kernel: KernelId
    op: str
    words: dict[int, int]
    constants: dict[int, Constant] = field(default_factory=dict)
    requantizer: KernelId | None = None
    scratch_bytes: int = 0
    unwanted: bool = False
