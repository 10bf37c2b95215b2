"""What the kernels of Winograd's convolution and their callers agree on."""

from __future__ import annotations

from dataclasses import dataclass

from sim.functional.kernels.abi import GROUP, LANES, SPARE

__all__ = ["CORRECTIONS", "LOW_ROWS", "RAISED", "ROW_BYTES", "SHAPES", "TALL", "TILES", "VECTORS", "Shape",
           "place_bytes", "scratch_bytes"]

CORRECTIONS, TILES = SPARE, SPARE + 1
"""Address of what outputs are raised by; tiles that pass while a panel of weights is near, a multiple of TALL."""
TALL, LOW_ROWS, VECTORS = 6, 2, GROUP // LANES
ROW_BYTES = 4 * GROUP
RAISED = 128


@dataclass(frozen=True)
class Shape:
    """A tile: its outputs, and what they are divided by."""

    height: int
    width: int
    divisor: int

    @property
    def places(self) -> int:
        """Products of a tile, for each pair of channels."""
        return (self.height + 2) * (self.width + 2)

    @property
    def outputs(self) -> int:
        """Pixels of a tile."""
        return self.height * self.width

    def tiles(self, height: int, width: int) -> int:
        """That cover so many outputs."""
        return -(-height // self.height) * -(-width // self.width)


SHAPES = {"rows_2": Shape(2, 2, 4), "rows_4": Shape(2, 4, 48)}


def place_bytes(tiles: int, run: int) -> int:
    """From the sums of codes of a place to those of the next, not in the same set of the cache; `run` bytes a tile."""
    return tiles * run + 64


def scratch_bytes(shape: Shape, tiles: int, run: int) -> int:
    """For a chunk of tiles."""
    products = shape.places * (tiles * ROW_BYTES + 64) + TALL * ROW_BYTES
    pixels = shape.outputs * tiles
    return (tiles + TALL) * 8 + pixels * (2 * 8 + ROW_BYTES) + shape.places * place_bytes(tiles, run) + products + 64
