"""Whole Programs on the whole machine: the second promise, the same bits and the same cycles."""

from __future__ import annotations

import re

import numpy as np
import pytest

from rtl.cosim.run import UNDEFINED, IncompleteRun, run
from rtl.cosim.scoreboard import differences
from rtl.cosim.simulators import ICARUS
from rtl.encoding.descriptors import describe
from rtl.encoding.geometry import Geometry
from rtl.shell.top import Top
from rtl.verification.fault import Fault, planted
from rtl.verilog.emit import TOP, verilog_text
from sim.arch.machine import load_machine
from sim.errors import InputError
from sim.functional.reference import simulate
from sim.ir.arithmetic import Arithmetic
from sim.ir.formats import Format
from sim.ir.ops import Conv, Table, Tensor
from sim.ir.program import Program
from sim.ir.signed_digits import no_digits
from sim.plan.plan import plan
from sim.testing import KINDS, corner_inputs, random_program


def fitting_programs(rng, machine, count, **options):
    """Random Programs that fit the machine, with their plans."""
    plans = []
    while len(plans) < count:
        try:
            plans.append(plan(random_program(rng, machine, **options), machine))
        except InputError:
            continue
    return plans


@pytest.mark.parametrize("kind", [*KINDS, "grouped"])
def test_every_kind_of_op_is_exact(compare, kind):
    """On `tiny`, ops of every kind give the simulator's codes, cycles and counters."""
    rng, machine = np.random.default_rng(7), load_machine("tiny")
    for planned in fitting_programs(rng, machine, 2, kinds=[kind], layers=2):
        assert compare(planned, corner_inputs(rng, planned.program, 2)) == []


@pytest.mark.parametrize("inside", [2, 4, 8])
def test_groups_run_on_their_own_block(compare, inside):
    """Groups of 2**k channels take fewer cycles than the same weights among zeros, and give the same codes."""
    rng, tiny, two, channels = np.random.default_rng(inside), load_machine("tiny"), Format(2, "signed"), 16
    conv = Conv("conv", "x", "y", rng.integers(-2, 2, (channels, inside, 3, 3)).astype(np.int8), two,
                np.ones((channels, 1), np.int8), np.full(channels, 2), np.zeros(channels, np.int64), -2, 1,
                groups=channels // inside, pads=(1, 1, 1, 1))
    tensors = tuple(Tensor(name, 4, 3, (channels,), two) for name in "xy")
    planned, dense = (plan(Program(tensors, (one,), tiny.arithmetic), tiny) for one in (conv, conv.ungrouped()))
    inputs = corner_inputs(rng, planned.program, 1)
    assert planned.timeline.total < dense.timeline.total
    assert np.array_equal(simulate(planned.program, inputs)["y"], simulate(dense.program, inputs)["y"])
    assert compare(planned, inputs) == []


@pytest.mark.parametrize(("channels", "inside", "outside", "blocks"), [(24, 3, 3, 2), (30, 5, 10, 2), (48, 12, 6, 3)])
def test_groups_of_any_size_read_a_window(compare, channels, inside, outside, blocks):
    """Row tiles read a few blocks, first, inner and last ones, and take fewer cycles than if they read all."""
    rng, tiny, two = np.random.default_rng(inside), load_machine("tiny"), Format(2, "signed")
    groups = channels // inside
    conv = Conv("conv", "x", "y", rng.integers(-2, 2, (groups * outside, inside, 1, 2)).astype(np.int8), two,
                np.ones((groups * outside, 1), np.int8), np.full(groups * outside, 2),
                np.zeros(groups * outside, np.int64), -2, 1, groups=groups)
    tensors = Tensor("x", 4, 3, (channels,), two), Tensor("y", 4, 2, (groups * outside,), two)
    planned, dense = (plan(Program(tensors, (one,), tiny.arithmetic), tiny) for one in (conv, conv.ungrouped()))
    assert [schedule.channel_blocks for _, schedule in planned.convs()] == [blocks]
    assert planned.timeline.total < dense.timeline.total
    assert compare(planned, corner_inputs(rng, planned.program, 1)) == []


def test_tables_that_fight_for_slots_are_exact(compare):
    """A table that comes in before the last but one table was done with would replace it while it is in use."""
    rng, tiny, byte = np.random.default_rng(0), load_machine("tiny"), Format(8, "unsigned")
    tables = [Table(Format(bits, "unsigned"), rng.integers(0, 256, 1 << bits).astype(np.int16))
              for bits in (3, 1, 2, 4, 3)]
    copies = [Conv(f"copy{i}", f"t{i}", f"t{i + 1}", np.ones((4, 1, 1, 1), np.int8), Format(1, "unit"),
                   np.ones((4, 1), np.int8), np.full(4, 8 - table.index.bits), np.zeros(4, np.int64), 0,
                   table.index.high, groups=4, table=table) for i, table in enumerate(tables)]
    tensors = tuple(Tensor(f"t{i}", 3, 9, (4,), byte) for i in range(len(tables) + 1))
    planned = plan(Program(tensors, tuple(copies), tiny.arithmetic), tiny)
    assert [waits.table for op, waits in zip(planned.program.ops, planned.waits, strict=True)
            if isinstance(op, Conv)] == [0, 0, 1, 2, 3]
    assert compare(planned, corner_inputs(rng, planned.program, 2)) == []


@pytest.mark.parametrize("stall", [pytest.param(0.2, marks=pytest.mark.nightly), 0.8])
def test_a_stalling_stream_costs_time_only(compare, stall):
    """With gaps in both streams codes and events stay what they are."""
    rng, machine = np.random.default_rng(3), load_machine("tiny")
    for planned in fitting_programs(rng, machine, 2, kinds=["dense", "linear"], layers=2):
        assert compare(planned, corner_inputs(rng, planned.program, 2), stall=stall) == []


@pytest.mark.nightly
@pytest.mark.parametrize("name", ["edge", "large"])
def test_a_wide_machine_is_exact(compare, name):
    """The machines that are meant to be built run random Programs exactly."""
    rng, machine = np.random.default_rng(5), load_machine(name)
    for planned in fitting_programs(rng, machine, 4, extent=9, channels=90):
        assert compare(planned, corner_inputs(rng, planned.program, 1)) == []


def one_layer(bits_out=4):
    """A 1x1 convolution on `tiny`."""
    weights = np.arange(-4, 4, dtype=np.int8).reshape(2, 4, 1, 1)
    conv = Conv("double", "a", "b", weights, Format(3, "signed"), np.array([[2], [1]], np.int8), np.array([1, 0]),
                np.array([3, -2]), 0, 15)
    tensors = Tensor("a", 3, 2, (4,), Format(4, "unsigned")), Tensor("b", 3, 2, (2,), Format(bits_out, "unsigned"))
    return plan(Program(tensors, (conv,), Arithmetic(acc_bits=24, window=10, terms=3)), load_machine("tiny"))


def test_no_images_give_empty_results():
    """A batch of no images runs, and every tensor has shape (0, ...)."""
    result = run(one_layer(), {"a": np.zeros((0, 4, 3, 2), np.int32)})
    assert {name: codes.shape for name, codes in result.codes.items()} == {"a": (0, 4, 3, 2), "b": (0, 2, 3, 2)}
    assert result.ends.shape == (0, 3)
    assert result.counters == ()


def test_a_missing_simulator_is_named(monkeypatch, tmp_path):
    """Without Icarus Verilog the error says what to install."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("shutil.which", lambda name: None)
    message = "Icarus Verilog (iverilog) was not found; install it with 'apt-get install iverilog'"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        run(one_layer(), {"a": np.zeros((1, 4, 3, 2), np.int32)})


def test_wrong_inputs_are_refused():
    """A code that the input's format does not have is refused before anything runs."""
    with pytest.raises(InputError, match="code 16 at"):
        run(one_layer(), {"a": np.full((1, 4, 3, 2), 16)})


def test_stall_must_be_a_probability():
    """A stream that never delivers is refused."""
    with pytest.raises(ValueError, match=r"^stall must be in 0\.\.1, 1 excluded, not 1\.0$"):
        run(one_layer(), {"a": np.zeros((1, 4, 3, 2), np.int32)}, stall=1.0)


def test_undefined_bits_are_found(monkeypatch):
    """Codes that were not written are no codes, and a sentence says where."""
    planned = one_layer()
    monkeypatch.setattr("rtl.encoding.program_image.describe", shortened)
    inputs = {"a": np.zeros((1, 4, 3, 2), np.int32)}
    result = run(planned, inputs)
    holes = {tuple(place) for place in np.argwhere(result.codes["b"] == UNDEFINED).tolist()}
    assert holes >= {(0, 0, 0, 1), (0, 1, 0, 1)}
    assert not holes & {(0, channel, 0, 0) for channel in range(2)}
    first, *_ = differences(planned, inputs, result)
    assert first.startswith(f"tensor 'b': {len(holes)} of ")
    assert " with undefined bits; first at image 0, channel 0, y 0, x 1: undefined bits, expected " in first


def shortened(planned, geometry):
    """Descriptors of the plan, with one pixel less."""
    word, = describe(planned, geometry)
    for name in ("chunk_pixels", "last_chunk_pixels", "pixels"):
        word -= 1 << geometry.descriptor[name].offset
    return [word]


def test_a_constant_channel_and_no_digits(compare):
    """M = 0, without any digit column, gives the offset everywhere."""
    planned = one_layer()
    conv, = planned.program.convs
    constant = Conv("constant", "a", "b", conv.weights, conv.weight_format, no_digits(2), np.array([0, 2]),
                    np.array([5, 13]), 0, 15)
    program = Program(planned.program.tensors, (constant,), Arithmetic(acc_bits=24, window=10, terms=3))
    inputs = {"a": np.full((1, 4, 3, 2), 9, np.int32)}
    assert compare(plan(program, load_machine("tiny")), inputs) == []
    assert set(simulate(program, inputs)["b"].ravel().tolist()) == {3, 5}


@pytest.fixture(scope="module")
def dense_layer():
    """A layer on `tiny`."""
    machine = load_machine("tiny")
    return plan(random_program(np.random.default_rng(1), machine, kinds=["dense"], layers=1), machine)


def test_processes_change_nothing(dense_layer):
    """Three images on two processes give the codes, cycles and counters, in the order, of one process."""
    inputs = corner_inputs(np.random.default_rng(2), dense_layer.program, 3)
    one, two = run(dense_layer, inputs), run(dense_layer, inputs, jobs=2)
    assert one.codes.keys() == two.codes.keys()
    for name, codes in one.codes.items():
        np.testing.assert_array_equal(codes, two.codes[name])
    np.testing.assert_array_equal(one.ends, two.ends)
    assert one.counters == two.counters


def test_errors_come_through(dense_layer):
    """What one process refuses is refused."""
    fitting = corner_inputs(np.random.default_rng(2), dense_layer.program, 2)
    inputs = {name: codes + (1 << 20) for name, codes in fitting.items()}
    with pytest.raises(InputError, match=r"^input 't0': code \d+ at"):
        run(dense_layer, inputs, jobs=2)


def test_no_process_is_refused(dense_layer):
    """A run needs a process of the simulator."""
    with pytest.raises(ValueError, match=r"^jobs must be at least 1, not 0$"):
        run(dense_layer, {}, jobs=0)


def test_waves_of_several_processes_are_refused(dense_layer, tmp_path):
    """Two processes would overwrite each other's waveforms."""
    with pytest.raises(ValueError, match=r"^waveforms come from one process, not 2$"):
        run(dense_layer, {}, jobs=2, waves=tmp_path / "waves.fst")


@pytest.mark.nightly
def test_a_run_that_hangs_gives_what_was_complete(small_machine, tmp_path):
    """Without weight slots nothing is computed: the input is there, the tensors after it are not."""
    rng = np.random.default_rng(0)
    program = random_program(rng, small_machine, layers=2, kinds=("dense",), traits=())
    planned, inputs = plan(program, small_machine), corner_inputs(rng, program, 1)
    with planted(Fault("load_dma", "Signal(2, init=2", "Signal(2, init=0")):
        text = verilog_text(Top(Geometry(small_machine)), TOP)
    place = ICARUS.build(text, TOP, tmp_path / "hangs")
    with pytest.raises(IncompleteRun, match=r"still busy after [0-9]+ cycles with 0 layers done") as caught:
        run(planned, inputs, place=place)
    found = caught.value.result
    assert found.codes.keys() == {tensor.name for tensor in planned.program.inputs}
    for name, codes in found.codes.items():
        np.testing.assert_array_equal(codes, inputs[name])
