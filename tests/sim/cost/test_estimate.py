"""An estimate's rows add up to the whole, Loads and Stores among them."""

from math import isclose

import numpy as np
import pytest

from sim.arch.host_memory import Memory
from sim.cost.estimate import estimate
from sim.energy.technology import load_technology
from sim.errors import InputError
from sim.plan.plan import plan
from sim.testing import random_machine, random_program


@pytest.mark.parametrize("seed", range(30))
def test_rows_add_up_to_the_whole(seed: int) -> None:
    """Cycles and energy of all ops sum to those of the Program, however much of it overlaps."""
    rng = np.random.default_rng(seed)
    machine = random_machine(rng).model_copy(update={"memory": Memory(latency_cycles=9, beats=2, period_cycles=3)})
    try:
        planned = plan(random_program(rng, machine, layers=4), machine)
    except InputError:
        return
    cost = estimate(planned, load_technology("generic45"))
    assert [layer.name for layer in cost.layers] == [op.name for op in planned.program.ops]
    assert sum(layer.latency_cycles for layer in cost.layers) == cost.latency_cycles
    assert isclose(sum(layer.energy.nominal_pj for layer in cost.layers), cost.energy.nominal_pj, rel_tol=1e-12)
    assert sum(count for name, count in cost.cycles.items() if name != "total") == cost.latency_cycles
    assert {"load", "store"} <= {layer.kind for layer in cost.layers}
    assert all(layer.utilisation == 0 for layer in cost.layers if not layer.macs)
