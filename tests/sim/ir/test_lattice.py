"""Several ops write an output part: what is written is written completely, and nothing twice."""

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.errors import InputError
from sim.functional.reference import simulate
from sim.ir.formats import Format
from sim.ir.lattice import MAX_PIECES, Lattice, Pieces, first_common
from sim.ir.ops import Conv, Pool, Tensor
from sim.ir.program import Program
from sim.ir.serialize import load_program, save_program

U8, ONE, ZERO = Format(8, "unsigned"), np.ones((1, 1), np.int8), np.zeros(1, np.int64)
RANGES = st.builds(lambda start, step, count: range(start, start + step * count, step),
                   st.integers(0, 30), st.integers(1, 12), st.integers(1, 9))


def copy(name: str, lattice: Lattice | None, **fields: object) -> Conv:
    """A copy of 'x', 2 x 3 pixels, into pixels of 'y'."""
    return Conv(name, "x", "y", np.ones((1, 1, 1, 1), np.int8), Format(1, "unit"), ONE, ZERO, ZERO, 0, 255,
                lattice=lattice, **fields)


def phases(*but: tuple[int, int]) -> list[Conv]:
    """Copies to every second pixel each way, without those of some offsets."""
    return [copy(f"c{y}{x}", Lattice((y, x), (2, 2))) for y, x in product(range(2), range(2)) if (y, x) not in but]


def program(*ops: Conv | Pool, size: tuple[int, int] = (4, 6), parts: tuple[int, ...] = (1,),
            more: tuple[Tensor, ...] = ()) -> Program:
    return Program((Tensor("x", 2, 3, (1,), U8), Tensor("y", *size, parts, U8), *more), ops)


def refusal(make: Callable[[], object]) -> str:
    with pytest.raises(InputError) as caught:
        make()
    return str(caught.value)


def test_maps_interleave() -> None:
    """Pixel (y, x) of a map goes to its row and column of the lattice: four copies are nearest upsampling by two."""
    image = np.arange(6).reshape(1, 1, 2, 3)
    found = simulate(program(*phases()), {"x": image})["y"]
    assert np.array_equal(found, image.repeat(2, axis=2).repeat(2, axis=3))


def test_maps_stack() -> None:
    """With offsets alone maps lie below each other; one of another size beside them fills the rest."""
    sums = replace(copy("sums", Lattice((0, 3), (3, 1))), weights=np.ones((1, 1, 1, 3), np.int8))
    middle = replace(copy("middle", Lattice((1, 3))), input="z")
    tensors = Tensor("x", 2, 3, (1,), U8), Tensor("z", 2, 1, (1,), U8), Tensor("y", 4, 4, (1,), U8)
    stacked = Program(tensors, (copy("top", Lattice()), copy("bottom", Lattice((2, 0))), sums, middle))
    image = np.arange(6).reshape(1, 1, 2, 3)
    found = simulate(stacked, {"x": image, "z": np.array([[[[8], [9]]]])})["y"]
    assert found[0, 0].tolist() == [[0, 1, 2, 3], [3, 4, 5, 8], [0, 1, 2, 9], [3, 4, 5, 12]]


@pytest.mark.parametrize(("make", "message"), [
    (lambda: program(*phases((1, 0))), "tensor 'y': part 0 is written in 18 of its 24 pixels"),
    (lambda: program(*phases(), copy("again", Lattice())), "op 'again': part 0 of 'y' is already written"),
    (lambda: program(*phases((1, 1)), copy("again", Lattice((1, 0), (2, 2)))),
     "op 'again': row 1, column 0 of part 0 of 'y' is already written"),
    (lambda: program(copy("some", Lattice()), copy("all", None, pads=(1, 1, 1, 2))),
     "op 'all': part 0 of 'y' is already written"),
    (lambda: program(copy("all", None)), "op 'all': output 'y' must be 2 x 3, not 4 x 6"),
    (lambda: program(copy("c", Lattice((3, 0)))), "op 'c': last row of its lattice must be in 0..3, not 4"),
    (lambda: program(copy("c", Lattice((0, 2), (1, 2)))), "op 'c': last column of its lattice must be in 0..5, not 6"),
    (lambda: program(copy("c", Lattice((-1, 0)))), "op 'c': first row of its lattice must be in 0..3, not -1"),
    (lambda: program(copy("c", Lattice((0, 0), (0, 1)))),
     "op 'c': a stride of its lattice must be in 1..16777216, not 0"),
    (lambda: program(replace(copy("c", Lattice()), weights=np.ones((1, 1, 3, 1), np.int8))),
     "op 'c': its own map must have at least 1 x 1 pixels, not 0 x 3"),
    (lambda: program(*phases((0, 1)), Pool("p", "y", "z", (1, 1)), more=(Tensor("z", 4, 6, (1,), U8),)),
     "op 'p': reads 'y' before part 0 of it is written"),
    (lambda: program(*phases(), parts=(1, 1)), "tensor 'y': part 1 is never written"),
    (lambda: program(*[replace(op, residual="r", residual_multiplier=ONE) for op in phases()],
                     more=(Tensor("r", 4, 6, (1,), U8),)),
     "op 'c00': residual must have shape (1, 2, 3), not (1, 4, 6)"),
])
def test_refusals(make: Callable[[], object], message: str) -> None:
    """A lattice stays inside its tensor, shares no pixel with another one, and all together leave none."""
    assert refusal(make) == message


def test_the_residual_is_that_of_the_own_map() -> None:
    """Each of the interleaved maps adds a residual of its own size."""
    ops = [replace(op, residual="r", residual_multiplier=ONE) for op in phases()]
    made = program(*ops, more=(Tensor("r", 2, 3, (1,), U8),))
    image, residual = np.arange(6).reshape(1, 1, 2, 3), np.arange(10, 70, 10).reshape(1, 1, 2, 3)
    found = simulate(made, {"x": image, "r": residual})["y"]
    assert np.array_equal(found[:, :, 1::2, ::2], image + residual)


def test_the_number_of_pieces_is_bounded() -> None:
    """A part has at most as many pieces as a machine runs ops, so that checking them stays cheap."""
    ops = [replace(copy(f"c{row}", Lattice((row, 0))), input="z") for row in range(MAX_PIECES + 1)]
    tensors = Tensor("z", 1, 1, (1,), U8), Tensor("y", MAX_PIECES + 1, 1, (1,), U8)
    assert refusal(lambda: Program(tensors, tuple(ops))) == (
        f"op 'c256': at most {MAX_PIECES} ops may write lattices of part 0 of 'y'")


def test_lattices_survive(tmp_path: Path) -> None:
    """They come back from a file, which is of version 3."""
    made = program(*phases())
    save_program(made, tmp_path / "p")
    assert [op.lattice for op in load_program(tmp_path / "p").convs] == [op.lattice for op in made.convs]
    assert b'schema_version\\": 3' in (tmp_path / "p").read_bytes()


@given(RANGES, RANGES)
def test_first_common(one: range, other: range) -> None:
    """It is the least of the numbers that both ranges hold."""
    assert first_common(one, other) == min({*one} & {*other}, default=None)


@given(st.lists(st.tuples(RANGES, RANGES), min_size=1, max_size=5))
def test_pieces_count_pixels(pieces: list[tuple[range, range]]) -> None:
    """A piece is added if it shares no pixel with those before; their pixels are counted."""
    held, seen = Pieces(200, 200), set[tuple[int, int]]()
    for piece in pieces:
        common, pixels = held.add(piece), set(product(*piece))
        assert common == min(pixels & seen, default=None)
        seen |= pixels if common is None else set()
        assert held.pixels == len(seen)
