"""Technology tables: complete, sourced, in their bands - or refused."""

from copy import deepcopy
from typing import Any

import pytest
import yaml

from sim.energy.events import PRICED
from sim.energy.parts import ANY_MEMORY, BLOCKS, PARTS
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
    ({"name": "cycles", "by_toggles": None, "at": None}, "event 'pair_lanes' must be priced once, not 0 times"),
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


BAND = {"basis": "measured", "source": "a macro"}


def with_parts(**changes: Any) -> dict[str, Any]:
    """The table with an area and a power for every block and one of each for all memories, with some changes."""
    names = (*BLOCKS, ANY_MEMORY)
    areas = [{"name": name, "area": 2.0, "area_lo": 1.0, "area_hi": 4.0} | BAND for name in names]
    powers = [{"name": name, "power": 2.0, "power_lo": 1.0, "power_hi": 4.0} | BAND for name in names]
    return LEGAL | {"ART": {"version": "0.4", "tables": areas}, "leakage": powers} | changes


def test_every_part_has_an_area_and_a_power() -> None:
    """A row for all memories holds for each that has no row of its own; both are in um2 and uW, whatever the units."""
    data = with_parts(area_unit="mm2", power_unit="mW")
    data["ART"]["tables"].append({"name": "weights", "area": 3.0, "area_lo": 1.0, "area_hi": 4.0} | BAND)
    technology = parse(Technology, yaml.safe_dump(data), "t")
    areas, powers = technology.areas, technology.leakages
    assert (*areas,) == (*powers,) == PARTS
    assert (areas["weights"].area, areas["activations"].area, areas["elements"].area) == (3e6, 2e6, 2e6)
    assert {power.power_hi for power in powers.values()} == {4e3}


def test_a_table_without_areas_says_so() -> None:
    """There is no area to be had from it, and leakage is what its cycles cost."""
    data = {name: section for name, section in LEGAL.items() if name not in ("ART", "leakage")}
    technology = parse(Technology, yaml.safe_dump(data), "t")
    with pytest.raises(InputError, match=r"^technology 'generic45' has no areas; an ART would hold them$"):
        technology.areas  # noqa: B018
    assert technology.leakages == {}


@pytest.mark.parametrize(("change", "message"), [
    ({"name": "multipliers"}, "no part is called 'multipliers'; there are " + ", ".join((*PARTS, ANY_MEMORY))),
    ({"area": 5.0}, "area must lie in its band area_lo..area_hi, not 5.0 in 1.0..4.0"),
    ({"at": {"kib": 8}}, "at.kib is for memories, not for elements"),
    ({"fixed": 1.5}, "fixed must be at most area_lo = 1.0, not 1.5"),
])
def test_wrong_areas_are_refused(change: dict[str, Any], message: str) -> None:
    """As rows of energies are, at their place."""
    data = with_parts()
    data["ART"]["tables"][0] |= change
    assert refusal(data) == f"ART.tables.0: {message}"


@pytest.mark.parametrize(("rows", "message"), [
    (slice(1, None), "part 'elements' must have one {}, not 0"),
    (slice(0, -1), "part 'accumulators' must have one {}, not 0"),
])
def test_missing_parts_are_refused(rows: slice, message: str) -> None:
    """A block or the memories without a number would be left out of every sum."""
    data = with_parts()
    assert refusal(data | {"ART": {"version": "0.4", "tables": data["ART"]["tables"][rows]}}) == (
        "ART: " + message.format("area"))
    assert refusal(data | {"leakage": data["leakage"][rows]}) == message.format("power")


DRAM = {"row_bits": 16384, "burst_bits": 256, "activation": {"energy": 4.0, "energy_lo": 2.0, "energy_hi": 8.0} | BAND,
        "idle": {"power": 2.0, "power_lo": 1.0, "power_hi": 4.0} | BAND}


def test_the_host_memory_is_in_the_units_of_the_table() -> None:
    """Opening a row is an energy, resting a power."""
    technology = parse(Technology, yaml.safe_dump(LEGAL | {"host_memory": DRAM, "energy_unit": "nJ",
                                                           "power_unit": "nW"}), "t")
    assert technology.row_activation is not None
    assert technology.memory_idle is not None
    assert (technology.row_activation.band.high, technology.memory_idle.band.high) == (8e3, 4e-3)


def test_a_burst_is_no_longer_than_a_row() -> None:
    """A host's memory whose bursts do not fit into its rows is none."""
    assert refusal(LEGAL | {"host_memory": DRAM | {"burst_bits": 32768}}) == (
        "host_memory: burst_bits must be at most row_bits = 16384, not 32768")


@pytest.mark.parametrize(("row", "fields", "message"), [
    ("pair_lanes", {"energy": 0.006, "fixed": 0.001, "by_toggles": 0.01, "at": {"toggles": 0.6}}, (
        "by_toggles * at.toggles must be at most energy - fixed = 0.005, so that no data has negative energy, "
        "not 0.01 * 0.6")),
    ("operand_bits", {"by_toggles": 0.001}, (
        "by_toggles is for pair_lanes, narrow_adds, lane_adds, wide_adds, act_reads, not for operand_bits")),
])
def test_toggles_are_refused_where_there_is_no_data(row: str, fields: dict[str, Any], message: str) -> None:
    """Energies stay positive whatever the data, and events without data have none."""
    assert refusal(changed(row, fields)).split(": ", 1)[1] == message


def test_unknown_units_are_refused() -> None:
    """A joule is no small unit."""
    assert refusal(LEGAL | {"energy_unit": "J"}) == "energy_unit: Input should be 'fJ', 'pJ' or 'nJ', not 'J'"


def test_other_versions_are_refused() -> None:
    """A table of another form is not guessed at."""
    data = deepcopy(LEGAL)
    data["ERT"]["version"] = "0.3"
    assert refusal(data) == "ERT.version: Input should be '0.4', not '0.3'"


def test_a_path_bounds_the_clock_at_the_node_of_its_rows_only() -> None:
    """A scaled technology has no bound, since delays are not scaled."""
    data = LEGAL | {"longest_path": {"delay_ns": 8.0, "block": "control", "source": "a netlist"}}
    assert parse(Technology, yaml.safe_dump(data), "t").highest_clock_mhz == 125.0
    assert parse(Technology, yaml.safe_dump(LEGAL), "t").highest_clock_mhz is None
    scaled = data | {"rows_hold_at": {"node_nm": 45, "voltage_v": 1.0}, "node_nm": 32, "voltage_v": 0.9}
    assert parse(Technology, yaml.safe_dump(scaled), "t").highest_clock_mhz is None


def test_a_path_ends_in_a_block() -> None:
    """Any other end is refused with the names of those that there are."""
    data = LEGAL | {"longest_path": {"delay_ns": 8.0, "block": "moon", "source": "a netlist"}}
    assert refusal(data) == f"longest_path: block must be one of {', '.join(BLOCKS)}, not 'moon'"
