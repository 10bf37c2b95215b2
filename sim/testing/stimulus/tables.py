"""Draw tables: of any index format, with codes at random, in order, or at both ends of the output."""

from __future__ import annotations

import numpy as np

from sim.ir.formats import MAX_PLANES, Format
from sim.ir.ops import Conv, Table
from sim.testing.stimulus.program_builder import ProgramBuilder

__all__ = ["draw_table"]


def draw_table(builder: ProgramBuilder, output: Format) -> Table | None:
    """Draw the table of a Conv that writes codes of `output`; None where it has none or can have none.

    After a first one there are more: they wait for each other's slots.
    """
    choices, most = builder.choices, builder.machine.table_bits
    again = any(isinstance(op, Conv) and op.table is not None for op in builder.ops)
    if not most or output.bits > MAX_PLANES or not builder.has("table", 0.7 if again else 0.3):
        return None
    bits = choices.integer("index_bits", 1, most)
    zero = choices.integer("index_zero", 0, (1 << bits) - 1)
    rng = choices.values("table_codes")
    codes = rng.integers(output.low, output.high + 1, 1 << bits)
    match choices.choice("table_kind", ("ends", "order", "random")):
        case "ends":
            codes = np.where(codes > (output.low + output.high) // 2, output.high, output.low)
        case "order":
            codes = np.sort(codes)
    return Table(Format(bits, "unsigned", zero), codes.astype(np.int16))
