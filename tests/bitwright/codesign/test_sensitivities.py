"""Sensitivities from a file and from a mapping."""

import json
from pathlib import Path

import pytest

from bitwright.codesign.sensitivities import Losses, load_losses
from sim.errors import InputError

LOSSES = Losses(bits=(2, 3), weight={"a": [2.0, 1.0]}, activation={"x": [0.2, 0.1]})

GOOD = '{"bits": [2, 3], "weight": {"a": [2, 1.0]}, "activation": {}}'


@pytest.mark.parametrize(("content", "reason"), [
    ("", "not JSON: Expecting value: line 1 column 1 (char 0)"),
    ("{", "not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
    ("\ufeff{}", "not JSON: Unexpected UTF-8 BOM (decode using utf-8-sig): line 1 column 1 (char 0)"),
    ("[" * 100_000, "not JSON: maximum recursion depth exceeded"),
    ("[1]", "Input should be a valid dictionary or instance of Losses, not [1]"),
    ('{"bits": [2], "weight": {}}', "activation: Field required"),
    (GOOD.replace("{}", '{}, "other": 1'), "other: Extra inputs are not permitted"),
    (GOOD.replace("{}", '{}, "bits": [2, 3]'), "not JSON: key 'bits' is given twice"),
    (GOOD.replace('"a": [2', '"a": [2, 1], "a": [2'), "not JSON: key 'a' is given twice"),
    (GOOD.replace("1.0", "NaN"), "not JSON: NaN is no number"),
    (GOOD.replace("1.0", "-Infinity"), "not JSON: -Infinity is no number"),
    (GOOD.replace("1.0", "1e999"), "not JSON: 1e999 is too large a number"),
    (GOOD.replace("1.0", "1e31"),
     "weight.a.1: Input should be less than or equal to 1000000000000000000000000000000, not 1e+31"),
    (GOOD.replace("1.0", "1" * 400), "weight.a.1: Input should be a valid number, not a number of 1326 bits"),
    (GOOD.replace("1.0", "1" * 5000), "not JSON: Exceeds the limit (4300 digits)"),
    (GOOD.replace("1.0", "1_000"), "not JSON: Expecting ',' delimiter: line 1 column 39 (char 38)"),
    (GOOD.replace("1.0", '"1"'), "weight.a.1: Input should be a valid number, not '1'"),
    (GOOD.replace("1.0", "true"), "weight.a.1: Input should be a valid number, not True"),
    (GOOD.replace("1.0", "null"), "weight.a.1: Input should be a valid number, not nothing"),
    (GOOD.replace("[2, 3]", "[2.0, 3]"), "bits.0: Input should be a valid integer, not 2.0"),
    (GOOD.replace("[2, 3]", '["2", 3]'), "bits.0: Input should be a valid integer, not '2'"),
    (GOOD.replace("[2, 3]", "[true, 3]"), "bits.0: Input should be a valid integer, not True"),
    (GOOD.replace("[2, 3]", "[0, 3]"), "bits.0: Input should be greater than or equal to 1, not 0"),
    (GOOD.replace("[2, 3]", "[2, 9]"), "bits.1: Input should be less than or equal to 8, not 9"),
    (GOOD.replace("[2, 3]", f"[2, {10**400}]"),
     "bits.1: Input should be less than or equal to 8, not a number of 1329 bits"),
    (GOOD.replace("[2, 3]", "[3, 2]"), "bits must rise, not [3, 2]"),
    (GOOD.replace("[2, 3]", "[2, 2]"), "bits must rise, not [2, 2]"),
    (GOOD.replace("[2, 3]", "[]"), "bits: Tuple should have at least 1 item after validation, not 0"),
    (GOOD.replace("[2, 3]", "2"), "bits: Input should be a valid tuple, not 2"),
    (GOOD.replace("[2, 1.0]", "[]"), "weight.a: List should have at least 1 item after validation, not 0"),
])
def test_a_bad_sensitivities_file_is_one_sentence(tmp_path: Path, content: str, reason: str) -> None:
    """The path, the place in the file, the rule and what came."""
    path = tmp_path / "s.json"
    path.write_text(content)
    with pytest.raises(InputError) as caught:
        load_losses(path)
    assert str(caught.value).startswith(f"sensitivities '{path}': {reason}")
    assert str(caught.value).isprintable()


def test_a_sensitivities_file_round_trips(tmp_path: Path) -> None:
    """What is written as JSON is read back equal."""
    path = tmp_path / "s.json"
    path.write_text(json.dumps(LOSSES.model_dump()))
    assert load_losses(path) == LOSSES
