"""Budgets from the command line."""

import re

import pytest

from bitwright.cli.parse_budgets import parse_budgets
from quant.bits.budgets import BUDGETS
from sim.errors import InputError


@pytest.mark.parametrize(("text", "message"), [
    ("cycles=1", f"a budget is NAME=LIMIT with NAME one of {', '.join(BUDGETS)}, not 'cycles=1'"),
    ("", f"a budget is NAME=LIMIT with NAME one of {', '.join(BUDGETS)}, not ''"),
    ("a\x1b[2J=1", f"a budget is NAME=LIMIT with NAME one of {', '.join(BUDGETS)}, not 'a\\x1b[2J=1'"),
    ("latency_cycles=9", "budget latency_cycles is given twice: 7 and 9"),
])
def test_bad_budgets_are_explained(text: str, message: str) -> None:
    """The form, the names there are, and what came."""
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        parse_budgets(["latency_cycles=7", text])


NO_LIMITS = ["much", "", "nan", "inf", "-inf", "1e999", "1e31", "0", "-1", "1_000", "٣", "0x10", " 1", "1 ", "1,5",
             "1e", "1\n", "true", "9" * 400]


@pytest.mark.parametrize("limit", NO_LIMITS)
def test_a_limit_is_a_number_in_plain_digits(limit: str) -> None:
    """Underscores, other scripts' digits, white space, and what is not above 0 and finite are no limits."""
    with pytest.raises(InputError, match=r"^budget energy_pj: the limit must be a number above 0 and at most 1e\+30, "
                                         "not '.*'$") as caught:
        parse_budgets([f"energy_pj={limit}"])
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("limit", ["1", "1.5", ".5", "2.", "+3", "1e3", "1E-3", "1e30"])
def test_limits_are_written_as_usual(limit: str) -> None:
    """Integers, fractions and powers of ten."""
    assert parse_budgets([f"energy_pj={limit}"]) == {"energy_pj": float(limit)}
