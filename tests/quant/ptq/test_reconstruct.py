"""Reconstruction: learnt rounding, learnt exponents, and what stays a promise all the same."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, fx, nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from quant.convert import quantize
from quant.data.split import Split
from quant.layers.quantized import QuantConv2d, QuantLinear
from quant.lowering.lower import lower_with_report
from quant.ptq.reconstruct import Reconstruction, reconstruct
from quant.quantizers.strict import check_steps
from quant.schemes import power_of_two, uniform
from quant.stages.stages import stages
from sim.errors import InputError
from sim.functional.reference import simulate
from sim.ir.formats import Format

Quantize = Callable[[nn.Module, Tensor, str, int], fx.GraphModule]


def layers(model: nn.Module) -> list[QuantConv2d | QuantLinear]:
    return [module for module in model.modules() if isinstance(module, QuantConv2d | QuantLinear)]


@pytest.mark.trains
def test_a_relu6_belongs_to_the_output() -> None:
    """Weights of 1 on inputs of up to 8 are exact behind a ReLU6: there is no error, before or after."""
    network = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.ReLU6(), nn.Conv2d(2, 1, 1)).eval()
    nn.init.ones_(network[0].weight)
    images = (torch.arange(64.0).reshape(1, 1, 8, 8) / 8).expand(32, 1, 8, 8)
    model = quantize(network, images, scheme="power_of_two", weight_bits=8, activation_bits=8,
                     input_format=Format(8, "unsigned"), input_exponent=-5)
    errors: dict[str, tuple[float, float]] = {}
    reconstruct(model, network, images, Reconstruction(iterations=1, drop=0.0, exponents=False),
                progress=lambda unit: errors.update({unit.name: (unit.before, unit.after)}))
    assert errors["0"] == (0.0, 0.0)


@pytest.mark.trains
@pytest.mark.parametrize("scheme", ["power_of_two", "uniform"])
def test_reconstruction_repairs_what_rounding_broke(scheme: str) -> None:
    """Where all 256 inputs of a sum are equal, its error is the sum of all roundings: choosing them together leaves
    less than a quarter of what rounding each one to nearest leaves."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(256, 16, 1, bias=False)).eval()
    images = torch.randint(0, 16, (64, 1, 2, 2)).expand(64, 256, 2, 2) / 16
    make = {"power_of_two": power_of_two, "uniform": uniform}[scheme]
    model = quantize(network, images, scheme=make(weight_steps="weight", bias_correction=False), weight_bits=3,
                     activation_bits=8, input_format=Format(4, "unsigned"), input_exponent=-4)
    errors: dict[str, tuple[float, float]] = {}
    reconstruct(model, network, images, Reconstruction(iterations=100, rate=0.03, exponents=False),
                progress=lambda unit: errors.update({unit.name: (unit.before, unit.after)}))
    (before, after), = errors.values()
    assert after < before / 4


@pytest.mark.trains
@pytest.mark.parametrize("scheme", ["power_of_two", "uniform"])
def test_no_unit_gets_further_from_float(
        float_net: nn.Module, splits: tuple[Split, Split], as_digits: Quantize, scheme: str) -> None:
    """Unit after unit of a residual network at 2 bits, whatever has been learnt."""
    model = as_digits(float_net, splits[0].images, scheme, 2)
    errors: dict[str, tuple[float, float]] = {}
    reconstruct(model, float_net, splits[0].first(128).images, Reconstruction(iterations=20),
                progress=lambda unit: errors.update({unit.name: (unit.before, unit.after)}))
    assert list(errors) == ["stem", "block1.conv2", "block2.conv2", "classifier"]
    assert all(after <= before for before, after in errors.values())


@pytest.mark.trains
@pytest.mark.parametrize("exponents", [False, True])
def test_weights_end_on_a_strict_grid(
        float_net: nn.Module, splits: tuple[Split, Split], as_digits: Quantize, exponents: bool) -> None:
    """A weight is scale * code exactly, every scale a power of two; without learnt exponents the scales stay, and no
    weight moves by more than a step."""
    model = as_digits(float_net, splits[0].images, "power_of_two", 3)
    before = [(layer.weight.detach().clone(), layer.weight_quantizer.scale.clone()) for layer in layers(model)]
    reconstruct(model, float_net, splits[0].first(64).images, Reconstruction(iterations=40, exponents=exponents))
    check_steps(model)
    moved = 0
    for layer, (weight, scale) in zip(layers(model), before, strict=True):
        quantizer = layer.weight_quantizer
        assert torch.equal(quantizer(layer.weight), layer.weight)
        assert len(quantizer.codes(layer.weight).unique()) <= 8
        if not exponents:
            assert torch.equal(quantizer.scale, scale)
            step = scale.reshape(-1, *[1] * (weight.ndim - 1))
            clipped = (weight / step).clamp(-4, 3)
            assert bool(((layer.weight / step - clipped).detach().abs() <= 1).all())
            moved += int((layer.weight != quantizer(weight)).sum())
    assert exponents or moved


@pytest.mark.trains
def test_a_rounding_that_is_worse_is_not_kept(
        float_net: nn.Module, splits: tuple[Split, Split], as_digits: Quantize,
        monkeypatch: pytest.MonkeyPatch) -> None:
    """If all that was learnt were zeros, every unit would keep the nearest codes and their steps instead."""
    monkeypatch.setattr("quant.ptq.rounding.SoftRounding.rounded", lambda soft: torch.zeros_like(soft.logit))
    images = splits[0].first(64).images
    model = as_digits(float_net, images, "power_of_two", 4)
    nearest = [(layer.weight_quantizer(layer.weight).detach(), layer.weight_quantizer.exponent.clone())
               for layer in layers(model)]
    errors: dict[str, tuple[float, float]] = {}
    reconstruct(model, float_net, images, Reconstruction(iterations=2),
                progress=lambda unit: errors.update({unit.name: (unit.before, unit.after)}))
    assert all(0 < after <= before for before, after in errors.values())
    for layer, (weight, exponent) in zip(layers(model), nearest, strict=True):
        assert torch.equal(layer.weight.detach(), weight)
        assert torch.equal(layer.weight_quantizer.exponent, exponent)


@pytest.mark.trains
def test_biases_are_whole_accumulator_steps(
        float_net: nn.Module, splits: tuple[Split, Split], as_digits: Quantize) -> None:
    """However exponents have moved, a bias is a whole number of weight steps times input steps."""
    model = as_digits(float_net, splits[0].images, "power_of_two", 2)
    reconstruct(model, float_net, splits[0].first(64).images, Reconstruction(iterations=30))
    found = stages(model)
    steps = {stage.end: model.get_submodule(stage.quantizer).scale for stage in found if stage.quantizer}
    checked = 0
    for stage in found:
        if stage.kind in ("conv", "linear"):
            layer = model.get_submodule(stage.name)
            whole = layer.bias / (layer.weight_quantizer.scale * steps[stage.source])
            assert torch.equal(whole, whole.round()), stage.name
            checked += int((whole != 0).sum())
    assert checked


@pytest.mark.trains
def test_exponents_are_learnt_by_an_octave_at_most(
        float_net: nn.Module, splits: tuple[Split, Split], as_digits: Quantize) -> None:
    """A learnt exponent is at most one away from where it started, and some have moved."""
    model = as_digits(float_net, splits[0].images, "power_of_two", 2)
    fitted = [layer.weight_quantizer.exponent.clone() for layer in layers(model)]
    reconstruct(model, float_net, splits[0].first(64).images, Reconstruction(iterations=40))
    found = [layer.weight_quantizer.exponent for layer in layers(model)]
    learnt = sum(int((a != b).sum()) for a, b in zip(found, fitted, strict=True))
    assert all(bool(((exponent - start).abs() <= 1).all()) for exponent, start in zip(found, fitted, strict=True))
    assert learnt > 0


@pytest.mark.trains
@pytest.mark.usefixtures("one_thread")
def test_reconstruction_repeats(float_net: nn.Module, splits: tuple[Split, Split], as_digits: Quantize) -> None:
    """On one thread the same seed chooses the same images and the same elements and gives the same weights, another
    seed others."""
    results = []
    for seed in (3, 3, 4):
        model = as_digits(float_net, splits[0].images, "power_of_two", 2)
        torch.manual_seed(len(results))
        reconstruct(model, float_net, splits[0].first(64).images, Reconstruction(iterations=20, seed=seed))
        results.append(torch.cat([layer.weight.detach().flatten() for layer in layers(model)]))
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


@contextmanager
def watched_steps(see: Callable[[torch.optim.Optimizer], None]) -> Iterator[None]:
    hook = register_optimizer_step_pre_hook(lambda optimizer, args, kwargs: see(optimizer))
    try:
        yield
    finally:
        hook.remove()


@pytest.mark.trains
@pytest.mark.parametrize(("scheme", "exponents"), [("power_of_two", False), ("power_of_two", True), ("uniform", False)])
def test_every_rounding_gets_a_gradient(
        float_net: nn.Module, splits: tuple[Split, Split], as_digits: Quantize, scheme: str, exponents: bool) -> None:
    """No rounding variable and no step is starved: frozen quantizers inside a unit pass gradients."""
    shares: list[float] = []

    def see(optimizer: torch.optim.Optimizer) -> None:
        for group in optimizer.param_groups:
            shares.extend(float((p.grad != 0).double().mean()) for p in group["params"]
                          if p.grad is not None)

    with watched_steps(see):
        reconstruct(as_digits(float_net, splits[0].images, scheme, 4), float_net, splits[0].first(128).images,
                    Reconstruction(iterations=5, batch=128, drop=0.0, exponents=exponents))
    assert len(shares) >= 7
    assert min(shares) > 0.5


@pytest.mark.trains
def test_the_program_computes_what_the_model_does(
        float_net: nn.Module, splits: tuple[Split, Split], as_digits: Quantize) -> None:
    """After a strict reconstruction the lowered Program gives, on every image, every code of every stored tensor."""
    model = as_digits(float_net, splits[0].images, "power_of_two", 2)
    images = splits[0].first(64)
    reconstruct(model, float_net, images.images, Reconstruction(iterations=30))
    lowered = lower_with_report(model, images.images[:1])
    found = simulate(lowered.program, {lowered.program.inputs[0].name: images.stored.numpy()})
    seen: dict[str, Tensor] = {}
    double = model.double()
    hooks = [double.get_submodule(stage.quantizer).register_forward_hook(
        lambda module, args, output, name=stage.name: seen.update({name: module.codes(args[0])}))
        for stage in stages(model) if stage.quantizer]
    logits = double(images.images.double())
    for hook in hooks:
        hook.remove()
    assert len(seen) == 8
    for name, codes in seen.items():
        assert np.array_equal(codes.numpy().reshape(found[name].shape), found[name]), name
    output = lowered.program.outputs[0].name
    assert np.array_equal(found[output].reshape(64, -1) * lowered.scales[output], logits.detach().numpy())


@pytest.mark.parametrize(("change", "message"), [
    ({"iterations": 0}, "iterations must be at least 1, not 0"), ({"batch": 0}, "batch must be at least 1, not 0"),
    ({"seed": -1}, "seed must be at least 0, not -1"), ({"rate": 0.0}, r"rate must be above 0, not 0\.0"),
    ({"drop": 1.5}, r"drop must be in 0\.\.1, not 1\.5"), ({"warmup": -0.1}, r"warmup must be in 0\.\.1, not -0\.1"),
    ({"downscale": 0}, "downscale must be at least 1, not 0"),
    ({"downscale": 1.5}, "downscale must be an int, not 1.5"),
    ({"iterations": "9"}, "iterations must be an int, not '9'"), ({"drop": "9"}, "drop must be a number, not '9'"),
    ({"rounding": "up"}, "rounding must be one of learnt, together, not up"),
    ({"seed": 2**63}, r"seed must be at most 2\*\*63 - 1, not 9223372036854775808"),
    ({"regulariser": -1}, "regulariser must be at least 0, not -1"),
    ({"bias_rate": float("nan")}, "bias_rate must be above 0, not nan")])
def test_values_out_of_range_are_named(change: dict[str, Any], message: str) -> None:
    """What cannot be followed is refused when it is made."""
    with pytest.raises(InputError, match=f"^{message}$"):
        Reconstruction(**change)


@pytest.mark.parametrize(("count", "value", "message"), [
    (31, 0.0, r"reconstruction takes 32\.\.1024 images, not 31"),
    (1025, 0.0, r"reconstruction takes 32\.\.1024 images, not 1025"),
    (32, float("nan"), "data must be finite, but image 0 is not"),
    (0, 0.0, r"data must have shape \(n, C, H, W\), \(n, C, L\) or \(n, C\) without a 0, not \(0, 1, 8, 8\)")])
def test_calibration_images_are_checked(
        float_net: nn.Module, splits: tuple[Split, Split], as_digits: Quantize, count: int, value: float,
        message: str) -> None:
    """Too few, too many, none, and what is no number: each is named."""
    model = as_digits(float_net, splits[0].images[:64], "power_of_two", 4)
    with pytest.raises(InputError, match=f"^{message}$"):
        reconstruct(model, float_net, torch.full((count, 1, 8, 8), value))
