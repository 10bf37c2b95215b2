"""Lay out the memory in which tensors lie while a network runs.

Codes are stored unsigned, less the smallest of their format, pixel by pixel with their channels side by side. Around a
tensor lies the border that its readers pad it with, filled with its zero point when the memory is made and never
written again: so a layer writes straight into what its readers read, and nobody pads. Memory passes from a tensor that
nobody reads any more to one of the same size and border, whose border is in place already.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from sim.ir.ops import Conv, Pads, Tensor
from sim.ir.program import Program

__all__ = ["ALIGNMENT", "Arena", "Buffer", "BufferShape", "lay_out"]

ALIGNMENT = 64
"""Alignment of every buffer: a cache line, and the widest vector [bytes]."""


@dataclass(frozen=True)
class BufferShape:
    """Everything that decides whether two tensors may have the same memory."""

    height: int
    width: int
    channels: int
    pads: Pads
    code_bytes: int
    fill: int


@dataclass(frozen=True)
class Buffer:
    """Memory of one tensor: `start` is its first byte in the arena, border included."""

    start: int
    shape: BufferShape

    @property
    def pixel_bytes(self) -> int:
        """Bytes from a pixel to its right neighbour."""
        return self.shape.channels * self.shape.code_bytes

    @property
    def row_pixels(self) -> int:
        """Pixels of a row, border included."""
        _, left, _, right = self.shape.pads
        return left + self.shape.width + right

    @property
    def row_bytes(self) -> int:
        """Bytes from a pixel to the one below."""
        return self.row_pixels * self.pixel_bytes

    @property
    def bytes(self) -> int:
        """Bytes of the whole, border included."""
        top, _, bottom, _ = self.shape.pads
        return (top + self.shape.height + bottom) * self.row_bytes

    def at(self, y: int, x: int, channel: int = 0) -> int:
        """Return the byte of the arena that holds a code.

        The border has negative rows and columns, and rows and columns beyond the map.
        """
        top, left, _, _ = self.shape.pads
        return (self.start + (y + top) * self.row_bytes + (x + left) * self.pixel_bytes
                + channel * self.shape.code_bytes)


@dataclass
class Arena:
    """The memory of one run: `header` words first, then the buffers."""

    buffers: dict[str, Buffer] = field(default_factory=dict)
    bytes: int = 0
    free: dict[BufferShape, list[Buffer]] = field(default_factory=dict)
    all: list[Buffer] = field(default_factory=list)

    def reserve(self, size: int) -> int:
        """Reserve `size` more bytes and return their start."""
        start = -(-self.bytes // ALIGNMENT) * ALIGNMENT
        self.bytes = start + size
        return start

    def place(self, name: str, shape: BufferShape) -> None:
        """Give a tensor its memory: that of a tensor that nobody reads any more, or new memory."""
        if spare := self.free.get(shape):
            buffer = spare.pop()
        else:
            buffer = Buffer(self.reserve(Buffer(0, shape).bytes), shape)
            self.all.append(buffer)
        self.buffers[name] = buffer

    def release(self, name: str) -> None:
        """Pass on the memory of a tensor that nobody reads any more."""
        buffer = self.buffers[name]
        self.free.setdefault(buffer.shape, []).append(buffer)


def lay_out(program: Program, header_bytes: int, kept: Collection[str]) -> Arena:
    """Reserve memory for every tensor of `program`; that of the tensors `kept` is not passed on."""
    tensors = {tensor.name: tensor for tensor in program.tensors}
    pads = {name: (0, 0, 0, 0) for name in tensors}
    last_use = {}
    for i, op in enumerate(program.ops):
        if isinstance(op, Conv):
            before = pads[op.input]
            pads[op.input] = (max(before[0], op.pads[0]), max(before[1], op.pads[1]),
                              max(before[2], op.pads[2]), max(before[3], op.pads[3]))
        for name in (*op.reads, op.writes):
            if name is not None:
                last_use[name] = i
    arena = Arena()
    arena.reserve(header_bytes)
    for tensor in program.inputs:
        arena.place(tensor.name, _shape(tensor, pads[tensor.name]))
    for i, op in enumerate(program.ops):
        target = op.writes
        if target is not None and target not in arena.buffers:
            arena.place(target, _shape(tensors[target], pads[target]))
        for name in {*op.reads, target}:
            if name is not None and last_use[name] == i and name not in kept:
                arena.release(name)
    return arena


def _shape(tensor: Tensor, pads: Pads) -> BufferShape:
    fmt = tensor.format
    code_bytes = 1 if fmt.bits <= 8 else 4
    return BufferShape(tensor.height, tensor.width, tensor.channels, pads, code_bytes,
                    fmt.zero_point - fmt.low if code_bytes == 1 else 0)
