"""Folding: the same codes from fewer, deeper pixels."""

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from quant.lowering.space_to_depth import Folding, fold, fold_image
from sim.arch.machine import load_machine
from sim.cost.estimate import estimate
from sim.energy.technology import load_technology
from sim.errors import InputError
from sim.functional.reference import simulate
from sim.ir.arithmetic import Arithmetic
from sim.ir.formats import Format
from sim.ir.ops import Conv, Pads, Pool, Tensor, out_size
from sim.ir.program import Program
from sim.plan.plan import plan

WEIGHTS = Format(4, "signed")


def conv(name: str, source: Tensor, target: Tensor, weights: np.ndarray, **options: object) -> Conv:
    """A Conv whose multipliers, shifts and offsets differ from channel to channel."""
    channels = len(weights)
    return Conv(name, source.name, target.name, weights, WEIGHTS, (1 + np.arange(channels, dtype=np.int8) % 3)[:, None],
                3 + np.arange(channels) % 2, 20 * np.arange(channels) - 15, target.format.low, target.format.high,
                **options)


def network(image: Tensor, kernel: tuple[int, int], stride: int, pads: Pads, outputs: int, seed: int) -> Program:
    """A strided first layer with random weights, and a layer behind it."""
    rng = np.random.default_rng(seed)
    height = out_size(image.height, pads[0], pads[2], kernel[0], stride)
    width = out_size(image.width, pads[1], pads[3], kernel[1], stride)
    middle = Tensor("middle", height, width, (outputs,), Format(8, "unsigned", zero_point=100))
    last = Tensor("last", height, width, (2,), Format(8, "signed"))
    first = rng.integers(-8, 8, (outputs, image.channels, *kernel)).astype(np.int8)
    second = rng.integers(-8, 8, (2, outputs, 3, 3)).astype(np.int8)
    return Program((image, middle, last), (conv("first", image, middle, first, stride=(stride, stride), pads=pads),
                                           conv("second", middle, last, second, pads=(1, 1, 1, 1))),
                   Arithmetic(acc_bits=24))


@given(st.data())
def test_the_folded_program_gives_the_same_codes(data: st.DataObject) -> None:
    """For any kernel, stride, padding, odd size and zero point, every tensor but the image is the same."""
    size, small = st.integers(1, 13), st.integers(1, 5)
    fmt = data.draw(st.sampled_from([Format(8, "signed"), Format(4, "unsigned", 9), Format(5, "signed", -7)]))
    image = Tensor("image", data.draw(size), data.draw(size), (data.draw(small),), fmt)
    kernel, stride = (data.draw(small), data.draw(small)), data.draw(st.integers(2, 4))
    pads = tuple(data.draw(st.integers(0, 3)) for _ in range(4))
    assume(image.height + pads[0] + pads[2] >= kernel[0] and image.width + pads[1] + pads[3] >= kernel[1])
    program = network(image, kernel, stride, pads, data.draw(small), data.draw(st.integers(0, 9)))
    folded, folding = fold(program)
    codes = np.random.default_rng(1).integers(fmt.low, fmt.high + 1, (2, *image.shape))
    before = simulate(program, {"image": codes})
    after = simulate(folded, {"image": fold_image(codes, folding)})
    assert all(np.array_equal(before[name], after[name]) for name in ("middle", "last"))


def test_the_first_layer_of_residual_networks() -> None:
    """7 x 7 at stride 2 on 224 x 224 x 3 becomes 4 x 4 at stride 1 on 115 x 115 x 12, without padding."""
    image = Tensor("image", 224, 224, (3,), Format(8, "signed"))
    folded, folding = fold(network(image, (7, 7), 2, (3, 3, 3, 3), 8, seed=0))
    (first, _), (source,) = folded.convs, folded.inputs
    assert (first.kernel, first.stride, first.pads) == ((4, 4), (1, 1), (0, 0, 0, 0))
    assert source.shape == folding.folded.shape == (12, 115, 115)
    assert source.format == image.format


def test_zeros_that_folding_adds_are_no_macs() -> None:
    """A folded first layer does the multiplications that the layer itself did, though it takes fewer cycles."""
    image = Tensor("image", 32, 32, (3,), Format(8, "signed"))
    program = network(image, (7, 7), 2, (3, 3, 3, 3), 8, seed=0)
    folded, _ = fold(program)
    whole, less = (estimate(plan(one, load_machine("edge")), load_technology("generic45")) for one in (program, folded))
    assert whole.macs == less.macs == 16 * 16 * (8 * 3 * 49 + 2 * 8 * 9)
    assert less.latency_cycles < whole.latency_cycles


def test_pads_hold_the_zero_point() -> None:
    """Outside the image a folded channel holds the code that means 0."""
    image = Tensor("image", 1, 1, (2,), Format(4, "unsigned", zero_point=6))
    folding = Folding(image, 2, top=1, left=0, height=1, width=2)
    folded = fold_image(np.array([[[[1]], [[2]]]]), folding)
    assert folded[0, :, 0].tolist() == [[6, 6], [6, 6], [6, 6], [6, 6], [1, 6], [2, 6], [6, 6], [6, 6]]


IMAGE = Tensor("image", 6, 6, (1,), Format(8, "signed"))


def altered(**options: object) -> Program:
    """A network whose first layer has other options."""
    program = network(replace(IMAGE, parts=(4,)), (2, 2), 2, (0, 0, 0, 0), 4, seed=0)
    return replace(program, ops=(replace(program.ops[0], **options), program.ops[1]))


def unequal() -> Program:
    """A network whose first layer steps by 2 down and by 1 across."""
    program = network(IMAGE, (2, 2), 2, (0, 0, 0, 0), 4, seed=0)
    wide = tuple(replace(tensor, width=IMAGE.width - 1) for tensor in program.tensors[1:])
    return replace(program, tensors=(IMAGE, *wide), ops=(replace(program.ops[0], stride=(2, 1)), program.ops[1]))


def pooled() -> Program:
    """A network that starts with a pool."""
    small = Tensor("small", 3, 3, (1,), IMAGE.format)
    return Program((IMAGE, small), (Pool("pool", "image", "small", (2, 2), (2, 2)),))


def twice() -> Program:
    """A network whose image is read twice."""
    program = network(IMAGE, (2, 2), 2, (0, 0, 0, 0), 4, seed=0)
    return replace(program, tensors=(*program.tensors, replace(program.tensors[1], name="again")),
                   ops=(*program.ops, replace(program.ops[0], name="again", output="again")))


FORM = ("folding needs a dense convolution with one stride of at least 2 along both axes and no dilation as the first "
        "layer; ")
REFUSED = {
    f"{FORM}'first' is none": network(IMAGE, (3, 3), 1, (1, 1, 1, 1), 4, seed=0),
    f"{FORM}'pool' is none": pooled(),
    f"{FORM}'first' is none, dilated": altered(dilation=(2, 1), pads=(0, 0, 1, 0)),
    f"{FORM}'first' is none, unequal": unequal(),
    "bipolar weights have no zero to fold 'first' with": altered(
        weights=np.ones((4, 4, 2, 2), np.int8), weight_format=Format(1, "bipolar")),
    "folding needs one input with one reader, not 1 with 2": twice(),
}


@pytest.mark.parametrize(("text", "program"), REFUSED.items(), ids=REFUSED.keys())
def test_refuses_programs_of_another_form(text: str, program: Program) -> None:
    """The message says what folding needs and what came."""
    with pytest.raises(InputError, match=f"^{re.escape(text.removesuffix(', dilated').removesuffix(', unequal'))}$"):
        fold(program)


def test_refuses_depthwise_first_layers_and_images_of_parts() -> None:
    """Channels of a depthwise layer stay apart; parts lie apart in memory."""
    one = altered(groups=4, weights=np.ones((4, 1, 2, 2), np.int8))
    with pytest.raises(InputError, match=f"^{re.escape(FORM)}'first' is none$"):
        fold(one)
    program = altered()
    parts = replace(program, tensors=(replace(program.tensors[0], parts=(1, 3)), *program.tensors[1:]))
    with pytest.raises(InputError, match=r"^folding needs an image of one part, not \(1, 3\)$"):
        fold(parts)


def test_refuses_images_of_another_shape_or_range() -> None:
    """Images are checked before they are folded."""
    _, folding = fold(network(IMAGE, (2, 2), 2, (0, 0, 0, 0), 4, seed=0))
    with pytest.raises(InputError, match=r"^images must have shape \(N, 1, 6, 6\), not \(1, 1, 6, 5\)$"):
        fold_image(np.zeros((1, 1, 6, 5), np.int32), folding)
    with pytest.raises(InputError, match=r"^image: code 128 at \(0, 0, 0, 0\) is outside -128..127 of signed8$"):
        fold_image(np.full((1, 1, 6, 6), 128), folding)
    with pytest.raises(TypeError, match=r"^image: codes must be integers, not float64$"):
        fold_image(np.zeros((1, 1, 6, 6)), folding)
