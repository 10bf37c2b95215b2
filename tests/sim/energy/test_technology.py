"""Technology tables: complete, sourced, in their bands - or refused."""

from copy import deepcopy
from typing import Any

import pytest
import yaml

from sim.energy.events import PRICED
from sim.energy.technology import Technology, builtin_technologies, load_technology
from sim.errors import InputError
from sim.io.yaml_model import parse

LEGAL = load_technology("generic45").model_dump(mode="json", exclude_unset=True)


def changed(row: str, fields: dict[str, Any]) -> dict[str, Any]:
    """The table with some fields of a row changed, or removed where None."""
    data = deepcopy(LEGAL)
    for table in data["ERT"]["tables"]:
        for i, action in enumerate(table["actions"]):
            if action["name"] == row:
                table["actions"][i] = {k: v for k, v in (action | fields).items() if v is not None}
    return data


def refusal(data: dict[str, Any]) -> str:
    with pytest.raises(InputError) as caught:
        parse(Technology, yaml.safe_dump(data), "t")
    return str(caught.value).removeprefix("technology t: ")


@pytest.mark.parametrize("name", builtin_technologies())
def test_built_in_tables_price_every_event(name: str) -> None:
    """Each event has one row, with a real band around a positive energy and a source that names something."""
    technology = load_technology(name)
    assert sorted(technology.prices) == sorted(PRICED)
    for price in technology.prices.values():
        assert price.energy_lo < price.energy < price.energy_hi
        assert len(price.source) > 20


def test_tables_keep_accelergys_form() -> None:
    """What Accelergy reads is there: a version, tables, and actions with name, arguments and energy."""
    assert LEGAL["ERT"]["version"] == "0.4"
    for table in LEGAL["ERT"]["tables"]:
        assert table["name"]
        for action in table["actions"]:
            assert action["arguments"] == {}
            assert isinstance(action["energy"], float)


@pytest.mark.parametrize(("fields", "message"), [
    ({"source": None}, "ERT.tables.0.actions.0.source: Field required"),
    ({"source": ""}, "ERT.tables.0.actions.0.source: String should have at least 1 character, not ''"),
    ({"source": " \n"}, "ERT.tables.0.actions.0.source: String should have at least 1 character, not ' \\n'"),
    ({"at": {"exponent": 1.5}}, "ERT.tables.0.actions.0.at.exponent: Input should be less than or equal to 1, not 1.5"),
    ({"energy_hi": None}, "ERT.tables.0.actions.0.energy_hi: Field required"),
    ({"fixed": 0.005}, "ERT.tables.0.actions.0: fixed must be at most energy_lo = 0.004, not 0.005"),
    ({"at": {"width_exponent": -1}}, ("ERT.tables.0.actions.0.at.width_exponent: Input should be greater than or equal "
                                      "to 0, not -1")),
    ({"basis": "guessed"}, ("ERT.tables.0.actions.0.basis: Input should be 'measured', 'published' or 'inferred', "
                            "not 'guessed'")),
    ({"energy": 0.02}, ("ERT.tables.0.actions.0: energy must lie in its band energy_lo..energy_hi, "
                        "not 0.02 in 0.004..0.012")),
    ({"energy_lo": -1}, "ERT.tables.0.actions.0.energy_lo: Input should be greater than or equal to 0, not -1"),
    ({"energy": float("inf")}, "ERT.tables.0.actions.0.energy: Input should be a finite number, not inf"),
    ({"at": {"width": 0}}, ("ERT.tables.0.actions.0.at.width: Input should be greater than or equal to 0.000000001, "
                            "not 0")),
    ({"at": {"kib": 8}}, "ERT.tables.0.actions.0: at.kib is for events that touch a memory, not for pair_lanes"),
    ({"at": {"depth": 3}}, "ERT.tables.0.actions.0.at.depth: Extra inputs are not permitted"),
    ({"name": "lane_op"}, (f"ERT.tables.0.actions.0: no event is called 'lane_op'; there are {', '.join(PRICED)}")),
    ({"name": "cycles"}, "event 'pair_lanes' must be priced once, not 0 times"),
])
def test_wrong_rows_are_refused(fields: dict[str, Any], message: str) -> None:
    """A row without a source, out of its band, of an unknown event or twice is refused with its place."""
    assert refusal(changed("pair_lanes", fields)) == message


@pytest.mark.parametrize(("unit", "factor"), [("fJ", 1e-3), ("pJ", 1.0), ("nJ", 1e3)])
def test_units_are_honoured(unit: str, factor: float) -> None:
    """Energies, bands and fixed parts of a file in another unit are prices in pJ."""
    data = changed("act_reads", {"fixed": 2.0}) | {"energy_unit": unit}
    price = parse(Technology, yaml.safe_dump(data), "t").prices["act_reads"]
    assert (price.energy_lo, price.energy, price.energy_hi, price.fixed) == (
        6.25 * factor, 10 * factor, 16 * factor, 2 * factor)


def test_areas_are_refused() -> None:
    """A table of areas beside the energies, as Accelergy writes one, would change nothing."""
    areas = {"ART": {"version": "0.4", "tables": []}}
    assert refusal(LEGAL | areas) == "areas have no use in a technology; remove its ART"


def test_unknown_units_are_refused() -> None:
    """A joule is no small unit."""
    assert refusal(LEGAL | {"energy_unit": "J"}) == "energy_unit: Input should be 'fJ', 'pJ' or 'nJ', not 'J'"


def test_other_versions_are_refused() -> None:
    """A table of another form is not guessed at."""
    data = deepcopy(LEGAL)
    data["ERT"]["version"] = "0.3"
    assert refusal(data) == "ERT.version: Input should be '0.4', not '0.3'"
