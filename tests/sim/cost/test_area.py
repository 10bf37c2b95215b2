"""Areas: sums of parts that grow with the machine."""

from math import isclose

import pytest

from sim.arch.machine import load_machine
from sim.cost.area import area
from sim.energy.of_parts import areas_um2
from sim.energy.parts import BLOCKS, PARTS
from sim.energy.technology import load_technology
from sim.hardware.memories import memories

EDGE, TABLE = load_machine("edge"), load_technology("generic45")


def test_the_area_is_that_of_all_parts() -> None:
    """Logic and memories are the whole, at every end of the band, and no part is missing."""
    found = area(EDGE, TABLE)
    assert tuple(found.by_part) == PARTS
    for end in ("low", "nominal", "high"):
        parts = sum(getattr(band, end) for band in found.by_part.values())
        assert isclose(getattr(found.total_mm2, end), parts, rel_tol=1e-12)
        assert isclose(getattr(found.logic_mm2, end) + getattr(found.memory_mm2, end), parts, rel_tol=1e-12)
    gates = found.gate_equivalents(found.logic_mm2)
    assert gates is not None
    assert isclose(gates.nominal, found.logic_mm2.nominal * 1e6 / 0.798, rel_tol=1e-12)


def test_an_instance_is_its_law_by_hand() -> None:
    """119 elements of 64 lanes; 168 regions of 16 KiB, larger if they are read and written in one cycle."""
    found = areas_um2(EDGE, TABLE)
    assert isclose(found["elements"].nominal, 119 * 1010, rel_tol=1e-12)
    ports = 2.06 if memories(EDGE)["activations"].ports == 2 else 1.0
    assert isclose(found["activations"].nominal, 168 * 32000 * 2**0.95 * ports, rel_tol=1e-12)


@pytest.mark.parametrize(("change", "part"), [
    ({"rows": 32}, "elements"), ({"columns": 9}, "column_operands"), ({"act_regions": 32}, "activations"),
    ({"act_regions": 32}, "banks"), ({"weight_words": 2048}, "weights"), ({"acc_depth": 128}, "accumulators"),
    ({"requantizers": 8}, "requantizers"), ({"depthwise_lanes": 64}, "depthwise_lanes"), ({"terms": 8}, "parameters"),
    ({"columns": 9}, "compute_table"),
])
def test_more_of_anything_is_more_area(change: dict[str, int], part: str) -> None:
    """A larger parameter makes its part larger, and no part smaller."""
    less, more = area(EDGE, TABLE).by_part, area(EDGE.model_copy(update=change), TABLE).by_part
    assert more[part].nominal > less[part].nominal
    assert all(more[name].nominal >= less[name].nominal for name in PARTS)


def test_what_a_machine_lacks_takes_no_area() -> None:
    """Without tables and depthwise lanes neither their memory nor their block is there."""
    found = area(EDGE.model_copy(update={"table_bits": 0, "depthwise_lanes": 0}), TABLE).by_part
    assert found["tables"].high == found["depthwise_lanes"].high == 0.0
    assert all(found[name].low > 0.0 for name in BLOCKS if name != "depthwise_lanes")
