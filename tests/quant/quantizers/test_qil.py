"""QIL against its formulas."""

from fractions import Fraction
from math import log

import pytest
import torch
from torch import Tensor

from quant.quantizers.qil import GAMMA_RANGE, QILActivation, QILOptions, QILWeight


@pytest.mark.parametrize(("bits", "weights", "activations"), [(2, 3, 4), (3, 7, 8), (4, 15, 16), (5, 31, 32)])
def test_level_counts(bits: int, weights: int, activations: int) -> None:
    """Weights have 2**b - 1 levels, symmetric about 0 (two bits: ternary); activations have 2**b."""
    x = torch.linspace(-2, 2, 4001)
    assert len(QILWeight(bits)(x).unique()) == weights
    assert len(QILActivation(bits)(x).unique()) == activations


def qil_weight(bits: int, low: float, high: float, gamma: float, amplitude: float) -> QILWeight:
    quantizer = QILWeight(bits).double()
    with torch.no_grad():
        for parameter, value in ((quantizer.low, low), (quantizer.high, high), (quantizer.log_gamma, log(gamma)),
                                 (quantizer.amplitude, amplitude)):
            parameter.fill_(value)
    return quantizer


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("bits", [2, 3, 4])
def test_decision_points(bits: int, gamma: float) -> None:
    """The k-th code starts at low + (high - low) * ((k - 1/2) / q) ** (1 / gamma), on both sides of 0."""
    low, high = 0.125, 0.875
    quantizer = qil_weight(bits, low, high, gamma, 1.0)
    q = 2 ** (bits - 1) - 1
    for k in range(1, q + 1):
        point = low + (high - low) * ((k - 0.5) / q) ** (1 / gamma)
        x = torch.tensor([point - 1e-9, point + 1e-9, -point + 1e-9, -point - 1e-9], dtype=torch.float64)
        assert quantizer.codes(x).tolist() == [k - 1, k, -(k - 1), -k]


def weight_gradients(x: Tensor, upstream: Tensor, low: float, high: float, gamma: float) -> dict[str, Tensor]:
    """The transformer's derivatives, written out: T = t**gamma, t = (|w| - low) / (high - low) inside the interval."""
    width, magnitude, sign = high - low, x.abs(), x.sign()
    inside = (magnitude > low) & (magnitude < high)
    t = ((magnitude - low) / width).clamp(1e-12, 1.0)
    slope = torch.where(inside, gamma * t ** (gamma - 1), 0.0)
    g = upstream * sign
    return {
        "x": upstream * slope / width,
        "low": (g * slope * (magnitude - high) / width**2).sum(),
        "high": (-g * slope * (magnitude - low) / width**2).sum(),
        "gamma": torch.where(inside, g * t**gamma * t.log(), 0.0).sum(),
    }


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_weight_gradients_are_those_of_the_transformer(gamma: float) -> None:
    """In float64 they equal the written-out derivatives to 1e-10; the quantizer's own are divided by sqrt(n q)."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(400, dtype=torch.float64, generator=generator).requires_grad_()
    upstream = torch.randn(400, dtype=torch.float64, generator=generator)
    quantizer = qil_weight(3, 0.2, 1.4, gamma, 0.7)
    quantizer(x).backward(upstream)
    expected = weight_gradients(x.detach(), 0.7 * upstream, 0.2, 1.4, gamma)
    scale = 1 / (400 * quantizer.steps) ** 0.5
    assert x.grad is not None
    assert float((x.grad - expected["x"]).abs().max()) < 1e-10
    expected["log_gamma"] = gamma * expected["gamma"]
    for name in ("low", "high", "log_gamma"):
        assert abs(float(getattr(quantizer, name).grad) - scale * float(expected[name])) < 1e-10
    levels = quantizer.codes(x.detach()).double() / quantizer.steps
    assert quantizer.amplitude.grad is not None
    assert abs(float(quantizer.amplitude.grad) - scale * float((upstream * levels).sum())) < 1e-10


def test_activation_gradients_are_those_of_the_transformer() -> None:
    """As for weights, without a sign; the elements that scale the gradients are those of one sample."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(8, 50, dtype=torch.float64, generator=generator).requires_grad_()
    upstream = torch.randn(8, 50, dtype=torch.float64, generator=generator)
    quantizer = QILActivation(3).double()
    with torch.no_grad():
        quantizer.low.fill_(0.2)
        quantizer.high.fill_(1.4)
        quantizer.amplitude.fill_(0.7)
    quantizer(x).backward(upstream)
    inside = ((x > 0.2) & (x < 1.4)).detach()
    g, width, scale = torch.where(inside, 0.7 * upstream, 0.0), 1.2, 1 / (50 * 7) ** 0.5
    assert x.grad is not None
    assert quantizer.low.grad is not None
    assert quantizer.high.grad is not None
    assert float((x.grad - g / width).abs().max()) < 1e-10
    values = x.detach()
    assert abs(float(quantizer.low.grad - scale * (g * (values - 1.4) / width**2).sum())) < 1e-10
    assert abs(float(quantizer.high.grad - scale * (-g * (values - 0.2) / width**2).sum())) < 1e-10


@pytest.mark.parametrize("quantizer", [QILWeight(2), QILActivation(3)])
def test_constraints_are_enforced(quantizer: QILWeight | QILActivation) -> None:
    """After `project`, 0 <= low < high and the output scale is positive, whatever the optimizer did."""
    with torch.no_grad():
        quantizer.low.fill_(-0.5)
        quantizer.high.fill_(-1.0)
        quantizer.amplitude.fill_(-3.0)
        if isinstance(quantizer, QILWeight):
            quantizer.log_gamma.fill_(50.0)
    quantizer.project()
    assert float(quantizer.low.detach()) == 0.0
    assert float((quantizer.high - quantizer.low).detach()) > 0
    assert float(quantizer.amplitude.detach()) > 0
    if isinstance(quantizer, QILWeight):
        assert float(quantizer.gamma.detach()) == pytest.approx(GAMMA_RANGE[1])


@pytest.mark.parametrize("quantizer", [QILWeight(2), QILActivation(3)])
def test_ends_that_have_crossed_are_parted(quantizer: QILWeight | QILActivation) -> None:
    """A lower end above the upper one stays, and the upper one moves behind it."""
    with torch.no_grad():
        quantizer.low.fill_(0.75)
        quantizer.high.fill_(0.5)
    quantizer.project()
    assert float(quantizer.low.detach()) == 0.75
    assert float(quantizer.high.detach()) > 0.75


def gamma_gradient(quantizer: QILWeight, x: Tensor) -> float | None:
    quantizer.log_gamma.grad = None
    quantizer(x).square().sum().backward()
    return None if quantizer.log_gamma.grad is None else float(quantizer.log_gamma.grad)


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_two_bits_need_no_gamma(gamma: float) -> None:
    """At 2 bits another upper end gives the codes that gamma gives, all of them; at 3 bits no interval does."""
    x = torch.randn(20_000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    low, high = 0.3, 1.5
    threshold = low + (high - low) * 0.5 ** (1 / gamma)
    with_gamma, without = qil_weight(2, low, high, gamma, 1.0), qil_weight(2, 0.0, 2 * threshold, 1.0, 1.0)
    assert torch.equal(with_gamma.codes(x), without.codes(x))
    wider = qil_weight(3, low, high, gamma, 1.0).codes(x)
    points = [float(x[wider == code].min()) for code in (1, 2, 3)]
    assert abs((points[2] - points[1]) - (points[1] - points[0])) > 0.1  # those of an interval alone are equidistant


def test_gamma_is_learnt_from_three_bits_on() -> None:
    """gamma is 1 with a gradient of 0 below, and free again above, set or loaded; an option keeps it at 1 for good."""
    x, quantizer = torch.randn(100, generator=torch.Generator().manual_seed(0)), QILWeight(3)
    assert gamma_gradient(quantizer, x)
    with torch.no_grad():
        quantizer.log_gamma.fill_(-0.2)
    for bits in (2, 1):
        quantizer.set_bits(bits, x)
        assert gamma_gradient(quantizer, x) == 0.0
        assert float(quantizer.gamma.detach()) == 1.0
    quantizer.set_bits(4, x)
    assert gamma_gradient(quantizer, x)
    loaded = QILWeight(2)
    loaded.load_state_dict(quantizer.state_dict())
    assert gamma_gradient(loaded, x) == gamma_gradient(quantizer, x)
    assert gamma_gradient(QILWeight(4, QILOptions(gamma=False)), x) is None


def test_one_bit_of_a_dense_layer_is_the_sign() -> None:
    """Values are the mean magnitude with the weight's sign; ends of the interval get gradients of 0, not none."""
    x = torch.tensor([-3.0, -0.5, 0.0, 0.5])
    quantizer = QILWeight(1)
    quantizer.initialise(x)
    assert quantizer(x).tolist() == [-1.0, -1.0, 1.0, 1.0]
    quantizer(x).backward(torch.tensor([1.0, 2.0, 4.0, 8.0]))
    assert quantizer.amplitude.grad is not None
    assert float(quantizer.amplitude.grad) == (-1.0 - 2.0 + 4.0 + 8.0) / 2.0
    for parameter in (quantizer.low, quantizer.high, quantizer.log_gamma):
        assert parameter.grad is not None
        assert float(parameter.grad) == 0.0


def test_one_bit_of_a_grouped_layer_keeps_the_heavier_side() -> None:
    """A channel's weights of more energy get code -1, the others and small ones 0, and a pruned interval is kept."""
    x = torch.tensor([[-3.0, -2.0, 1.0, -0.1], [3.0, 2.0, -1.0, 0.1]])
    quantizer = QILWeight(1, channels=2, bipolar=False)
    quantizer.initialise(x)
    assert quantizer.mirrored.tolist() == [False, True]
    assert quantizer.codes(x).tolist() == [[-1, -1, 0, 0], [-1, -1, 0, 0]]
    with torch.no_grad():
        quantizer.low.fill_(2.0)
        quantizer.high.fill_(3.0)
    assert quantizer.codes(x).tolist() == [[-1, 0, 0, 0], [-1, 0, 0, 0]]
    quantizer.set_bits(2, x)
    assert quantizer.codes(x)[:, 0].tolist() == [-1, 1]


def test_plain_gradients_are_not_scaled() -> None:
    """With plain gradients the interval's are sqrt(n q) times those in LSQ's scaling; the input's are the same."""
    x = torch.randn(50, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    gradients = []
    for options in (QILOptions(), QILOptions(gradients="plain")):
        quantizer, values = QILWeight(3, options).double(), x.clone().requires_grad_()
        quantizer(values).square().sum().backward()
        assert quantizer.low.grad is not None
        assert values.grad is not None
        gradients.append((float(quantizer.low.grad), values.grad))
    (scaled, first), (plain, second) = gradients
    assert plain == pytest.approx(scaled * (50 * 3) ** 0.5, rel=1e-12)
    assert torch.equal(first, second)


def test_a_batch_norm_makes_the_amplitude_needless() -> None:
    """In front of a BatchNorm that trains the amplitude changes nothing, so its gradient is that of `eps` alone: it is
    not learnt there."""
    generator = torch.Generator().manual_seed(0)
    x, weight = torch.randn(64, 6, generator=generator), torch.randn(4, 6, generator=generator)
    target = torch.randn(64, 4, generator=generator)
    quantizer = QILWeight(3)
    quantizer.initialise(weight)
    norm = torch.nn.BatchNorm1d(4)
    (norm(x @ quantizer(weight).T) - target).square().sum().backward()
    assert quantizer.amplitude.grad is not None
    assert quantizer.high.grad is not None
    assert abs(float(quantizer.amplitude.grad)) < 1e-3 * abs(float(quantizer.high.grad))
    fixed = QILWeight(3, scaled=False)
    fixed(weight).sum().backward()
    assert fixed.amplitude.grad is None
    assert fixed.high.grad is not None


def test_centre_and_half_width_are_the_papers() -> None:
    """low = c - d and high = c + d."""
    quantizer = QILWeight(3)
    with torch.no_grad():
        quantizer.low.fill_(0.25)
        quantizer.high.fill_(1.0)
    assert (float(quantizer.centre.detach()), float(quantizer.half_width.detach())) == (0.625, 0.375)


def test_gain_and_bias_are_the_map() -> None:
    """floor(gain * x + bias + 1/2), clamped, is the code of an activation, with a pruned part too."""
    quantizer = QILActivation(3)
    with torch.no_grad():
        quantizer.low.fill_(0.25)
        quantizer.high.fill_(1.125)
    x = torch.linspace(-0.5, 2, 1001)
    gain, bias = (Fraction(float(value.detach())) for value in (quantizer.gain, quantizer.bias))
    wanted = [min(max((gain * Fraction(value) + bias + Fraction(1, 2)).__floor__(), 0), 7) for value in x.tolist()]
    assert sum(int(a != b) for a, b in zip(wanted, quantizer.codes(x).tolist(), strict=True)) <= 1  # a float's tie
