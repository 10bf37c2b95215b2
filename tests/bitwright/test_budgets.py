"""Losses from a file and budgets from the command line."""

import json
import re
from pathlib import Path

import pytest

from bitwright.budgets import Losses, load_losses, parse_budgets
from quant.bits.budgets import BUDGETS
from sim.errors import InputError

LOSSES = Losses(bits=(2, 3), weight={"a": [2.0, 1.0]}, activation={"x": [0.2, 0.1]})


@pytest.mark.parametrize(("text", "message"), [
    ("cycles=1", f"a budget is NAME=LIMIT with NAME one of {', '.join(BUDGETS)}, not 'cycles=1'"),
    ("energy_pj=much", "budget energy_pj: the limit must be a number, not 'much'"),
    ("energy_pj=nan", "budget energy_pj: the limit must be positive and finite, not 'nan'"),
    ("energy_pj=inf", "budget energy_pj: the limit must be positive and finite, not 'inf'"),
    ("weight_bytes=-1", "budget weight_bytes: the limit must be positive and finite, not '-1'"),
    ("latency_cycles=9", "budget latency_cycles is given twice: 7 and 9"),
])
def test_bad_budgets_are_explained(text: str, message: str) -> None:
    """The form, the names there are, and what came."""
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        parse_budgets(["latency_cycles=7", text])


@pytest.mark.parametrize("content", ["", "[1]", "{", '{"bits": [2], "weight": {}}', '{"bits": 1}'])
def test_a_bad_sensitivities_file_is_one_sentence(tmp_path: Path, content: str) -> None:
    """Not JSON, not an object, or a field missing: the path and the reason."""
    path = tmp_path / "s.json"
    path.write_text(content)
    with pytest.raises(InputError, match=f"^sensitivities '{re.escape(str(path))}'.*"):
        load_losses(path)


def test_a_sensitivities_file_round_trips(tmp_path: Path) -> None:
    """What is written as JSON is read back equal."""
    path = tmp_path / "s.json"
    path.write_text(json.dumps(LOSSES.model_dump()))
    assert load_losses(path) == LOSSES
