"""What ops wait for keeps every region to one op at a time, and every Load behind the Stores that it reads."""

import numpy as np

from sim.arch.host_memory import Memory
from sim.errors import InputError
from sim.ir.ops import Conv, Layer, Load, Store
from sim.mapping.activation_layout import tensor_words
from sim.mapping.transfers import with_transfers
from sim.plan.plan import Plan, plan
from sim.testing import TRAITS, random_machine, random_program
from sim.timing.dependencies import Waits, op_waits


def some_plans(seeds: range) -> list[Plan]:
    """Plans on machines with few regions: half the Programs with Loads and Stores of their own, half to be cut."""
    plans = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        machine = random_machine(rng)
        traits = [trait for trait in TRAITS if trait != "spill" or seed % 2]
        program = random_program(rng, machine, layers=5, traits=traits, extent=10)
        memory = Memory(latency_cycles=int(rng.integers(0, 20)), beats=1, period_cycles=int(rng.integers(1, 4)))
        small = machine.model_copy(update={"act_regions": int(rng.integers(4, 8)), "region_words": 32,
                                           "memory": memory})
        try:
            plans.append(plan(program, small))
        except InputError:
            continue
    return plans


PLANS = some_plans(range(80))


def test_no_two_ops_use_a_region_at_once() -> None:
    """In the timeline, ops that share a region follow each other, in Program order."""
    assert len(PLANS) > 20
    for planned in PLANS:
        line, size = planned.timeline, planned.machine.region_words
        sizes = {name: tensor_words(planned.program.tensor(name), planned.machine) for name in planned.bases}
        regions = [{place // size for name in op.chip_tensors
                    for place in range(planned.bases[name], planned.bases[name] + sizes[name])}
                   for op in planned.program.ops]
        for later in range(len(regions)):
            for earlier in range(later):
                if regions[earlier] & regions[later]:
                    assert line.ends[earlier] <= line.starts[later]


def test_rows_are_in_the_hosts_memory_before_a_load_takes_them() -> None:
    """A Load ends at least the memory's latency, and its own beats, after the Stores that write its rows."""
    seen = 0
    for planned in PLANS:
        line, ops, latency = planned.timeline, planned.program.ops, planned.machine.memory.latency_cycles
        for later, load in enumerate(ops):
            if isinstance(load, Load):
                rows = range(load.first_row, load.first_row + planned.program.tensor(load.output).height)
                for earlier, store in enumerate(ops[:later]):
                    if isinstance(store, Store) and store.output == load.input and set(rows) & set(
                            range(store.first_row, store.first_row + planned.program.tensor(store.input).height)):
                        seen += 1
                        assert line.ends[later] - planned.schedules[later].beats >= line.ends[earlier] + latency
    assert seen > 10


def test_a_table_waits_for_the_op_whose_slot_it_takes() -> None:
    """There are two slots, so a table comes when the last but one Conv with a table has ended, and the others never."""
    seen = 0
    for planned in PLANS:
        computes, tabled = 0, []
        for op, waits in zip(planned.program.ops, planned.waits, strict=True):
            computes += isinstance(op, Layer)
            if isinstance(op, Conv) and op.table is not None:
                tabled.append(computes)
                assert waits.table == (tabled[-3] if len(tabled) > 2 else 0)
                seen += waits.table > 0
            else:
                assert waits.table == 0
    assert seen > 3


def test_ops_wait_for_nothing_else() -> None:
    """With a region for every tensor, a Conv waits for the Loads of its inputs alone, a Store for its writers."""
    rng = np.random.default_rng(0)
    program = with_transfers(random_program(rng, random_machine(rng), layers=1, kinds=("dense",), traits=()))
    places = {tensor.name: range(i, i + 1) for i, tensor in enumerate(program.tensors)}
    tensors = {tensor.name: tensor for tensor in program.tensors}
    assert op_waits(tensors, program.ops, places) == (Waits(), Waits(loads=1), Waits(computes=1))


def test_programs_were_cut() -> None:
    """The plans above move rows; otherwise they would show nothing."""
    assert sum(any(isinstance(op, Load) and op.input != op.output for op in planned.program.ops)
               for planned in PLANS) > 10
