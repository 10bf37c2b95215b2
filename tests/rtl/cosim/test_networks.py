"""Whole networks on the whole RTL, end to end: the bits of every tensor, the cycles of every op."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import fx, nn

from bitwright.codesign.demo import demo
from quant.convert import quantize
from quant.data.image_format import IMAGE_EXPONENT, IMAGE_FORMAT, noise_codes
from quant.lowering.lower import Lowered, lower_with_report
from quant.lowering.space_to_depth import fold_image
from quant.networks import AlexNet, MobileNetV2, make_realistic, resnet18, resnet20, small_mobilenet
from rtl.cosim.run import build_machine, run, run_all
from rtl.cosim.scoreboard import differences
from rtl.cosim.simulators import LEAN, VERILATOR
from sim.arch.machine import load_machine
from sim.functional.reference import simulate
from sim.ir.ops import Conv, Layer, Pool
from sim.ir.program import Program
from sim.plan.plan import plan
from sim.testing.stimulus.layer_tiles import Tile, crop

Make = Callable[[], nn.Module]
EDGE = load_machine("edge")
WIDTHS = 2, 3, 4, 5, 6, 8


@pytest.fixture
def fast():
    """The engine that whole networks need."""
    if reason := VERILATOR.missing():
        pytest.skip(reason)
    return VERILATOR


def quantized(make: Make, codes: torch.Tensor, bits: int) -> fx.GraphModule:
    """A realistic network; first and last layer have 8 bits."""
    images = codes * 2.0**IMAGE_EXPONENT
    model = make()
    make_realistic(model, images, seed=1)
    return quantize(model, images, scheme="qil", weight_bits=bits, activation_bits=bits, first_last_bits=8,
                    input_format=IMAGE_FORMAT, input_exponent=IMAGE_EXPONENT)


def mix_bits(model: fx.GraphModule, images: torch.Tensor, seed: int) -> None:
    """Another width for the weights of every layer and for every tensor behind a ReLU."""
    rng = np.random.default_rng(seed)
    seen: dict[str, torch.Tensor] = {}
    quantizers = {name: module for name, module in model.named_modules()
                  if name.endswith("_quantizer") and hasattr(module, "set_bits")}
    hooks = [module.register_forward_pre_hook(lambda _, x, name=name: seen.update({name: x[0].detach()}))
             for name, module in quantizers.items()]
    with torch.no_grad():
        model(images)
    for hook in hooks:
        hook.remove()
    for name, module in quantizers.items():
        if module.bits < 8:
            module.set_bits(int(rng.choice(WIDTHS)), seen[name])


def lowered_with_input(model: fx.GraphModule, codes: torch.Tensor,
                       fold: bool) -> tuple[Lowered, dict[str, np.ndarray]]:
    """The Program and its input."""
    lowered = lower_with_report(model, codes[:1] * 2.0**IMAGE_EXPONENT, fold=fold)
    x = codes.numpy() if lowered.folding is None else fold_image(codes.numpy(), lowered.folding)
    return lowered, {"x": x}


@pytest.mark.nightly
def test_trained_digits_networks_are_exact(fast, tmp_path, record_property):
    """The three networks of the demo, trained, on 100 images each: every tensor, every op, every counter."""
    summary = demo(tmp_path / "demo", load_machine("tiny"), images=100, seed=0)
    assert summary.mismatches == 0
    assert len(summary.verifications) == 3
    for name, verification in summary.verifications.items():
        assert verification.ok, name
        assert len(verification.counted) == 100
        record_property(f"cycles of {name}", verification.predicted["total"])


@pytest.mark.nightly
@pytest.mark.parametrize("make", [resnet20, small_mobilenet], ids=lambda make: make.__name__)
def test_networks_for_small_images_are_exact(make: Make, fast, record_property):
    """ResNet-20 and a small MobileNetV2, mixed bits, two images of 32 x 32 on `edge`."""
    codes = noise_codes(2, 32, seed=3)
    model = quantized(make, codes, 4)
    mix_bits(model, codes * 2.0**IMAGE_EXPONENT, seed=4)
    lowered, inputs = lowered_with_input(model, codes, fold=False)
    bits = {conv.weight_format.bits for conv in lowered.program.convs}
    assert len(bits) >= 4, bits
    planned = plan(lowered.program, EDGE)
    found, right = run(planned, inputs, jobs=2, engine=fast), simulate(planned.program, inputs)
    assert [name for name in right if not np.array_equal(found.codes[name], right[name])] == []
    assert [tuple(ends) for ends in found.ends] == [planned.timeline.ends] * 2
    record_property("cycles", planned.timeline.total)


@pytest.mark.nightly
def test_a_whole_image_of_resnet18_is_exact(record_property):
    """One image of 224 x 224 at 2/2 on `edge` in the lean engine: every tensor, every op's end, every counter."""
    if reason := LEAN.missing():
        pytest.skip(reason)
    codes = noise_codes(2, 224, seed=7)
    lowered, inputs = lowered_with_input(quantized(resnet18, codes, 2), codes, fold=True)
    planned, image = plan(lowered.program, EDGE), {name: array[:1] for name, array in inputs.items()}
    assert differences(planned, image, run(planned, image, engine=LEAN)) == []
    record_property("cycles", planned.timeline.total)


def shape_of(program: Program, op: Conv | Pool) -> tuple[object, ...]:
    """What tells layers apart."""
    source, target = program.tensor(op.input), program.tensor(op.output)
    common = type(op), source.parts, source.height, source.width, source.format.bits, target.height, target.format
    if isinstance(op, Pool):
        return *common, op.kernel, op.stride, op.pads
    return (*common, op.weights.shape, op.weight_format, op.depthwise, op.stride, op.dilation,
            op.pads, op.residual is not None)


def sampled_tile(program: Program, op: Conv | Pool, codes: dict[str, np.ndarray], seed: int) -> Tile:
    """As many rows as the machine has columns, somewhere, and a row tile of channels, the last one every other time."""
    rng = np.random.default_rng(seed)
    target = program.tensor(op.output)
    height, available = min(target.height, EDGE.columns), target.channels
    if isinstance(op, Conv):
        available = len(op.weights)
    first_row = int(rng.integers(0, target.height - height + 1))
    tiles = -(-available // EDGE.rows)
    first = EDGE.rows * (tiles - 1 if seed % 2 else int(rng.integers(0, tiles)))
    return crop(program, op, codes, range(first_row, first_row + height),
                range(first, min(first + EDGE.rows, available)))


@pytest.mark.nightly
@pytest.mark.parametrize(("make", "bits"), [(resnet18, 4), (AlexNet, 2), (MobileNetV2, 8)],
                         ids=lambda value: getattr(value, "__name__", value))
def test_every_layer_shape_of_published_networks_is_exact(make: Make, bits: int, fast, record_property):
    """A tile of each distinct layer at 224 x 224 gives, on `edge`, what the simulation of the whole network gives."""
    codes = noise_codes(2, 224, seed=7)
    lowered, inputs = lowered_with_input(quantized(make, codes, bits), codes, fold=True)
    program = lowered.program
    whole = simulate(program, {name: array[:1] for name, array in inputs.items()})
    ops = {shape_of(program, op): op for op in program.ops if isinstance(op, Layer)}
    tiles = [sampled_tile(program, op, whole, seed) for seed, op in enumerate(ops.values())]
    plans = [plan(tile.program, EDGE) for tile in tiles]
    place = build_machine(EDGE, fast)
    results = run_all([(planned, tile.inputs) for planned, tile in zip(plans, tiles, strict=True)], place=place,
                      engine=fast)
    for planned, tile, result in zip(plans, tiles, results, strict=True):
        (op,) = tile.program.ops
        assert np.array_equal(result.codes[op.output][0], tile.output), op.name
        assert tuple(result.ends[0]) == planned.timeline.ends, op.name
    record_property("layers", len(tiles))
    record_property("cycles", sum(planned.timeline.total for planned in plans))
