"""Programs cut into row bands compute what they did before, and fit."""

import re
from dataclasses import replace

import numpy as np
import pytest

from quant.reference import run_reference
from sim.arch.machine import Machine, load_machine
from sim.errors import InputError
from sim.functional.reference import simulate
from sim.ir.arithmetic import Arithmetic
from sim.ir.formats import Format
from sim.ir.ops import Conv, Load, Pool, Store, Tensor
from sim.ir.program import Program
from sim.plan.allocator import allocate
from sim.plan.banding import cut_into_bands
from sim.plan.plan import plan
from sim.testing import TRAITS, corner_inputs, random_machine, random_program

PLAIN = [trait for trait in TRAITS if trait != "spill"]
TINY = load_machine("tiny")


def small_machine(machine: Machine, regions: int, words: int) -> Machine:
    return machine.model_copy(update={"act_regions": regions, "region_words": words})


def random_cut(seed: int) -> tuple[Program, Program, Machine] | None:
    """A Program, its cut form, and a machine with little memory; None if a row of it does not fit."""
    rng = np.random.default_rng(seed)
    machine = random_machine(rng)
    program = random_program(rng, machine, layers=5, traits=PLAIN, extent=12)
    small = small_machine(machine, int(rng.integers(4, 10)), int(rng.choice([16, 32, 64])))
    try:
        return program, cut_into_bands(program, small), small
    except InputError:
        return None


@pytest.mark.parametrize("seed", range(150))
def test_a_cut_program_has_the_same_codes_and_fits(seed: int) -> None:
    """Every tensor of the Program keeps its name and codes, in two engines; all tensors have a place."""
    found = random_cut(seed)
    if found is None:
        return
    program, banded, machine = found
    assert ({t.name for t in banded.inputs}, {t.name for t in banded.outputs}) == (
        {t.name for t in program.inputs}, {t.name for t in program.outputs})
    allocate({tensor.name: tensor for tensor in banded.tensors}, banded.ops, machine)
    inputs = corner_inputs(np.random.default_rng(seed), program, 2)
    right, codes, reference = simulate(program, inputs), simulate(banded, inputs), run_reference(banded, inputs)
    for name in right:
        np.testing.assert_array_equal(codes[name], right[name], err_msg=name)
    for name in codes:
        np.testing.assert_array_equal(reference[name], codes[name], err_msg=name)


def test_the_random_programs_are_cut() -> None:
    """Bands of Convs and Pools, residuals of bands, stores into parts, and tensors in both places all occur."""
    seen = set()
    for found in filter(None, map(random_cut, range(150))):
        program, banded, _ = found
        own = {tensor.name for tensor in program.tensors}
        for op in banded.ops:
            seen.add((type(op).__name__, "whole" if {op.input, op.output} <= own else "band"))
            if isinstance(op, Conv) and op.residual is not None and op.residual not in own:
                seen.add(op.residual_broadcast)
            if isinstance(op, Store) and op.output_part:
                seen.add("part")
            if isinstance(op, Load) and op.input != op.output and op.first_row:
                seen.add("rows")
    assert seen == {(kind, how) for kind in ("Conv", "Pool", "Load", "Store") for how in ("band", "whole")} | {
        "none", "map", "channel", "part", "rows"}


def test_bands_share_a_residual_of_one_pixel() -> None:
    """Every band of a scaled map loads the whole residual, and its own rows of the map alone."""
    plain = tall(kernel=1, pad=0)
    gate = replace(plain.convs[0], weights=np.ones((4, 1, 1, 1), np.int8), weight_format=Format(1, "unit"), groups=4,
                   residual="scale", residual_multiplier=np.ones((4, 1), np.int8), residual_broadcast="map", gate=2)
    scale = Tensor("scale", 1, 1, (4,), Format(3, "signed"))
    program = replace(plain, tensors=(*plain.tensors, scale), ops=(gate,))
    banded = cut_into_bands(program, small_machine(TINY, 6, 16))
    loads = [op for op in banded.ops if isinstance(op, Load)]
    bands = len([op for op in banded.ops if isinstance(op, Conv)])
    assert bands > 1
    assert [(op.first_row, banded.tensor(op.output).height) for op in loads if op.input == "scale"] == [(0, 1)] * bands
    rows = [(op.first_row, banded.tensor(op.output).height) for op in loads if op.input == "x"]
    assert [first for first, _ in rows] == [sum(height for _, height in rows[:i]) for i in range(bands)]
    inputs = corner_inputs(np.random.default_rng(0), program, 2)
    np.testing.assert_array_equal(simulate(banded, inputs)["y"], simulate(program, inputs)["y"])


def tall(kernel: int = 3, pad: int = 1, height: int = 24, channels: int = 4) -> Program:
    """A layer on a map four pixels wide, of two words each: 8 words in each bank for three rows on `tiny`."""
    digits, zeros = np.ones((channels, 1), np.int8), np.zeros(channels, np.int64)
    weights = np.ones((channels, 4, kernel, 1), np.int8)
    conv = Conv("conv", "x", "y", weights, Format(1, "unsigned"), digits, zeros, zeros, 0, 3, pads=(pad, 0, pad, 0))
    source = Tensor("x", height, 4, (4,), Format(2, "unsigned"))
    target = replace(source, name="y", height=height + 2 * pad - kernel + 1, parts=(channels,))
    return Program((source, target), (conv,), Arithmetic(acc_bits=24, window=10, terms=3))


def test_bands_are_few_and_equal_with_pads_at_true_edges() -> None:
    """Two bands of 12 rows need 3 + 2 of 4 regions, three of 9 need 2 + 2: eight rows would leave a column idle."""
    banded = cut_into_bands(tall(), small_machine(TINY, 4, 16))
    convs = banded.convs
    assert [(conv.name, conv.pads) for conv in convs] == [
        ("conv.0", (1, 0, 0, 0)), ("conv.1", (0, 0, 0, 0)), ("conv.2", (0, 0, 1, 0))]
    loads = [op for op in banded.ops if isinstance(op, Load)]
    assert [(load.first_row, banded.tensor(load.output).height) for load in loads] == [(0, 10), (8, 11), (17, 7)]
    stores = [op for op in banded.ops if isinstance(op, Store)]
    assert [(store.first_row, banded.tensor(store.input).height) for store in stores] == [(0, 9), (9, 9), (18, 6)]


def test_a_band_that_reads_nothing_but_padding_joins_its_neighbour() -> None:
    """With more padding than kernel, the first and last rows see no map at all and stay with rows that do."""
    program = tall(kernel=1, pad=4, height=6)
    banded = cut_into_bands(program, small_machine(TINY, 3, 8))
    assert all(conv.pads[0] < 14 and banded.tensor(conv.input).height >= 1 for conv in banded.convs)
    assert len(banded.convs) > 1
    inputs = corner_inputs(np.random.default_rng(0), program, 3)
    np.testing.assert_array_equal(simulate(banded, inputs)["y"], simulate(program, inputs)["y"])


@pytest.mark.parametrize(("regions", "overlap"), [(14, True), (10, False)])
def test_the_next_band_is_loaded_while_the_present_one_computes_where_there_is_room(
        regions: int, overlap: bool) -> None:
    """Two bands of 4 + 6 regions: only with 4 more is the second input loaded before the first Conv has ended."""
    planned = plan(tall(height=36, channels=16), small_machine(TINY, regions, 16))
    names, line = [op.name for op in planned.program.ops], planned.timeline
    assert names == ["load x.conv.0", "conv.0", "store y.conv.0", "load x.conv.1", "conv.1", "store y.conv.1"]
    assert (line.starts[3] < line.ends[1]) == overlap


def test_what_does_not_fit_in_bands_of_a_row_is_refused() -> None:
    """With both numbers, the need of the narrowest band and what the machine has."""
    message = "op 'conv' needs 8 activation regions of 4 words for a band of 1 output row; machine 'tiny' has 7"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        cut_into_bands(tall(kernel=7), small_machine(TINY, 7, 4))


def test_a_program_with_transfers_is_not_cut() -> None:
    """Its author decided where tensors lie; `plan` then says what does not fit."""
    banded = cut_into_bands(tall(), small_machine(TINY, 6, 16))
    with pytest.raises(InputError, match=r"^only a Program without Loads and Stores can be cut into bands$"):
        cut_into_bands(banded, TINY)
    with pytest.raises(InputError, match=r"^tensor '.*' needs 10 consecutive activation regions of 4 words while"):
        plan(banded, small_machine(TINY, 3, 4))


def test_pools_are_cut_like_convs() -> None:
    """Windows of a pool overlap across bands; pads stay at the ends."""
    source = Tensor("x", 21, 4, (4,), Format(2, "unsigned"))
    program = Program((source, Tensor("y", 11, 2, (4,), Format(2, "unsigned"))),
                      (Pool("pool", "x", "y", (3, 3), (2, 2), (1, 0, 1, 1)),),
                      Arithmetic(acc_bits=24, window=10, terms=3))
    banded = cut_into_bands(program, small_machine(TINY, 4, 16))
    pools = [op for op in banded.ops if isinstance(op, Pool)]
    assert len(pools) > 1
    assert (pools[0].pads[0], pools[-1].pads[2]) == (1, 1)
    inputs = corner_inputs(np.random.default_rng(0), program, 3)
    np.testing.assert_array_equal(simulate(banded, inputs)["y"], simulate(program, inputs)["y"])


def test_no_more_bands_are_tried_than_the_hardware_runs() -> None:
    """A map of a million rows is refused after 256 ways to cut it, with what a band of the last one needs."""
    tall = Tensor("a", 1 << 20, 1, (1,), Format(8, "unsigned"))
    program = Program((tall, replace(tall, name="b")), (Pool("p", "a", "b", (1, 1)),),
                      Arithmetic(acc_bits=24, window=10))
    message = ("op 'p' needs 86 activation regions of 256 words for a band of 4096 output rows, one of 256, and no "
               "more run; machine 'tiny' has 6")
    with pytest.raises(InputError, match=f"^{message}$"):
        plan(program, TINY)


def test_the_longest_names_are_cut_into_bands_too() -> None:
    """Names that are made from names of 200 characters, slashes at their ends or not, are names again."""
    for letter in ("x", "/y", "/.z"):
        name = f"t{letter * 200}"[:199].rstrip("/.") + "t"
        rows = Tensor(name, 40, 40, (4,), Format(8, "unsigned"))
        program = Program((rows, replace(rows, name=f"{name[:-1]}u")), (Pool(name, name, f"{name[:-1]}u", (1, 1)),),
                          Arithmetic(acc_bits=24, window=10))
        planned = plan(program, TINY).program
        assert len(planned.ops) > 9
        assert replace(planned) is not planned
