"""The whole machine behind its buses, driven by cocotbext-axi."""

from __future__ import annotations

import numpy as np
import pytest

from rtl.cosim.jobs import write_job
from rtl.cosim.simulators import ICARUS, cached_build
from rtl.encoding.geometry import Geometry
from rtl.encoding.program_image import program_words
from rtl.encoding.stream_bytes import tensor_length, word_bytes
from rtl.shell.top import Top
from rtl.verilog.emit import TOP, verilog_text
from sim.arch.machine import Machine
from sim.energy.counting import total_events
from sim.energy.events import counters_from_events
from sim.functional.reference import simulate
from sim.ir.arithmetic import Arithmetic
from sim.ir.formats import Format
from sim.ir.ops import Conv, Load, Pool, Store, Tensor
from sim.ir.program import Program
from sim.ir.signed_digits import no_digits
from sim.plan.host_stream import RowTileItem, TableItem
from sim.plan.plan import plan
from sim.testing import corner_inputs

FOUR = Format(4, "unsigned")
MACHINES = {"two words a beat": {}, "half a word a beat": {"stream_bits": 4}}


def layer(name, source, target, residual=None):
    """A 1x1 convolution that doubles, and adds a residual if there is one."""
    return Conv(name, source, target, np.eye(4, dtype=np.int8).reshape(4, 4, 1, 1), Format(2, "signed"),
                np.full((4, 1), 2, np.int8), np.zeros(4, np.int64), np.zeros(4, np.int64), 0, 15, residual=residual,
                residual_multiplier=np.full((4, 1), 1, np.int8) if residual else no_digits(0))


def bands(machine):
    """Two bands of rows, stored and read again together, with the image as residual."""
    tensors = tuple(Tensor(name, height, 2, (4,), FOUR) for name, height in [
        ("image", 4), ("top", 2), ("bottom", 2), ("top out", 2), ("bottom out", 2), ("host", 4), ("all", 4),
        ("result", 4)])
    ops = (
        Load("load top", "image", "top"), layer("top", "top", "top out"), Store("store top", "top out", "host"),
        Load("load bottom", "image", "bottom", 2), layer("bottom", "bottom", "bottom out"),
        Store("store bottom", "bottom out", "host", 2), Load("load image", "image", "image"),
        Load("load all", "host", "all"), layer("again", "all", "result", "image"),
        Store("store result", "result", "result"))
    return plan(Program(tensors, ops, Arithmetic(acc_bits=24, window=10, terms=3)), machine)


def pooled(machine):
    """A maximum and a layer behind it; both are stored."""
    tensors = (Tensor("image", 4, 4, (4,), FOUR), Tensor("maximum", 2, 2, (4,), FOUR),
               Tensor("result", 2, 2, (4,), FOUR))
    ops = (Load("load image", "image", "image"), Pool("maximum", "image", "maximum", (2, 2), (2, 2)),
               Store("store maximum", "maximum", "maximum"), layer("double", "maximum", "result"),
               Store("store result", "result", "result"))
    return plan(Program(tensors, ops, Arithmetic(acc_bits=24, window=10, terms=3)), machine)


def segments(planned):
    """Bytes of the inward items, in pieces that can be sent together."""
    found, written = [[]], 0
    for item in planned.inward():
        if isinstance(item, RowTileItem | TableItem):
            found[-1].append(len(word_bytes(item.words, planned.machine)))
            continue
        if item.written > written:
            written = item.written
            found.append([])
        found[-1].append(tensor_length(item.tensor, planned.machine))
    return found


def program_job(planned):
    """What a bench needs besides a plan: inputs of two images and what they must give; tables, counters, lengths."""
    images = corner_inputs(np.random.default_rng(3), planned.program, 2)
    codes = simulate(planned.program, images)
    in_memory = {op.output for op in planned.program.ops if isinstance(op, Store)}
    arrays = {f"input {name}": array for name, array in images.items()}
    arrays |= {f"map {name}": codes[name] for name in in_memory}
    facts = {"words": program_words(planned, Geometry(planned.machine)), "counters": steady_counters(planned),
             "segments": segments(planned), "cycles": planned.timeline.total}
    return arrays, facts


def steady_counters(planned):
    """Counters that do not depend on when beats come."""
    return counters_from_events(total_events(planned), planned.machine) | {"pairs": planned.timeline.pairs}


@pytest.fixture(params=["two words a beat", pytest.param("half a word a beat", marks=pytest.mark.nightly)])
def machine(request, small_machine):
    """Small machines with streams wider than a word and narrower than a byte."""
    return Machine(**small_machine.model_dump() | MACHINES[request.param])


@pytest.mark.parametrize("bench", ["buses_bench", "faults_bench"])
@pytest.mark.parametrize("rounds", [2, pytest.param(60, marks=pytest.mark.nightly)])
def test_buses_and_faults(machine, tmp_path, bench, rounds):
    """Results under pressure on all buses, and every fault with the way back: see the benches' own tests."""
    place = cached_build(ICARUS, verilog_text(Top(Geometry(machine)), TOP), TOP)
    for number, planned in enumerate((bands(machine), pooled(machine))):
        write_job(tmp_path, number, planned, *program_job(planned))
    ICARUS.run_bench(place, TOP, f"rtl.verification.benches.{bench}", tmp_path,
                     {"BITWRIGHT_JOB": str(tmp_path), "COCOTB_RANDOM_SEED": "1", "BITWRIGHT_ROUNDS": str(rounds)})
