"""Gates and broadcast residuals: which of them a Program may have, and that the proved bound is one."""

from collections.abc import Callable
from dataclasses import replace
from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.errors import InputError
from sim.ir.arithmetic import Arithmetic
from sim.ir.formats import Format
from sim.ir.ops import Conv, Tensor
from sim.ir.program import Program
from sim.ir.residual import largest_sums
from sim.ir.signed_digits import digits_of

U8, S8 = Format(8, "unsigned"), Format(8, "signed")
ZEROS = np.zeros(2, np.int64)
NONE = digits_of([[], []])
GATE = Conv("gate", "image", "out", np.ones((2, 1, 1, 1), np.int8), Format(1, "unit"), NONE, ZEROS, ZEROS, 0, 255,
            groups=2, residual="other", residual_multiplier=NONE, gate=0)
ARITHMETIC = Arithmetic(acc_bits=16, window=6, terms=2)


def program(shape: tuple[int, int, int] = (2, 3, 4), fmt: Format = U8, arithmetic: Arithmetic = ARITHMETIC,
            **fields: object) -> Program:
    """A gated copy of a map of 2 x 3 x 4, whose residual has this shape and format."""
    channels, height, width = shape
    tensors = (Tensor("image", 3, 4, (2,), U8), Tensor("other", height, width, (1, channels), fmt),
               Tensor("out", 3, 4, (2,), U8))
    return Program(tensors, (replace(GATE, **{"residual_part": 1, **fields}),), arithmetic)


def refusal(make: Callable[[], object]) -> str:
    """The message with which `make` is refused."""
    with pytest.raises(InputError) as caught:
        make()
    return str(caught.value)


SHAPES = {"none": (2, 3, 4), "map": (2, 1, 1), "channel": (1, 3, 4)}


@pytest.mark.parametrize(("gate", "digits"), [(0, 0), (None, 1)])
@pytest.mark.parametrize("other", [*SHAPES.values(), (1, 1, 1)])
@pytest.mark.parametrize("broadcast", SHAPES)
def test_a_residual_has_the_shape_of_its_broadcast(broadcast: str, other: tuple[int, int, int], gate: int | None,
                                                   digits: int) -> None:
    """Each broadcast takes one shape; every other one is refused with it, with and without a gate."""
    fields = {"residual_broadcast": broadcast, "gate": gate, "multiplier": np.ones((2, digits), np.int8)}
    if other == SHAPES[broadcast]:
        assert program(other, **fields).convs[0].residual_broadcast == broadcast
    else:
        assert refusal(lambda: program(other, **fields)) == (
            f"op 'gate': residual must have shape {SHAPES[broadcast]}, not {other}")


@pytest.mark.parametrize(("fields", "message"), [
    ({"residual_broadcast": "all"}, "residual_broadcast must be none, map or channel, not all"),
    ({"gate": -1}, "gate must be in 0..22, not -1"),
    ({"gate": 23}, "gate must be in 0..22, not 23"),
    ({"residual": None, "residual_part": 0, "residual_multiplier": np.zeros((0, 0), np.int8)},
     "a gate needs a residual"),
    ({"residual": None, "residual_part": 0, "residual_multiplier": np.zeros((0, 0), np.int8), "gate": None,
      "residual_broadcast": "map"}, "without a residual, residual_broadcast must be none, not map"),
    ({"weight_format": Format(2, "signed")}, "a gate needs unit weights of 1 x 1, not signed ones of 1 x 1"),
    ({"weights": np.ones((2, 1, 1, 3), np.int8), "pads": (0, 1, 0, 1)},
     "a gate needs unit weights of 1 x 1, not unit ones of 1 x 3"),
    ({"gate": 8}, "the gated sum of channel 0 can reach 16646400; 24 bits hold 8388607"),
    ({"gate": 7, "offset": np.array([0, 8388607 - 8323200 + 1])},
     "the gated sum of channel 1 can reach 8388608; 24 bits hold 8388607"),
])
def test_what_a_gate_must_not_be(fields: dict[str, object], message: str) -> None:
    """A gate is for copies with a residual, and no prefix of its sum may leave the requantizer's width."""
    assert refusal(lambda: program(**fields)) == f"op 'gate': {message}"


def test_the_largest_sum_itself_is_legal() -> None:
    """The bound that the message gives is the largest that is accepted."""
    assert program(gate=7, offset=np.array([0, 8388607 - 8323200])).convs[0].gate == 7


def test_a_gate_needs_no_digits() -> None:
    """T is 0 where neither M nor R has a digit, but only with a gate; a Conv takes at least one term."""
    assert (GATE.terms, GATE.residual_terms, replace(GATE, gate=None).terms) == (0, 0, 1)


exponents = st.lists(st.integers(0, 12), max_size=3, unique=True).map(lambda found: sorted(found, reverse=True))
digits = exponents.flatmap(lambda found: st.tuples(*(st.sampled_from([e + 1, -e - 1]) for e in found)))


@given(digits, digits, st.integers(-(2**20), 2**20), st.integers(0, 20), st.integers(0, 9), st.integers(-255, 255),
       st.integers(-128, 255), st.randoms())
def test_no_prefix_exceeds_the_bound(m: tuple[int, ...], r: tuple[int, ...], offset: int, shift: int, gate: int,
                                     acc: int, residual: int, random: object) -> None:
    """Whatever the order of the terms: digits of M and R, and those of the product, which are bits of the residual."""
    terms = [(acc, d) for d in m] + [(residual, d) for d in r]
    values = [operand * (1 if digit > 0 else -1) << abs(digit) - 1 for operand, digit in terms]
    planes = residual & 255 if residual < 0 else residual
    values += [acc * (-1 if residual < 0 and bit == 7 else 1) << bit + gate for bit in range(8) if planes >> bit & 1]
    random.shuffle(values)
    start = offset + (1 << shift >> 1)
    (bound,) = largest_sums(digits_of([m]), digits_of([r]), np.array([shift]), np.array([offset]), gate, (255, 255))
    assert max(map(abs, accumulate([start, *values]))) <= bound
