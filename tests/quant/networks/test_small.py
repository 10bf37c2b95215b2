"""The networks for 32 x 32 become Programs that every engine runs alike."""

import numpy as np
import pytest
import torch

from quant.convert import quantize
from quant.data.image_format import IMAGE_EXPONENT, IMAGE_FORMAT, noise_codes
from quant.lowering.lower import lower
from quant.networks import make_realistic, resnet20, resnet20_a, small_mobilenet
from quant.reference import run_reference
from sim.arch.machine import load_machine
from sim.functional.reference import simulate
from sim.plan.plan import plan

MULTIPLICATIONS = {resnet20: 40_813_184, small_mobilenet: 30_452_224}
"""Counted by hand from the sizes of the layers."""


def small_program(make, bits):
    """A realistic network of that many bits, first and last layer 8."""
    torch.manual_seed(0)
    model, codes = make(), noise_codes(2, 32, seed=0)
    images = codes * 2.0**IMAGE_EXPONENT
    make_realistic(model, images, seed=0)
    quantized = quantize(model, images, scheme="qil", weight_bits=bits, activation_bits=bits, first_last_bits=8,
                         input_format=IMAGE_FORMAT, input_exponent=IMAGE_EXPONENT)
    return lower(quantized, images[:1]), codes[:1].numpy().astype(np.int32)


@pytest.mark.parametrize("make", [resnet20, small_mobilenet])
def test_small_networks_are_exact_and_small(make):
    """torch and the simulator agree on every code; the network fits `edge` and needs the work of its layers."""
    program, codes = small_program(make, 4)
    planned = plan(program, load_machine("edge"))
    inputs = {program.inputs[0].name: codes}
    found, right = simulate(program, inputs), run_reference(program, inputs)
    assert [name for name in right if not np.array_equal(found[name], right[name])] == []
    work = sum(schedule.shape.macs for conv, schedule in planned.convs() if conv.weight_format.kind != "unit")
    assert work == MULTIPLICATIONS[make]


def test_shortcuts_of_option_a_take_every_second_pixel_and_have_no_weights() -> None:
    """They surround the map's channels with zero channels, as in the weights that are published for CIFAR-10."""
    shortcut = resnet20_a().layer2[0].downsample
    images = torch.randn(2, 16, 6, 6, generator=torch.Generator().manual_seed(0))
    expected = torch.nn.functional.pad(images[:, :, ::2, ::2], (0, 0, 0, 0, 8, 8))
    assert torch.equal(shortcut(images), expected)
    assert not list(shortcut.parameters())
