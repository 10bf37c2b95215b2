"""Where the bits of a model live, and what they cost."""

from dataclasses import replace

import numpy as np
import pytest
from torch import fx, nn

from quant.sites import budget_tables, sites, ties
from sim.cost_table import CostTable
from sim.errors import InputError
from sim.program import Program


def test_sites_are_the_layers_and_their_tensors(wide: fx.GraphModule, program: Program) -> None:
    """In the Program's order; the block's two readers of one tensor are tied, the pool has no weights to choose."""
    found = sites(wide, program)
    assert [site.layer for site in found] == [conv.name for conv in program.convs]
    assert [site.tensor for site in found] == [conv.input for conv in program.convs]
    assert [site.layer for site in found if site.module is None] == ["pool"]
    assert [site.layer for site in found if site.is_input] == ["stem"]
    assert ties(found) == ((3, 4),)
    assert all(site.activation is wide.get_submodule(f"{site.tensor}_quantizer") for site in found)


def test_budget_tables_hold_fixed_costs_once(table: CostTable) -> None:
    """What pools cost is added to the first layer, whatever its bits, so that sums are of the whole network."""
    fixed = replace(table, fixed_cycles=100, fixed_energy_pj=7.5)
    tables = budget_tables(fixed, {"latency_cycles": 1, "energy_pj": 1, "weight_bytes": 1})
    assert np.array_equal(tables["latency_cycles"][0], table.cycles[0] + 100)
    assert np.array_equal(tables["latency_cycles"][1:], table.cycles[1:])
    assert np.array_equal(tables["energy_pj"][0], table.energy_pj[0] + 7.5)
    assert np.array_equal(tables["weight_bytes"], table.bytes)
    with pytest.raises(InputError, match=r"^budget must be one of latency_cycles, energy_pj, weight_bytes, not area$"):
        budget_tables(table, {"area": 1})


def test_refuses_the_program_of_another_model(wide: fx.GraphModule, float_net: nn.Module, program: Program) -> None:
    """A missing quantizer is named, and so is a layer that is something else."""
    with pytest.raises(InputError, match=r"^the program is not a lowering of this model, which has no 'x_quantizer'$"):
        sites(float_net, program)
    wide.set_submodule("block1.conv1", nn.Identity())
    with pytest.raises(InputError, match=r"^the program is not a lowering of this model: they differ at "
                                         r"'block1\.conv1'$"):
        sites(wide, program)
