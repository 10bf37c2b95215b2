"""Lower a Program to operations of compiled code, each with its kernel, its words, and the arrays these point to."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import assert_never

import numpy as np

from sim.errors import InputError
from sim.functional.engine.buffers import Buffer
from sim.functional.engine.conv_lowering import conv_operation
from sim.functional.engine.kernel_selection import conv_kernels
from sim.functional.engine.operation import Operation, extent_words, map_words, source_words, target_words
from sim.functional.engine.requant_table import requant_table
from sim.functional.kernels import abi
from sim.functional.kernels.kernel_id import KernelId
from sim.ir.ops import Conv, Load, Op, Pool, Store, Table, Tensor
from sim.ir.program import Program

__all__ = ["Lowering"]


class Lowering:
    """The operations of a Program for one rung of instructions.

    Parameters
    ----------
    program : Program
    buffers : mapping of str to Buffer
        Memory of every tensor that is computed.
    isa : str
        Rung of `sim.functional.kernels.isa`.
    kernels : mapping of str to str
        Kernels of layers by name, instead of those that the selection takes.

    Raises
    ------
    InputError
        If a layer in `kernels` is unknown.
    """

    def __init__(self, program: Program, buffers: Mapping[str, Buffer], isa: str, kernels: Mapping[str, str]) -> None:
        unknown = set(kernels) - {conv.name for conv in program.convs}
        if unknown:
            raise InputError(f"no convolution named '{min(unknown)}' in the program")
        self.program, self.buffers, self.isa, self.kernels = program, buffers, isa, kernels

    def operations(self, slots: Mapping[str, int], leaving: Collection[str]) -> list[Operation]:
        """Lower the inputs, all ops in order, and the tensors that leave.

        Parameters
        ----------
        slots : mapping of str to int
            Numbers of the host's arrays, by tensor.
        leaving : collection of str
            Tensors that the host wants.

        Raises
        ------
        InputError
            If the kernel that is wanted for a layer cannot compute it.
        """
        return [*(self._enter(tensor, slots[tensor.name]) for tensor in self.program.inputs),
                *(operation for op in self.program.ops for operation in self._lower(op)),
                *(self._leave(self.program.tensor(name), slots[name]) for name in leaving)]

    def possible_kernels(self, conv: Conv) -> list[KernelId]:
        """Return every kernel that is exact for a layer, the best first."""
        source, dense = self.program.tensor(conv.input), self._dense(conv)
        requantizer = requant_table(self.program, dense, interleaved=True).kernel
        return conv_kernels(dense, source.format, self.buffers[conv.input], conv.map_size(source), self.isa,
                            requantizer)

    def _dense(self, conv: Conv) -> Conv:
        """Return a layer that is not depthwise as one that reads its whole input, with zeros where it does not."""
        return conv if conv.depthwise else conv.ungrouped().of_whole(self.program.tensor(conv.input))

    def _lower(self, op: Op) -> list[Operation]:
        """Lower an op: to nothing if it moves nothing, to two operations if it ends in a table."""
        match op:
            case Conv():
                conv = conv_operation(self.program, self._dense(op), self.buffers, self._kernel(op))
                return [conv] if op.table is None else [conv, self._look_up(op, op.table)]
            case Pool():
                return [self._pool(op)]
            case Load() | Store():
                return [self._copy(op)] if op.writes is not None else []
            case _:
                assert_never(op)

    def _kernel(self, conv: Conv) -> KernelId:
        possible = {str(kernel): kernel for kernel in self.possible_kernels(conv)}
        wanted = self.kernels.get(conv.name, next(iter(possible)))
        if wanted not in possible:
            raise InputError(f"layer '{conv.name}' can be computed by {', '.join(possible)}, not {wanted}")
        return possible[wanted]

    def _look_up(self, conv: Conv, table: Table) -> Operation:
        """Map the indices that a Conv has written where its output lies to what is stored for their codes."""
        stored = (table.codes - self.program.tensor(conv.output).format.low).astype(np.uint8)
        return Operation(KernelId("copy", "table"), conv.name, {
            **map_words(self.program, conv, self.buffers[conv.output]), abi.RUN: conv.channels},
            {abi.PARAMETERS: stored})

    def _pool(self, pool: Pool) -> Operation:
        source, target = self.buffers[pool.input], self.buffers[pool.output]
        first = self.program.tensor(pool.input).run_slice(pool.input_parts).start
        kernel = KernelId("max_pool", "lanes", 64 if self.isa in ("avx512", "amx") else 32)
        (height, width), (down, across), (top, left, _, _) = pool.kernel, pool.stride, pool.pads
        return Operation(kernel, pool.name, {
            **source_words(source, channel=first), **target_words(target), **extent_words(target), abi.POOL_TOP: top,
            abi.POOL_LEFT: left, abi.POOL_BOTTOM: source.shape.height, abi.POOL_RIGHT: source.shape.width,
            abi.POOL_HEIGHT: height, abi.POOL_WIDTH: width, abi.POOL_STRIDE_Y: down,
            abi.POOL_STRIDE_X: across})

    def _copy(self, op: Load | Store) -> Operation:
        """Copy rows of a tensor: of the source for a Load, of the target for a Store, perhaps of one part of it."""
        source, target = self.buffers[op.input], self.buffers[op.output]
        source_row, target_row = (op.first_row, 0) if isinstance(op, Load) else (0, op.first_row)
        part = op.output_part if isinstance(op, Store) else None
        channel = 0 if part is None else self.program.tensor(op.output).part_slice(part).start
        return Operation(KernelId("copy", "copy"), op.name, {
            **source_words(source, source_row), **target_words(target, channel, target_row),
            abi.HEIGHT: min(source.shape.height, target.shape.height), abi.WIDTH: source.shape.width,
            abi.RUN: source.pixel_bytes})

    def _enter(self, tensor: Tensor, slot: int) -> Operation:
        """Take an input of the Program from the host."""
        buffer = self.buffers[tensor.name]
        return Operation(KernelId("copy", "enter"), tensor.name, {
            **target_words(buffer), **extent_words(buffer), abi.ZERO: tensor.format.low, abi.HOST: slot})

    def _leave(self, tensor: Tensor, slot: int) -> Operation:
        """Give a tensor to the host."""
        buffer = self.buffers[tensor.name]
        lowest = tensor.format.low if buffer.shape.code_bytes == 1 else 0
        return Operation(KernelId("copy", "leave", 8 * buffer.shape.code_bytes), tensor.name, {
            **source_words(buffer), **extent_words(buffer), abi.ZERO: lowest, abi.HOST: slot})
