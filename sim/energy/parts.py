"""Parts of a machine that take area and leak: blocks of logic, which this table lists, and memories.

The blocks are groups of modules of the Verilog, which together hold every gate of it; `of_module` tells the group.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from operator import attrgetter

from sim.arch.widths import lane_sum_bits
from sim.energy.quantity import ONE, Quantity
from sim.hardware.memories import MEMORIES

__all__ = ["ANY_MEMORY", "BLOCKS", "PARTS", "Block", "block_of_module"]

ANY_MEMORY = "memories"
"""Name of a row that is for every memory without a row of its own."""


@dataclass(frozen=True)
class Block:
    """A group of modules of which a machine has many.

    Attributes
    ----------
    name : str
    meaning : str
    modules : tuple of str
        Beginnings of the names of its modules, as `rtl.verilog` writes them; the longest beginning decides.
    instances : Quantity
    width : Quantity
        On which the gates of an instance depend [bits].
    """

    name: str
    meaning: str
    modules: tuple[str, ...]
    instances: Quantity
    width: Quantity


ROWS = Quantity("rows", attrgetter("rows"))
LANES, COLUMNS = Quantity("lanes", attrgetter("lanes")), Quantity("columns", attrgetter("columns"))

BLOCKS = {block.name: block for block in (
    Block("elements", "processing elements without their accumulators, those of the reference row too",
          ("pe_array_element", "pe_array_reference_element"),
          Quantity("(rows + bipolar) * columns", lambda machine: (machine.rows + machine.bipolar) * machine.columns),
          LANES),
    Block("row_operands", "operand registers of the rows", ("pe_array_row_operands",), ROWS, LANES),
    Block("column_operands", "operand registers of the columns", ("pe_array_column_operands",), COLUMNS, LANES),
    Block("depthwise_lanes", "lanes for depthwise layers, with the weights that columns share", ("depthwise_unit",),
          Quantity("depthwise_lanes * columns", lambda machine: machine.depthwise_lanes * machine.columns),
          Quantity("max_bits_w + max_bits_a + 6", lane_sum_bits)),
    Block("requantizers", "requantizers, with the sequence of their terms", ("requantizer", "term"),
          Quantity("requantizers * columns", lambda machine: machine.requantizers * machine.columns),
          Quantity("acc_bits + window + 2", attrgetter("requant_bits"))),
    Block("banks", "paths into and out of the regions of a bank of activations", ("activation_memory",), COLUMNS,
          Quantity("act_regions * lanes", lambda machine: machine.act_regions * machine.lanes)),
    Block("outputs", "packing of outputs, residuals and pooling, for each column",
          ("output_packer", "residual_fetch", "max_pool"), COLUMNS, LANES),
    Block("streams", "engines of both streams, and paths of weights, parameters and tables",
          ("load_dma", "store_dma", "weight_memory", "parameter_memory", "table_memory"), ONE,
          Quantity("rows * lanes", lambda machine: machine.rows * machine.lanes)),
    Block("control", "all else: descriptors, sequencers, addresses, counters, and the wiring of it all", ("",), ONE,
          COLUMNS),
)}
"""Every block by name."""

PARTS = (*BLOCKS, *MEMORIES)
"""Names of all parts."""


def block_of_module(name: str) -> str:
    """Return the block that a module belongs to, by its name without that of the top; the top itself has an empty one.

    >>> block_of_module("pe_array_element"), block_of_module("pe_array"), block_of_module("")
    ('elements', 'control', 'control')
    """
    beginnings: Mapping[str, str] = {begin: block.name for block in BLOCKS.values() for begin in block.modules}
    return beginnings[max((begin for begin in beginnings if name.startswith(begin)), key=len)]
