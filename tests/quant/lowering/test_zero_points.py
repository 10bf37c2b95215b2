"""Tensors with zero points, and tensors of one bit that means minus or plus, in Programs."""

import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from quant.convert import quantize
from quant.lowering.lower import Lowered, lower_with_report
from quant.lowering.strict import beyond_one_shift
from quant.ptq.reconstruct import Reconstruction, reconstruct
from quant.quantizers.base import ActivationQuantizer
from quant.reference import run_reference
from quant.schemes import Scheme, lsq, power_of_two, qil, uniform
from quant.stages.stages import stages
from sim.arch.machine import load_machine
from sim.errors import InputError
from sim.functional.reference import simulate
from sim.ir.arithmetic import Arithmetic
from sim.ir.formats import Format, Rounding
from sim.plan.plan import plan

Follow = Callable[[nn.Module, Lowered, dict[str, np.ndarray], Tensor], int]

CODES = torch.randint(-8, 8, (32, 3, 8, 8), generator=torch.Generator().manual_seed(0))
ASYMMETRIC = {"qil": qil(asymmetric=True), "lsq": lsq(asymmetric=True), "uniform": uniform(asymmetric=True),
              "power_of_two": power_of_two(asymmetric=True)}


class Signed(nn.Module):
    """Signed tensors that everything reads: padded convolutions, pools, averages, adds, a ReLU6 and a flatten."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.depthwise = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1, groups=6)
        self.back, self.itself = nn.Conv2d(6, 6, 1), nn.Conv2d(6, 6, 3, padding=1)
        self.max, self.average = nn.MaxPool2d(3, 2, padding=1), nn.AvgPool2d(2, 2)
        self.after = nn.Conv2d(6, 4, 3, padding=1)
        self.hidden, self.last = nn.Linear(16, 16), nn.Linear(16, 5)
        with torch.no_grad():
            self.back.bias += 0.5
            self.depthwise.bias -= 0.5

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.back(functional.relu6(self.depthwise(x)))
        x = x + y
        x = self.average(self.max(self.itself(x)))
        x = self.after(x)
        return self.last(self.hidden(torch.flatten(x, 1)) + torch.flatten(x, 1))


def quantized(scheme: Scheme, bits: int = 5, net: nn.Module | None = None) -> fx.GraphModule:
    torch.manual_seed(0)
    return quantize((net or Signed()).eval(), CODES / 8, scheme=scheme, weight_bits=5, activation_bits=bits,
                    input_format=Format(4, "signed"), input_exponent=-3)


def tensors(model: fx.GraphModule) -> dict[str, ActivationQuantizer]:
    """Quantizers of stored tensors by the name of the tensor, without the input's."""
    return {stage.name: model.get_submodule(stage.quantizer) for stage in stages(model)  # type: ignore[misc]
            if stage.quantizer is not None and stage.kind != "input"}


def codes_of(model: fx.GraphModule) -> dict[str, np.ndarray]:
    """Run a model and return the codes of its stored tensors."""
    found: dict[str, np.ndarray] = {}
    hooks = [quantizer.register_forward_pre_hook(
        lambda module, args, name=name: found.update({name: module.codes(args[0]).numpy()}))
        for name, quantizer in tensors(model).items()]
    with torch.no_grad():
        model(CODES / 8)
    for hook in hooks:
        hook.remove()
    return found


@pytest.mark.parametrize(("scheme", "bits", "rounding"), [
    ("qil", 4, "half_up"), ("lsq", 1, "floor"), ("uniform", 4, "floor"), ("uniform", 1, "half_up"),
    ("power_of_two", 4, "half_up")])
def test_each_layer_is_its_real_map_to_half_a_code(scheme: str, bits: int, rounding: Rounding, follow: Follow) -> None:
    """With zero points everywhere, and with one bit, codes are those of the real map, and the engines agree."""
    model = quantized(ASYMMETRIC[scheme], bits)
    lowered = lower_with_report(model, CODES[:1] / 8, Arithmetic(rounding=rounding))
    zeros = [tensor.format.zero_point for tensor in lowered.program.tensors]
    assert any(zeros) or bits == 1
    found = simulate(lowered.program, {"x": CODES.numpy()})
    assert follow(model, lowered, found, CODES / 8) == len(stages(model)) - 1
    reference = run_reference(lowered.program, {"x": CODES.numpy()})
    assert all(np.array_equal(found[name], reference[name]) for name in found)


@pytest.mark.trains
@pytest.mark.parametrize("bits", [1, 4])
def test_strict_programs_are_their_models(bits: int) -> None:
    """With steps of powers of two every code is the model's, by one shift, after a reconstruction as well."""
    net = Signed()
    model = quantized(power_of_two(asymmetric=True), bits, net)
    is_model(model)
    reconstruct(model, net, CODES / 8, Reconstruction(iterations=4))
    is_model(model)


def is_model(model: fx.GraphModule) -> None:
    """Compare every code of a model with its Program's."""
    lowered = lower_with_report(model, CODES[:1] / 8)
    assert beyond_one_shift(lowered) == []
    found = simulate(lowered.program, {"x": CODES.numpy()})
    for name, codes in codes_of(model).items():
        assert np.array_equal(found[name].reshape(codes.shape), codes), name
    with torch.no_grad():
        wanted = model(CODES / 8).double().numpy()
    assert np.array_equal(found["last"].reshape(wanted.shape) * lowered.scales["last"], wanted)


def test_zero_points_lower_the_error() -> None:
    """Asymmetric tensors are nearer to the real ones than symmetric ones of as many bits."""
    errors = {}
    for scheme in (uniform(), uniform(asymmetric=True)):
        model = quantized(scheme, 3)
        quantizer = tensors(model)["back"]
        seen: list[Tensor] = []
        quantizer.register_forward_pre_hook(lambda module, args, seen=seen: seen.append(args[0]))
        with torch.no_grad():
            model(CODES / 8)
        errors[quantizer.asymmetric] = float((quantizer(seen[0]) - seen[0]).detach().square().mean())
    assert errors[True] < 0.9 * errors[False]


def test_machines_take_zero_points() -> None:
    """The smallest machine has a plan for such a Program."""
    for bits in (1, 4):
        program = lower_with_report(quantized(ASYMMETRIC["lsq"], bits), CODES[:1] / 8,
                                    load_machine("tiny").arithmetic).program
        assert plan(program, load_machine("tiny")).program.outputs


def test_training_learns_signs() -> None:
    """Gradients reach the step of a tensor of one signed bit, through its padding as well, and the layer before it."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 3, padding=1))
    model = quantized(lsq(), 1, net).train()
    model(CODES / 8).square().sum().backward()
    step, weight = (model.get_parameter(name) for name in ("0_quantizer.step", "0.weight"))
    assert step.grad is not None
    assert weight.grad is not None
    assert float(step.grad.abs()) > 0
    assert float(weight.grad.abs().max()) > 0


def test_zeros_around_signs_are_refused() -> None:
    """Averages, and layers that pad by themselves, cannot put a code for 0 around one signed bit."""
    for pad in (nn.AvgPool2d(3, 1, padding=1), nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(4, 4, 3))):
        torch.manual_seed(0)
        model = quantized(lsq(), 1, nn.Sequential(nn.Conv2d(3, 4, 3), pad, nn.Conv2d(4, 2, 1)))
        name = "1" if isinstance(pad, nn.AvgPool2d) else "1.1"
        message = f"op '{name}': '{name}' pads with zeros, for which a tensor of 1 signed bit has no code"
        with pytest.raises(InputError, match=f"^({re.escape(message)}|{re.escape(message.split(': ')[1])})$"):
            lower_with_report(model, CODES[:1] / 8)
