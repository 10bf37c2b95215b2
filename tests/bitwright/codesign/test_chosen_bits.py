"""Files of bits that were chosen for a machine."""

import json
import re
from pathlib import Path

import pytest

from bitwright.codesign.chosen_bits import load_bits
from sim.arch.machine import load_machine
from sim.errors import InputError

GOOD = {"machine": "edge", "technology": "generic45", "bits": {"a": [4, 2]}, "limits": {"latency_cycles": 60}}


def test_other_fields_of_an_allocation_are_left_alone(tmp_path: Path) -> None:
    """What `allocate` writes besides, such as gaps and losses, is of no matter here."""
    path = tmp_path / "bits.json"
    path.write_text(json.dumps(GOOD | {"gap": 0.0}))
    chosen = load_bits(path, load_machine("edge"))
    assert (chosen.bits, chosen.limits) == ({"a": (4, 2)}, {"latency_cycles": 60.0})


@pytest.mark.parametrize(("data", "text"), [
    ([1], ("it must be an object with machine, technology, bits and limits, as `bitwright allocate --out` writes it, "
           "not [1]")),
    ({"bits": [2, 4], "weight": {}}, "'machine' is missing; give a file as `bitwright allocate --out` writes it"),
    (GOOD | {"machine": 3}, "machine must be a name, not 3"),
    (GOOD | {"technology": None}, "technology must be a name, not null"),
    (GOOD | {"bits": {}}, "bits must be an object with two widths for each layer, one layer at least, not {}"),
    (GOOD | {"bits": [2, 4]}, "bits must be an object with two widths for each layer, one layer at least, not [2, 4]"),
    (GOOD | {"bits": {"a": [9, 2]}}, "bits of layer 'a' must be two widths in 1..8, not [9, 2]"),
    (GOOD | {"bits": {"a": [4]}}, "bits of layer 'a' must be two widths in 1..8, not [4]"),
    (GOOD | {"bits": {"a": ["4", 4]}}, 'bits of layer \'a\' must be two widths in 1..8, not ["4", 4]'),
    (GOOD | {"bits": {"a": 4}}, "bits of layer 'a' must be two widths in 1..8, not 4"),
    (GOOD | {"limits": 3}, "limits must be an object with a number for each budget, not 3"),
    (GOOD | {"limits": {"bops": "z"}}, 'budget bops must be a number above 0, not "z"'),
    (GOOD | {"limits": {"bops": 0}}, "budget bops must be a number above 0, not 0"),
    (GOOD | {"machine": "tiny"}, "they are for machine 'tiny', not 'edge'")])
def test_wrong_files_are_refused_in_one_sentence(tmp_path: Path, data: object, text: str) -> None:
    """The message says what is wrong, the limit, and what came."""
    path = tmp_path / "bits.json"
    path.write_text(json.dumps(data))
    with pytest.raises(InputError, match=f"^bits '{re.escape(str(path))}': {re.escape(text)}$"):
        load_bits(path, load_machine("edge"))
