"""What a Program is made of: tensors, and the ops that write them."""

from __future__ import annotations

from sim.ir.conv import Conv, accumulator_bounds
from sim.ir.lattice import Lattice
from sim.ir.layer import Pads, Steps, out_size
from sim.ir.op import Queue
from sim.ir.pool import Pool
from sim.ir.table import Table
from sim.ir.tensor import Tensor
from sim.ir.transfers import Load, Store

__all__ = [
    "Conv",
    "Lattice",
    "Layer",
    "Load",
    "Op",
    "Pads",
    "Pool",
    "Queue",
    "Steps",
    "Store",
    "Table",
    "Tensor",
    "Transfer",
    "accumulator_bounds",
    "out_size",
]

Layer = Conv | Pool
"""What computes."""
Transfer = Load | Store
"""What moves a tensor between the host's memory and the chip."""
Op = Layer | Transfer
