"""Where tensors lie on chip: alone while they are alive."""

import numpy as np
import pytest

from sim.mapping.activation_layout import tensor_words
from sim.mapping.transfers import with_transfers
from sim.plan.allocator import AllocationError, allocate, lifetimes, regions_of
from sim.testing import random_machine, random_program


@pytest.mark.parametrize("seed", range(60))
def test_live_tensors_share_no_region(seed: int) -> None:
    """Whatever the number of regions, a placement that is found holds every tensor, alone as long as it is used."""
    rng = np.random.default_rng(seed)
    machine = random_machine(rng)
    program = with_transfers(random_program(rng, machine, layers=5))
    tensors = {tensor.name: tensor for tensor in program.tensors}
    lives, found = lifetimes(program.ops), 0
    for regions in (2, 3, 4, 5, 6, 40):
        fewer = machine.model_copy(update={"act_regions": regions, "region_words": 32})
        try:
            places = allocate(tensors, program.ops, fewer)
        except AllocationError:
            continue
        found += 1
        assert places.keys() == lives.keys()
        for name, place_of in places.items():
            assert 0 <= place_of.start < place_of.stop <= regions
            assert (len(place_of) - 1) * 32 < tensor_words(tensors[name], fewer) <= len(place_of) * 32
            for other, (first, last) in lives.items():
                if other != name and first <= lives[name][1] and last >= lives[name][0]:
                    assert not set(place_of) & set(places[other])
    assert found


def test_no_room_names_the_tensor_and_those_that_are_alive() -> None:
    """With both numbers; the tensors are there for whoever wants to move one."""
    rng = np.random.default_rng(0)
    machine = random_machine(rng)
    program = with_transfers(random_program(rng, machine, layers=1, kinds=("dense",), traits=()))
    tensors = {tensor.name: tensor for tensor in program.tensors}
    small = machine.model_copy(update={"act_regions": 2, "region_words": 1})
    need = regions_of(tensors["t0"], small)
    with pytest.raises(AllocationError) as caught:
        allocate(tensors, program.ops, small)
    assert caught.value.tensors == ("t0",)
    assert str(caught.value) == (f"tensor 't0' needs {need} consecutive activation regions of 1 words while nothing "
                                 f"else is live; machine 'random' has 2 regions, 2 of them free")
