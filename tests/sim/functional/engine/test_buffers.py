"""Where tensors lie: each in memory of its own shape, and nobody's who is still needed."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from sim.arch.machine import load_machine
from sim.functional.engine.buffers import ALIGNMENT, BufferShape, lay_out
from sim.ir.formats import Format
from sim.ir.ops import Pool, Tensor
from sim.ir.program import Program
from sim.testing import random_program


def programs() -> list[Program]:
    machine = load_machine("tiny")
    return [random_program(np.random.default_rng(seed), machine, layers=8, extent=5, channels=3) for seed in range(150)]


def test_a_buffer_has_the_shape_of_its_tensor_and_the_border_of_its_readers() -> None:
    """Height, width, channels, zero point and pads are the tensor's, also in memory that had another before."""
    for program in programs():
        arena = lay_out(program, 64, set())
        for tensor in program.tensors:
            geometry = arena.buffers[tensor.name].shape
            assert (geometry.channels, geometry.height, geometry.width) == tensor.shape
            fmt: Format = tensor.format
            assert geometry.code_bytes == (1 if fmt.bits <= 8 else 4)
            if geometry.code_bytes == 1:
                assert geometry.fill == fmt.zero_point - fmt.low
            for conv in program.convs:
                if conv.input == tensor.name:
                    assert all(wide >= pad for wide, pad in zip(geometry.pads, conv.pads, strict=True))


@pytest.mark.parametrize("keep", [False, True])
def test_no_tensor_lies_where_another_is_still_needed(keep: bool) -> None:
    """Of all tensors that are written and will be read, or are kept, no two share a byte; some memory is used again."""
    again = 0
    for program in programs():
        kept = {tensor.name for tensor in program.outputs} if keep else set()
        arena = lay_out(program, 64, kept)
        again += len(program.tensors) - len(arena.all)
        needed = {t.name for t in program.inputs}
        for i, op in enumerate(program.ops):
            needed |= {op.writes or op.output}
            spans = sorted((buffer.start, buffer.start + buffer.bytes) for buffer in map(arena.buffers.get, needed))
            assert all(end <= start for (_, end), (start, _) in pairwise(spans))
            assert all(start % ALIGNMENT == 0 for start, _ in spans)
            later = {name for following in program.ops[i + 1:] for name in (*following.reads, following.writes)}
            needed = {name for name in needed if name in later or name in kept}
    assert again > 0


def test_tensors_are_placed_without_looking_at_all_that_are_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a long chain, whose tensors all differ, work grows with its length and not with its square."""
    count, fmt, compared = 500, Format(4, "unsigned"), []
    equal = BufferShape.__eq__
    monkeypatch.setattr(BufferShape, "__eq__", lambda one, other: compared.append(1) or equal(one, other))
    tensors = tuple(Tensor(f"t{i}", 1, 1 + count - i, (1,), fmt) for i in range(count))
    program = Program(tensors, tuple(Pool(f"p{i}", f"t{i}", f"t{i + 1}", (1, 2)) for i in range(count - 1)))
    assert len(lay_out(program, 64, set()).all) == count
    assert len(compared) < 4 * count
