"""Lowering: the integer Program computes what the quantized model says, layer by layer."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from quant.convert import quantize
from quant.data.digits import DIGITS_FORMAT
from quant.data.split import Split
from quant.lowering.lower import Lowered, lower, lower_with_report
from quant.quantizers.base import ActivationQuantizer
from quant.quantizers.power_of_two import PowerOfTwoActivation
from quant.reference import run_reference
from quant.stages.stages import stages
from quant.trace.tracer import trace
from sim.functional.reference import simulate
from sim.ir.arithmetic import Arithmetic
from sim.ir.formats import Format, Rounding
from sim.ir.ops import Conv, Pool
from sim.ir.program import Program
from sim.ir.signed_digits import multipliers

Follow = Callable[[nn.Module, Lowered, dict[str, np.ndarray], Tensor], int]


class Zoo(nn.Module):
    """Every kind of layer and fusion that can be lowered, once."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=2, dilation=2, bias=True)
        self.norm = nn.BatchNorm2d(8)
        self.pool = nn.MaxPool2d(3, 2, padding=1)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.grouped = nn.Conv2d(8, 8, (1, 3), padding=(0, 1), groups=2)
        self.average = nn.AvgPool2d(3, 1, padding=1, divisor_override=8)
        self.itself = nn.Conv2d(8, 8, 1)
        self.behind = nn.BatchNorm2d(8)
        self.strided = nn.Conv2d(8, 6, 3, stride=2, bias=False)
        self.drop, self.same, self.flat = nn.Dropout(0.3), nn.Identity(), nn.Flatten()
        self.linear = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(torch.relu(self.norm(self.first(x))))
        y = torch.relu(self.depthwise(x))
        z = self.average(self.same(torch.relu(self.grouped(y))))
        z = torch.relu(y + z)
        z = torch.relu(z + self.itself(z))
        z = self.behind(z + x)
        return self.linear(self.flat(self.drop(torch.relu(self.strided(z)))))


class WholeMap(nn.Module):
    """A linear layer that reads a map, with a ReLU behind it, and one behind that."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.flat = nn.Conv2d(3, 4, 3, stride=2, padding=(1, 0)), nn.Flatten()
        self.hidden, self.last = nn.Linear(4 * 4 * 3, 7), nn.Linear(7, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.conv(x))
        return self.last(torch.relu(self.hidden(self.flat(x))))


class NormedOutput(nn.Module):
    """The output comes from a convolution with BatchNorm and a residual, so its channels differ in scale.

    Its pads differ on all sides: its own, and those of a layer before it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, (3, 5), padding=(0, 1))
        self.pad, self.norm = nn.ZeroPad2d((2, 0, 0, 2)), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.conv1(x))
        return self.norm(self.conv2(self.pad(x))) + x


class Bottlenecks(nn.Module):
    """Inverted residuals: ReLU6, depthwise filters, tensors of both signs that convolutions and adds read."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.act = nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.ReLU6()
        self.thin = nn.Conv2d(6, 4, 1)
        self.wide, self.back = nn.Conv2d(4, 9, 1), nn.Conv2d(9, 4, 1)
        self.filter = nn.Conv2d(9, 9, 3, padding=1, groups=9)
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for channels in (6, 4, 9, 9, 4))
        self.last = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norms[1](self.thin(self.act(self.norms[0](self.stem(x)))))
        inside = functional.relu6(self.norms[3](self.filter(self.act(self.norms[2](self.wide(x))))))
        x = x + self.norms[4](self.back(inside))
        return self.last(torch.flatten(functional.adaptive_avg_pool2d(x, (1, 1)), 1))


class Pools(nn.Module):
    """Max pools with and without padding, as modules and function; adaptive averages that cut, keep and reduce."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.max1, self.max2 = nn.Conv2d(3, 4, 1), nn.MaxPool2d(3, 1), nn.MaxPool2d(3, 2, padding=1)
        self.keep, self.cut = nn.AdaptiveAvgPool2d((None, 3)), nn.AdaptiveAvgPool2d((3, 1))
        self.last = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.keep(self.max2(self.max1(torch.relu(self.conv(x)))))
        x = functional.max_pool2d(x, 3, stride=1, padding=1)
        return self.last(self.cut(x).flatten(1))


def randomised(model: nn.Module, seed: int = 0) -> nn.Module:
    """`model` with random BatchNorm statistics, of both signs of gain, in eval mode."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low, high in ((module.weight, -1.5, 1.5), (module.bias, -0.5, 0.5),
                                      (module.running_mean, -0.5, 0.5), (module.running_var, 0.25, 2.0)):
                assert tensor is not None
                tensor.detach().uniform_(low, high, generator=generator)
    return model.eval()


def as_signed(model: nn.Module, codes: Tensor, scheme: str, bits: int = 4) -> nn.Module:
    """`model` quantized for inputs of 8 signed bits with 1/32 to a code."""
    return quantize(model, codes / 32, scheme=scheme, weight_bits=bits, activation_bits=bits,
                    input_format=Format(8, "signed"), input_exponent=-5)


def signed_codes(images: int, height: int = 8, width: int = 7) -> Tensor:
    """Random 8-bit signed codes with 3 channels, both ends included."""
    codes = torch.randint(-128, 128, (images, 3, height, width), generator=torch.Generator().manual_seed(1))
    codes[0, :, :2] = -128
    codes[0, :, 2:4] = 127
    return codes


@pytest.mark.parametrize("rounding", ["half_up", "half_even", "floor"])
@pytest.mark.parametrize("scheme", ["qil", "lsq", "uniform", "power_of_two"])
@pytest.mark.parametrize("network", [Zoo, WholeMap, NormedOutput, Bottlenecks, Pools])
def test_each_layer_is_its_real_map_to_half_a_code(
        network: type[nn.Module], scheme: str, rounding: Rounding, follow: Follow) -> None:
    """Every code is within 1/2 + the reported fit error of the real map of the same operands, and engines agree."""
    codes = signed_codes(20)
    torch.manual_seed(0)
    model = as_signed(randomised(network()), codes, scheme, bits=5)
    lowered = lower_with_report(model, codes[:1] / 32, Arithmetic(rounding=rounding))
    found = simulate(lowered.program, {"x": codes.numpy()})
    tensors = [t for t in lowered.program.tensors if not t.name.endswith(".copy")]
    pools = [op for op in lowered.program.ops if isinstance(op, Pool)]
    assert follow(model, lowered, found, codes / 32) == len(tensors) - len(pools)
    reference = run_reference(lowered.program, {"x": codes.numpy()})
    assert all(np.array_equal(found[name], reference[name]) for name in found)


def test_digits_by_qil_layer_by_layer(trained_qil: nn.Module, splits: tuple[Split, Split], follow: Follow) -> None:
    """The trained network too, on real images; predictions agree with the model's on nine of ten at least."""
    test = splits[1]
    lowered = lower_with_report(trained_qil, test.images[:1])
    found = simulate(lowered.program, {"x": test.stored.numpy()})
    assert follow(trained_qil, lowered, found, test.images) == 9
    with torch.no_grad():
        expected = trained_qil(test.images).argmax(1).numpy()
    assert np.mean(found["classifier"][:, :, 0, 0].argmax(1) == expected) >= 0.9
    reference = run_reference(lowered.program, {"x": test.stored.numpy()})
    assert all(np.array_equal(found[name], reference[name]) for name in found)


@pytest.mark.trains
def test_power_of_two_networks_need_one_shift(reconstructed: nn.Module, splits: tuple[Split, Split]) -> None:
    """With power-of-two steps and whole biases a multiplier is one power of two, and codes are the model's."""
    test = splits[1]
    lowered = lower_with_report(reconstructed, test.images[:1])
    assert [conv.terms for conv in lowered.program.convs] == [1] * 8
    assert {conv.residual_terms for conv in lowered.program.convs} == {0, 1}
    for conv in lowered.program.convs:
        assert all(abs(m).bit_count() == 1 for m in multipliers(conv.multiplier).tolist())
    own: dict[str, np.ndarray] = {}

    def keep(name: str, quantizer: ActivationQuantizer, args: tuple[Tensor, ...]) -> None:
        own[name] = quantizer.codes(args[0]).numpy()

    for stage in stages(trace(reconstructed)):
        if stage.quantizer is not None:
            quantizer = reconstructed.get_submodule(stage.quantizer)
            hook = quantizer.register_forward_pre_hook(lambda q, args, name=stage.name: keep(name, q, args))
            with torch.no_grad():
                reconstructed(test.images)
            hook.remove()
    found = simulate(lowered.program, {"x": test.stored.numpy()})
    assert len(own) == 8
    assert all(np.array_equal(found[name], codes.reshape(found[name].shape)) for name, codes in own.items())


@pytest.mark.parametrize("terms", [1, 2, 3, 4])
def test_digits_are_only_as_many_as_allowed(trained_qil: nn.Module, splits: tuple[Split, Split], terms: int) -> None:
    """`terms` bounds every multiplier; fewer digits report larger errors."""
    lowered = lower_with_report(trained_qil, splits[1].images[:1], Arithmetic(terms=terms))
    assert all(conv.terms <= terms and conv.residual_terms <= terms for conv in lowered.program.convs)
    finest = lower_with_report(trained_qil, splits[1].images[:1], Arithmetic(window=16, terms=6))
    assert max(finest.errors.values()) <= max(lowered.errors.values())


def test_layers_and_tensors_are_named_after_modules(trained_qil: nn.Module, splits: tuple[Split, Split]) -> None:
    """Ops and the tensors they write carry the path of the module that computes."""
    program = lower(trained_qil, splits[1].images[:1])
    assert [op.name for op in program.ops] == [
        "stem", "block1.conv1", "block1.conv2", "block2.conv1", "block2.shortcut.0", "block2.conv2", "pool",
        "classifier"]
    assert [op.output for op in program.ops] == [op.name for op in program.ops]
    assert [tensor.name for tensor in program.inputs] == ["x"]
    assert program.tensor("x").format == DIGITS_FORMAT


@pytest.mark.trains
def test_output_keeps_the_order_of_the_logits(reconstructed: nn.Module, splits: tuple[Split, Split]) -> None:
    """All channels of the output share one scale: codes are the real logits to one of them, so they predict the same on
    every image whose best logit is more than two of them above the next."""
    test = splits[1]
    lowered = lower_with_report(reconstructed, test.images[:1])
    found = simulate(lowered.program, {"x": test.stored.numpy()})["classifier"][:, :, 0, 0]
    with torch.no_grad():
        logits, scale = reconstructed(test.images).numpy(), lowered.scales["classifier"]
    assert np.abs(found * scale - logits).max() <= scale
    best, second = np.sort(logits, axis=1)[:, :-3:-1].T
    clear = best - second > 2 * scale
    assert clear.mean() > 0.5
    assert np.array_equal(found.argmax(1)[clear], logits.argmax(1)[clear])


def test_wide_outputs_are_scaled_into_the_accumulator() -> None:
    """With a narrow accumulator the logits lose low bits, not high ones: the format fits and nothing clamps."""
    torch.manual_seed(0)
    codes = signed_codes(20)
    model = as_signed(randomised(NormedOutput()), codes, "qil", bits=5)
    program = lower(model, codes[:1] / 32, Arithmetic(acc_bits=16, window=12))
    fmt = program.tensor("conv2").format
    assert fmt.bits <= 16
    found = simulate(program, {"x": codes.numpy()})["conv2"]
    assert fmt.low < found.min() < found.max() < fmt.high


def test_copies_a_tensor_that_is_input_and_residual() -> None:
    """x + conv(x) reads one tensor twice; the Program gets a second one of the same codes."""
    codes = signed_codes(4)
    torch.manual_seed(0)
    program = lower(as_signed(randomised(Zoo()), codes, "qil"), codes[:1] / 32)
    (conv,) = (op for op in program.convs if op.name == "itself")
    assert conv.residual == f"{conv.input}.copy"
    found = simulate(program, {"x": codes.numpy()})
    assert np.array_equal(found[conv.input], found[f"{conv.input}.copy"])


def test_relu_clamps_in_signed_formats_too(follow: Follow) -> None:
    """Behind a ReLU no code is negative, even where a quantizer could hold one."""
    codes = signed_codes(8)
    torch.manual_seed(0)
    model = as_signed(small(nn.Conv2d(4, 4, 1)), codes, "qil")
    model.set_submodule("0_quantizer", PowerOfTwoActivation(6, signed=True, exponent=-4).eval())
    lowered = lower_with_report(model, codes[:1] / 32)
    found = simulate(lowered.program, {"input_1": codes.numpy()})
    assert follow(model, lowered, found, codes / 32) == 3
    assert lowered.program.tensor("0").format == Format(6, "signed")
    assert found["0"].min() == 0


@pytest.mark.parametrize("scheme", ["qil", "power_of_two"])
def test_relu6_clamps_at_the_code_of_six(scheme: str, follow: Follow) -> None:
    """Codes rise with values, so the largest code is the quantizer's own code of 6, below the end of its range."""
    codes = signed_codes(8)
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU6(), nn.Conv2d(4, 2, 1)).eval()
    nn.init.normal_(network[0].weight)
    model = as_signed(network, codes, scheme, bits=8)
    quantizer = model.get_submodule("0_quantizer")
    assert isinstance(quantizer, ActivationQuantizer)
    quantizer.initialise(torch.linspace(0.0, 7.9, 200))
    lowered = lower_with_report(model, codes[:1] / 32)
    found = simulate(lowered.program, {"input_1": codes.numpy()})
    assert follow(model, lowered, found, codes / 32) == 3
    assert found["0"].max() == lowered.program.convs[0].high == int(quantizer.codes(torch.tensor([6.0]))) < 255


def small(*layers: nn.Module) -> nn.Module:
    """Layers behind a convolution from 3 to 4 channels and a ReLU."""
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), *layers).eval()


def test_programs_are_machine_free(trained_qil: nn.Module, splits: tuple[Split, Split]) -> None:
    """The example's batch size is of no consequence."""
    one, many = (lower(trained_qil, splits[1].images[:n]) for n in (1, 7))
    assert isinstance(one, Program)
    for a, b in zip(one.convs, many.convs, strict=True):
        assert isinstance(a, Conv)
        assert np.array_equal(a.weights, b.weights)
        assert np.array_equal(a.offset, b.offset)


def test_errors_name_their_channel(trained_qil: nn.Module, splits: tuple[Split, Split]) -> None:
    """With one digit a layer's error comes with the channel that has it: there the multiplier is off most."""
    lowered = lower_with_report(trained_qil, splits[1].images[:1], Arithmetic(terms=1))
    worst = lowered.errors["stem"]
    assert worst.error > 0
    assert 0 <= worst.channel < lowered.program.convs[0].channels
    assert max(lowered.errors.values()).error == max(error for error, _ in lowered.errors.values())


@pytest.mark.parametrize("scheme", ["qil", "lsq", "uniform", "power_of_two"])
def test_outputs_may_differ_much_in_size(scheme: str) -> None:
    """Where a channel's weights are 2**-20 of another's all have one scale still, as fine as multipliers allow."""
    codes = signed_codes(8)
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 3, 1)).eval()
    with torch.no_grad():
        network[2].weight[1] *= 2.0**-20
    model = as_signed(network, codes, scheme, bits=8)
    lowered = lower_with_report(model, codes[:1] / 32)
    found = simulate(lowered.program, {"input_1": codes.numpy()})["2"] * lowered.scales["2"]
    with torch.no_grad():
        wanted = model(codes / 32).double().numpy()
    assert np.abs(found - wanted).max() <= 2.0**-6 * np.abs(wanted).max()


def test_groups_stay_groups_where_the_input_is_one_part() -> None:
    """A grouped convolution has only its own weights, and means what it would mean with zeros between its groups."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1, groups=4),
                          nn.ReLU(), nn.Conv2d(16, 8, 1, groups=2))
    images = torch.randn(8, 3, 6, 6)
    network = quantize(model.eval(), images, scheme="power_of_two", input_format=Format(8, "signed"), input_exponent=-5)
    program = lower(network, images[:1])
    assert [(conv.groups, conv.weights.shape[1]) for conv in program.convs] == [(1, 3), (4, 4), (2, 8)]
    dense = replace(program, ops=tuple(op.ungrouped() if isinstance(op, Conv) else op for op in program.ops))
    assert all(conv.groups == 1 for conv in dense.convs)
    codes = {program.inputs[0].name: np.random.default_rng(0).integers(-128, 128, (2, 3, 6, 6))}
    expected = simulate(dense, codes)
    for found in (simulate(program, codes), run_reference(program, codes)):
        for name, array in found.items():
            np.testing.assert_array_equal(array, expected[name])
