"""The scoreboard: orders, what is first different, and which half of the hardware is wrong."""

from __future__ import annotations

import numpy as np
import pytest

from rtl.testbench.lanes import UNDEFINED
from rtl.testbench.scoreboard import Scoreboard
from sim.errors import InputError
from sim.functional.one_op import Requantizer

CODES = np.arange(24).reshape(2, 3, 2, 2)


@pytest.mark.parametrize("order", ["nchw", "nhwc", "hwnc", "cwhn"])
def test_codes_come_in_any_order(order):
    """A tensor that is transposed as the order says is right; the place of a wrong code is that of the tensor."""
    codes = CODES.transpose(["nchw".index(letter) for letter in order]).ravel().copy()
    board = Scoreboard()
    board.expect("y", CODES, order=order)
    board.take("y", codes)
    board.check()
    other = Scoreboard()
    other.expect("y", CODES, order=order)
    codes[codes == 17] = 99
    other.take("y", codes)
    difference = other.verdicts()[0].difference
    assert difference is not None
    assert (difference.place, difference.found, difference.expected) == ((1, 1, 0, 1), 99, 17)


def test_what_does_not_come_and_what_comes_after_all_is_told():
    """A tensor is right only when every code has come, and nothing after the last."""
    board = Scoreboard()
    board.expect("y", CODES)
    board.expect("z", CODES[:1])
    board.take("y", CODES.ravel()[:20])
    board.take("z", [*CODES[:1].ravel(), 5])
    with pytest.raises(AssertionError, match=r"^tensor 'y': 4 codes did not come\ntensor 'z': 1 codes came after the "
                                             r"last one$"):
        board.check()
    assert board.remaining("y") == 4


def test_undefined_codes_are_counted_apart():
    """A code with undefined bits differs, and is named so."""
    board = Scoreboard()
    board.expect("y", CODES)
    board.take("y", np.where(CODES > 21, UNDEFINED, CODES).ravel())
    assert str(board.verdicts()[0]) == ("tensor 'y': 2 of 24 codes differ, 2 with undefined bits; first at image 1, "
                                        "channel 2, y 1, x 0: undefined bits, expected 22")


def test_codes_come_by_place():
    """Places may come in any order, each once."""
    board = Scoreboard()
    board.expect("y", CODES)
    for place in np.random.default_rng(0).permutation([*np.ndindex(CODES.shape)]):
        board.put("y", tuple(place), CODES[tuple(place)])
    board.check()
    with pytest.raises(InputError, match=r"^the code of 'y' at \(0, 0, 0, 0\) has come already$"):
        board.put("y", (0, 0, 0, 0), 0)
    with pytest.raises(InputError, match=r"^'y' of shape \(2, 3, 2, 2\) has no place \(0, 3, 0, 0\)$"):
        board.put("y", (0, 3, 0, 0), 0)


SUMS = np.arange(-16, 16).reshape(1, 2, 4, 4)
HALVES = Requantizer(1, 1, 0, low=-8, high=7, rounding="half_up")


def board_of(found: np.ndarray, sums: np.ndarray | None = None) -> str:
    """What a scoreboard says of codes, and of sums that the hardware had if they are given."""
    board = Scoreboard()
    board.expect("y", HALVES(SUMS), sums=SUMS, requantizer=HALVES)
    board.take("y", found.ravel())
    if sums is not None:
        board.take_sums("y", sums.ravel())
    return str(board.verdicts()[0].suspect)


def test_a_wrong_rounding_is_told_by_its_situation():
    """Ties away from zero differ for negative ties alone, ties to even for those with an even code below."""
    away = np.clip(np.sign(SUMS) * ((np.abs(SUMS) + 1) // 2), -8, 7)
    assert board_of(away) == (
        "the requantizer is suspected: equal sums of a channel have become equal codes; all wrong codes (8) are ties "
        "of negative numbers, as are 0 of the 24 right ones")
    assert board_of(away, SUMS).startswith("the requantizer is wrong: the sums of these codes are right; all wrong")
    even = Requantizer(1, 1, 0, low=-8, high=7, rounding="half_even")(SUMS)
    assert "; all wrong codes (8) are ties with an even code below, as are 0 of the 24 right ones" in board_of(even)


def test_a_wrong_sum_is_told():
    """Sums that differ are certain; of codes alone, a sum of the reference that has become two codes gives it away."""
    wrong = SUMS.copy()
    wrong[0, 1, 2, 3] += 4
    assert board_of(HALVES(wrong), wrong) == (
        "the sum is wrong at 1 of these 1 codes; first at (0, 1, 2, 3): 15, expected 11")
    doubled = np.concatenate([SUMS, SUMS])
    board = Scoreboard()
    board.expect("y", HALVES(doubled), sums=doubled, requantizer=HALVES)
    found = HALVES(doubled)
    found[1, 0, 0, 0] += 3
    board.take("y", found.ravel())
    assert board.verdicts()[0].suspect == (
        "the sum is suspected: in channel 0 the expected sum -16 has become -8 and -5")


def test_bad_orders_are_refused():
    """An order names every axis once, or places once."""
    board = Scoreboard()
    with pytest.raises(InputError, match=r"^order must have each letter of nchw once for a tensor of four axes, not be "
                                         r"nhw for 4$"):
        board.expect("y", CODES, order="nhw")
    with pytest.raises(InputError, match=r"^order has a place more than once$"):
        board.expect("y", CODES, order=[(0, 0, 0, 0)] * 2)
    with pytest.raises(InputError, match=r"^no tensor 'z' is expected$"):
        board.take("z", [])
