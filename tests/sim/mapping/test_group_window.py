"""Windows of groups hold what every row tile needs, and move as the hardware's adder moves them."""

from itertools import product

import pytest

from sim.mapping.group_window import GroupWindow, _smallest


@pytest.mark.parametrize(("rows", "lanes"), [(2, 8), (4, 8), (4, 16), (16, 64)])
def test_every_row_tile_reads_its_groups(rows: int, lanes: int) -> None:
    """For groups of 1 to 39 inputs and up to 30 outputs: no channel is missed, and all blocks that are read exist."""
    found = 0
    for inputs, outputs, groups in product(range(1, 40), (1, 2, 3, 5, 6, 12, 24, 30), (2, 3, 5, 8, 16)):
        window, blocks = _smallest(inputs, outputs, groups, rows, lanes), -(-groups * inputs // lanes)
        if window is None:
            continue
        found += 1
        assert window.blocks < blocks
        for tile, first in enumerate(positions(window, lanes, blocks, -(-groups * outputs // rows))):
            last = min((tile + 1) * rows, groups * outputs) - 1
            assert window.first_block(tile, lanes, blocks) == first
            assert first * lanes <= tile * rows // outputs * inputs
            assert (last // outputs + 1) * inputs <= (first + window.blocks) * lanes
    assert found > 200


def positions(window: GroupWindow, lanes: int, blocks: int, tiles: int) -> list[int]:
    """First blocks as the sequencer counts them: by lanes, of which a carry moves on by a block."""
    lane, before, block, found = -window.delay % lanes, window.delay > 0, 0, []
    for _ in range(tiles):
        found.append(block)
        carry, lane = divmod(lane + window.advance, lanes)
        block += carry and not before and block != blocks - window.blocks
        before = before and not carry
    return found
