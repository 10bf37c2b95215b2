"""Tables for Accelergy: its own sum, energies times counts, is ours."""

from math import isclose

import pytest
import yaml

from sim.arch.machine import load_machine
from sim.cost.estimate import estimate
from sim.energy.accelergy import End, action_counts_yaml, art_yaml, ert_yaml
from sim.energy.events import PRICED
from sim.energy.of_parts import areas_um2
from sim.energy.technology import load_technology
from sim.ir.shapes import ChosenBits, load_shapes
from sim.plan.plan import plan

EDGE, TABLE = load_machine("edge"), load_technology("generic45")


@pytest.mark.parametrize("end", ["low", "nominal", "high"])
def test_energies_times_counts_are_the_estimate(end: End) -> None:
    """Every action that is counted has an energy in the table of the same component, and the sum is the total."""
    program = load_shapes("resnet8").program(ChosenBits(weights=4, activations=4, digits=4), EDGE.arithmetic)
    cost = estimate(plan(program, EDGE), TABLE)
    ert, counts = yaml.safe_load(ert_yaml(EDGE, TABLE, end)), yaml.safe_load(action_counts_yaml(cost.events, TABLE))
    energies = {(table["name"], action["name"]): action["energy"]
                for table in ert["ERT"]["tables"] for action in table["actions"]}
    counted = {(part["name"], action["name"]): action["counts"]
               for part in counts["action_counts"]["local"] for action in part["action_counts"]}
    assert energies.keys() == counted.keys()
    assert {name for _, name in counted} == set(PRICED)
    total = sum(energies[key] * count for key, count in counted.items())
    assert isclose(total, getattr(cost.energy, f"{end}_pj"), rel_tol=1e-12)


def test_areas_are_those_of_the_machine() -> None:
    """Every part has its area in um2, all instances together."""
    tables = yaml.safe_load(art_yaml(EDGE, TABLE))["ART"]["tables"]
    assert {row["name"]: row["area"] for row in tables} == {
        f"bitwright.{part}": band.nominal for part, band in areas_um2(EDGE, TABLE).items()}


def test_versions_are_those_that_accelergy_reads() -> None:
    """Both files name the format that Accelergy 0.4 checks, and only the table's actions have arguments, empty ones."""
    ert, counts = yaml.safe_load(ert_yaml(EDGE, TABLE)), yaml.safe_load(action_counts_yaml({"pair_lanes": 3}, TABLE))
    assert ert["ERT"]["version"] == counts["action_counts"]["version"] == "0.4"
    actions = [action for part in counts["action_counts"]["local"] for action in part["action_counts"]]
    assert {action["name"]: action["counts"] for action in actions}["pair_lanes"] == 3
    assert sum(action["counts"] for action in actions) == 3
    assert all("arguments" not in action for action in actions)
    assert all(action["arguments"] == {} for table in ert["ERT"]["tables"] for action in table["actions"])
