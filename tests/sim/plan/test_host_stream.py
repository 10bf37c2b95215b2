"""What passes over the streams is what the plan counts."""

from itertools import pairwise

import numpy as np
import pytest

from sim.errors import InputError
from sim.functional.reference import simulate
from sim.ir.ops import Conv, Load, Store
from sim.mapping.activation_layout import bank_contents
from sim.mapping.conv_schedule import ConvSchedule
from sim.mapping.transfer_schedule import TransferSchedule
from sim.plan.host_stream import RowTileItem, TableItem, TensorItem, tensor_item
from sim.plan.plan import Plan, plan
from sim.testing import corner_inputs, random_machine, random_program


def some_plan(seed: int) -> Plan | None:
    """A plan on a machine with few regions, so that there are Loads and Stores of every kind."""
    rng = np.random.default_rng(seed)
    machine = random_machine(rng)
    program = random_program(rng, machine, layers=4, extent=10)
    try:
        return plan(program, machine.model_copy(update={"act_regions": 6, "region_words": 64}))
    except InputError:
        return None


PLANS = [planned for planned in map(some_plan, range(40)) if planned]


def test_items_come_in_program_order_with_all_their_words() -> None:
    """Tables, row tiles and Loads inward, Stores outward; their bits fill the beats that are counted."""
    assert len(PLANS) > 10
    for planned in PLANS:
        machine, ops = planned.machine, planned.program.ops
        inward = list(planned.inward())
        assert [item.op for item in inward] == sorted(item.op for item in inward)
        assert {item.op for item in inward} == {i for i, r in enumerate(ops) if isinstance(r, Conv | Load)}
        assert [item.op for item in planned.outward()] == [i for i, r in enumerate(ops) if isinstance(r, Store)]
        for item in (*inward, *planned.outward()):
            schedule = planned.schedules[item.op]
            if isinstance(item, RowTileItem):
                assert isinstance(schedule, ConvSchedule)
                assert -(-item.words.size // machine.stream_bits) == schedule.fill_cycles
            elif isinstance(item, TableItem):
                assert isinstance(schedule, ConvSchedule)
                assert item.words.size // machine.stream_bits == schedule.table_cycles
            else:
                assert isinstance(schedule, TransferSchedule)
                image = bank_contents(np.zeros(item.tensor.shape, np.int32), item.tensor, machine)
                assert -(-image.size // machine.stream_bits) == schedule.beats
        for before, item in pairwise(inward):
            assert not isinstance(item, TableItem) or before.op < item.op
        tables = {item.op: item.words.reshape(-1, 8) @ (1 << np.arange(8)) for item in inward
                  if isinstance(item, TableItem)}
        for index, op in enumerate(ops):
            table = op.table if isinstance(op, Conv) else None
            assert (index in tables) == (table is not None)
            if table is not None:
                np.testing.assert_array_equal(tables[index][: len(table.codes)], table.codes % 256)
                assert not tables[index][len(table.codes) :].any()
        tiles = [item.words for item in inward if isinstance(item, RowTileItem)]
        assert all(np.array_equal(a, b) for a, b in zip(tiles, planned.stream(), strict=True))


def test_a_host_that_follows_the_items_gives_and_gets_the_right_codes() -> None:
    """Views of the host's maps are what the simulator has on chip, and `written` Stores suffice for every Load."""
    for number, planned in enumerate(PLANS):
        inputs = corner_inputs(np.random.default_rng(number), planned.program, 2)
        codes = simulate(planned.program, inputs)
        host = {name: array.astype(np.int32) for name, array in inputs.items()}
        outward = list(planned.outward())
        for item in outward:
            host.setdefault(item.host, np.full((2, *planned.program.tensor(item.host).shape), -1000, np.int32))
        stored = 0
        for item in planned.inward():
            if isinstance(item, TensorItem):
                for out in outward[stored : item.written]:
                    out.view(host[out.host])[:] = codes[out.tensor.name]
                stored = max(stored, item.written)
                np.testing.assert_array_equal(item.view(host[item.host]), codes[item.tensor.name])
        for out in outward[stored:]:
            out.view(host[out.host])[:] = codes[out.tensor.name]
        for name, array in host.items():
            np.testing.assert_array_equal(array, codes[name])


def test_convs_have_no_tensor_item() -> None:
    """Only Loads and Stores move tensors."""
    planned = PLANS[0]
    index = next(i for i, op in enumerate(planned.program.ops) if isinstance(op, Conv))
    with pytest.raises(TypeError, match=r"^op '.*' is a Conv, neither a Load nor a Store$"):
        tensor_item(planned.program, index)
