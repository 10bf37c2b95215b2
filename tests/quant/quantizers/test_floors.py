"""Nothing in a quantizer is measured in absolute units: data 2**k times as large gets steps 2**k times as large."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from quant.convert import quantize
from quant.lowering.lower import lower_with_report
from quant.ptq.rounding import SoftRounding
from quant.quantizers.base import Quantizer
from quant.quantizers.lsq import LSQActivation, LSQWeight
from quant.quantizers.power_of_two import Exponents, PowerOfTwoActivation, PowerOfTwoWeight
from quant.quantizers.qil import QILActivation, QILOptions, QILWeight
from quant.quantizers.uniform import UniformWeight
from quant.reference import run_reference
from sim.errors import InputError
from sim.ir.formats import Format

ALL: dict[str, Callable[[int], Quantizer]] = {
    "qil_weight": QILWeight,
    "qil_weight_gamma": lambda bits: QILWeight(bits, QILOptions(gamma=True, gradients="plain"), scaled=False),
    "qil_activation": QILActivation,
    "qil_grouped": lambda bits: QILWeight(bits, channels=6, bipolar=False),
    "lsq_weight": LSQWeight,
    "lsq_per_channel": lambda bits: LSQWeight(bits, channels=6),
    "lsq_unsigned": lambda bits: LSQActivation(bits, signed=False),
    "lsq_signed": lambda bits: LSQActivation(bits, signed=True),
    "uniform_per_channel": lambda bits: UniformWeight(bits, channels=6),
    "uniform_per_tensor": lambda bits: UniformWeight(bits, channels=1),
    "uniform_range": lambda bits: UniformWeight(bits, channels=6, fit="range"),
    "power_of_two_weight": lambda bits: PowerOfTwoWeight(bits, channels=6),
    "power_of_two_grouped": lambda bits: PowerOfTwoWeight(bits, channels=6, bipolar=False),
    "power_of_two_nearest": lambda bits: PowerOfTwoWeight(bits, channels=6, choice="nearest"),
    "power_of_two_unsigned": lambda bits: PowerOfTwoActivation(bits, signed=False),
    "power_of_two_signed_nearest": lambda bits: PowerOfTwoActivation(bits, signed=True, choice="nearest"),
}
quantizers = pytest.mark.parametrize("make", ALL.values(), ids=ALL.keys())
EXPONENTS = (-40, -23, -7, 1, 19, 40)


def data() -> Tensor:
    """Six channels, of very different magnitudes, one of them 0; more elements than a fit looks at."""
    x = torch.randn(6, 3001, generator=torch.Generator().manual_seed(0))
    return x * torch.tensor([1.0, 0.3, 2.0**-12, 0.0, 3.0, 17.0])[:, None]


@quantizers
@pytest.mark.parametrize("bits", [1, 2, 3, 4, 8])
def test_scaled_data_scales_the_step_alone(make: Callable[[int], Quantizer], bits: int) -> None:
    """From 2**-40 to 2**40: the same codes, values and errors scaled to the bit, at every width."""
    quantizer, other, x = make(bits), make(bits), data()
    quantizer.initialise(x)
    for k in EXPONENTS:
        other.set_bits(bits, x * 2.0**k)
        assert torch.equal(other.scale, quantizer.scale * 2.0**k)
        assert torch.equal(other.codes(x * 2.0**k), quantizer.codes(x))
        assert torch.equal(other(x * 2.0**k), quantizer(x) * 2.0**k)
        assert other.error(x * 2.0**k, bits) == quantizer.error(x, bits) * 4.0**k


@quantizers
@pytest.mark.parametrize("throw", [-1.0, 0.0, 1e-3, 0.7, 40.0])
def test_limits_of_learnt_parameters_scale(make: Callable[[int], Quantizer], throw: float) -> None:
    """Wherever an optimizer throws a step or an end of an interval, `project` puts it where it would at any other."""
    x = data()
    for name in [name for name, _ in make(3).named_parameters() if name != "log_gamma"]:
        found = []
        for k in (0, *EXPONENTS):
            quantizer = make(3)
            quantizer.initialise(x * 2.0**k)
            for _ in range(3):
                with torch.no_grad():
                    quantizer.get_parameter(name).mul_(throw)
                quantizer.project()
            found.append((quantizer.scale * 2.0**-k, quantizer.codes(x * 2.0**k)))
        assert all(torch.equal(scale, found[0][0]) and torch.equal(codes, found[0][1]) for scale, codes in found)
        assert bool((found[0][0] != 0).all())


@quantizers
@pytest.mark.parametrize("bits", [2, 8])
@pytest.mark.parametrize("largest", [0.0, 2.0**-149, 2.0**-140, 2.0**-126, 1e-30, 1e30, 3e38])
def test_the_ends_of_float32(make: Callable[[int], Quantizer], bits: int, largest: float) -> None:
    """Zeros, denormals and the largest floats get finite steps with a finite inverse, and codes in range."""
    quantizer = make(bits)
    x = torch.linspace(-1, 1, 6 * 7).reshape(6, 7) * largest
    quantizer.initialise(x)
    fmt, codes = quantizer.format, quantizer.codes(x)
    assert bool(((quantizer.scale != 0) & quantizer.scale.isfinite() & (1 / quantizer.scale).isfinite()).all())
    assert fmt.low <= int(codes.min()) <= int(codes.max()) <= fmt.high
    assert (int(codes.abs().max()) > 0) == (largest >= 1e-30)


@quantizers
def test_a_default_of_double_precision_changes_nothing(make: Callable[[int], Quantizer]) -> None:
    """Quantizers of a float32 network are float32 whatever PyTorch makes new tensors of."""
    x, found = data(), []
    for default in (torch.float32, torch.float64):
        torch.set_default_dtype(default)
        try:
            quantizer = make(4)
            quantizer.initialise(x)
            found.append(quantizer(x))
        finally:
            torch.set_default_dtype(torch.float32)
    assert found[1].dtype == torch.float32
    assert torch.equal(*found)


@quantizers
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_halves_are_fitted_in_single_precision(make: Callable[[int], Quantizer], dtype: torch.dtype) -> None:
    """Steps, errors, codes and values of halves are those of the same numbers in float32."""
    x = data().to(dtype)
    half, single = make(4), make(4)
    half.initialise(x)
    single.initialise(x.float())
    assert torch.equal(half.scale, single.scale)
    assert torch.equal(half.codes(x), single.codes(x.float()))
    assert torch.equal(half(x), single(x.float()))
    assert half.error(x, 3) == single.error(x.float(), 3)


@pytest.mark.parametrize("exponent", [-127, 128, -(10**30)])
def test_exponents_beyond_float32_are_refused(exponent: int) -> None:
    """A step that is 0 or infinite in float32 is no step; the last ones at both ends are."""
    with pytest.raises(InputError, match=r"^the exponent of a step must be in -126\.\.127, not -?\d.*$"):
        PowerOfTwoActivation(4, signed=False, exponent=exponent)
    for last in (-126, 127):
        assert float(PowerOfTwoActivation(4, signed=False, exponent=last).scale) == 2.0**last


@pytest.mark.parametrize("choice", ["best", "nearest"])
def test_the_largest_float_has_a_power_of_two(choice: Exponents) -> None:
    """Its step is finite at every width."""
    for bits in range(2, 9):
        quantizer = PowerOfTwoWeight(bits, channels=1, choice=choice)
        quantizer.initialise(torch.full((1, 3), torch.finfo(torch.float32).max))
        assert bool(quantizer.scale.isfinite().all())


@pytest.mark.parametrize("k", EXPONENTS)
def test_soft_rounding_scales(k: int) -> None:
    """Where reconstruction starts, between which codes and at which shares, does not depend on the magnitude."""
    starts = []
    for power in (0, k):
        weight = data()[[0, 1, 4, 5]] * 2.0**power
        quantizer = PowerOfTwoWeight(3, channels=4)
        quantizer.initialise(weight)
        soft = SoftRounding(quantizer, weight)
        starts.append((soft.scale * 2.0**-power, soft.below, soft.logit, soft(weight) * 2.0**-power))
    assert all(torch.equal(a, b) for a, b in zip(*starts, strict=True))


@pytest.mark.parametrize("scheme", ["qil", "lsq", "uniform", "power_of_two"])
def test_a_network_in_other_units_is_the_same_program(scheme: str) -> None:
    """The first layer's weights times 2**k, the second's by as much less: the same function, codes and logits."""
    codes = torch.randint(0, 16, (32, 2, 6, 6), generator=torch.Generator().manual_seed(1))
    images, found = codes * 2.0**-4, []
    for k in (0, *EXPONENTS):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(2, 6, 3), nn.ReLU(), nn.Conv2d(6, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                              nn.Linear(4, 3)).eval()
        with torch.no_grad():
            model.get_parameter("0.weight").mul_(2.0**k)
            model.get_parameter("0.bias").mul_(2.0**k)
            model.get_parameter("2.weight").mul_(2.0**-k)
        quantized = quantize(model, images, scheme=scheme, input_format=Format(4, "unsigned"), input_exponent=-4)
        lowered = lower_with_report(quantized, images[:1])
        name = lowered.program.inputs[0].name
        outputs = run_reference(lowered.program, {name: codes.numpy()})
        found.append([outputs[tensor.name] for tensor in lowered.program.tensors if tensor.name in outputs])
    for other in found[1:]:
        assert len(other) == len(found[0])
        assert all((a == b).all() for a, b in zip(found[0], other, strict=True))
