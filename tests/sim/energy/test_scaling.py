"""Other voltages and nodes: they change prices, or are refused."""

from math import isclose

import pytest
import yaml

from sim.arch.machine import load_machine
from sim.energy.of_parts import areas_um2
from sim.energy.scaling import AREA, ENERGY
from sim.energy.technology import Technology, load_technology
from sim.errors import InputError
from sim.io.yaml_model import parse

LEGAL = load_technology("generic45").model_dump(mode="json", exclude_unset=True)


def at(node_nm: float, voltage_v: float) -> Technology:
    """The table for another node and voltage."""
    return parse(Technology, yaml.safe_dump(LEGAL | {"node_nm": node_nm, "voltage_v": voltage_v}), "t")


def test_a_lower_voltage_takes_less_energy_and_the_same_area() -> None:
    """By hand from 0.9 to 0.6 V at 45 nm; the host's memory has a voltage of its own."""
    low, plain = at(45, 0.6), load_technology("generic45")
    factor = (1.103 * 0.36 - 0.362 * 0.6 + 0.2767) / (1.103 * 0.81 - 0.362 * 0.9 + 0.2767)
    for event in ("pair_lanes", "act_reads", "cycles"):
        for number in ("energy_lo", "energy", "energy_hi", "fixed", "by_toggles"):
            assert isclose(getattr(low.prices[event], number), factor * getattr(plain.prices[event], number))
    assert low.prices["stream_in_bits"] == plain.prices["stream_in_bits"]
    assert isclose(low.leakages["elements"].power, factor * plain.leakages["elements"].power)
    assert areas_um2(load_machine("edge"), low) == areas_um2(load_machine("edge"), plain)


def test_another_node_widens_the_bands() -> None:
    """One step is within 35 %, more are within a factor of 2.5; areas shrink as well, and so do gate equivalents."""
    plain, near, far = load_technology("generic45"), at(32, 0.9), at(7, 0.7)
    assert isclose(near.areas["elements"].area, 0.46 * plain.areas["elements"].area)
    assert isclose(near.areas["elements"].area_hi, 0.46 * 1.35 * plain.areas["elements"].area_hi)
    assert isclose(far.areas["elements"].area_lo, 0.059 / 2.5 * plain.areas["elements"].area_lo)
    assert (plain.gate_um2, far.gate_um2) == (0.798, 0.798 * 0.059)
    assert far.prices["pair_lanes"].energy < near.prices["pair_lanes"].energy < plain.prices["pair_lanes"].energy


def test_the_table_itself_is_not_scaled() -> None:
    """Where its rows hold, every row is as it stands in the file."""
    rows = [row for table in LEGAL["ERT"]["tables"] for row in table["actions"]]
    prices = load_technology("generic45").prices
    assert all(prices[row["name"]].energy == row["energy"] for row in rows)
    assert ENERGY.keys() == AREA.keys()


@pytest.mark.parametrize(("node_nm", "voltage_v", "message"), [
    (22, 0.9, "node_nm must be one of 65, 45, 32, 20, 16, 14, 10, 7 to be scaled, not 22"),
    (45, 1.8, "voltage_v must be in 0.5..1.3 to be scaled, not 1.8"),
])
def test_what_has_no_equation_is_refused(node_nm: float, voltage_v: float, message: str) -> None:
    """A node or a voltage that would change nothing is not accepted."""
    with pytest.raises(InputError) as caught:
        at(node_nm, voltage_v)
    assert str(caught.value) == f"technology t: {message}"
