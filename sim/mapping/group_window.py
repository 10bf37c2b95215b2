"""Which blocks of channels a row tile of a layer in groups reads: those of its own groups, and few others.

They move along with the row tiles as an adder and a carry of the hardware move them: by the same number of lanes from
tile to tile.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from sim.arch.machine import Machine
from sim.mapping.broadcast import ceil_div
from sim.mapping.conv_shape import ConvShape

__all__ = ["GroupWindow", "group_window"]


@dataclass(frozen=True)
class GroupWindow:
    """The blocks that row tile t reads: from block (t * advance - delay) // lanes on, none that is not there.

    Attributes
    ----------
    advance : int, 1..lanes
        Lanes from row tile to row tile.
    delay : int, 0..lanes
        Lanes by which the first row tile is late.
    blocks : int
        Blocks that every row tile reads.
    """

    advance: int
    delay: int
    blocks: int

    def first_block(self, tile: int, lanes: int, all_blocks: int) -> int:
        """Return the first block that a row tile reads of so many.

        >>> [GroupWindow(advance=16, delay=8, blocks=2).first_block(tile, 64, 3) for tile in (0, 4, 5, 9)]
        [0, 0, 1, 1]
        """
        return min(max(0, (tile * self.advance - self.delay) // lanes), all_blocks - self.blocks)


def group_window(shape: ConvShape, machine: Machine) -> GroupWindow | None:
    """Return the smallest window that holds what every row tile needs; None where it is no smaller than all blocks."""
    if shape.depthwise or shape.groups == 1:
        return None
    return _smallest(sum(shape.in_parts) // shape.groups, shape.out_channels // shape.groups, shape.groups,
                     machine.rows, machine.lanes)


@lru_cache(maxsize=1024)
def _smallest(inputs: int, outputs: int, groups: int, rows: int, lanes: int) -> GroupWindow | None:
    """Return the window of groups of so many input and output channels on row tiles of `rows` outputs."""
    all_blocks, starts = ceil_div(groups * inputs, lanes), range(0, groups * outputs, rows)
    first = [start // outputs * inputs // lanes for start in starts]
    last = [(min(start + rows, groups * outputs) - 1) // outputs * inputs + inputs - 1 for start in starts]
    found = []
    for advance in {max(1, rows * inputs // outputs), ceil_div(rows * inputs, outputs)}:
        delay = max(0, *(tile * advance - (block + 1) * lanes + 1 for tile, block in enumerate(first)))
        blocks = max(end // lanes - max(0, (tile * advance - delay) // lanes) + 1 for tile, end in enumerate(last))
        if advance <= lanes and delay <= lanes and blocks < all_blocks:
            found.append((blocks, advance, delay))
    if not found:
        return None
    blocks, advance, delay = min(found)
    return GroupWindow(advance, delay, blocks)
