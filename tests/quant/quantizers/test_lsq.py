"""LSQ against its paper."""

from collections.abc import Callable

import pytest
import torch

from quant.quantizers.base import round_half_up
from quant.quantizers.lsq import LSQActivation, LSQWeight


@pytest.mark.parametrize("bits", [2, 3, 8])
def test_gradients_are_those_of_the_paper(bits: int) -> None:
    """Equation 3 for the step, divided by sqrt(n Qp), and the identity inside the range for the input, to 1e-10."""
    generator = torch.Generator().manual_seed(bits)
    x = torch.randn(400, dtype=torch.float64, generator=generator).requires_grad_()
    upstream = torch.randn(400, dtype=torch.float64, generator=generator)
    quantizer = LSQWeight(bits).double()
    with torch.no_grad():
        quantizer.step.fill_(0.6)
    quantizer(x).backward(upstream)
    low, high, v = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1, x.detach() / 0.6
    inside = (v > low) & (v < high)
    of_step = torch.where(inside, torch.floor(v + 0.5) - v, v.clamp(low, high))
    assert x.grad is not None
    assert quantizer.step.grad is not None
    assert float((x.grad - torch.where(inside, upstream, 0.0)).abs().max()) < 1e-10
    assert abs(float(quantizer.step.grad - (upstream * of_step).sum() / (400 * high) ** 0.5)) < 1e-10


@pytest.mark.parametrize(("signed", "asymmetric"), [(False, False), (True, False), (True, True)])
@pytest.mark.parametrize("bits", [1, 2, 8])
def test_values_and_gradients_of_activations_are_those_of_their_operations(bits: int, signed: bool,
                                                                           asymmetric: bool) -> None:
    """A division, a clamp, a rounding and a product, differentiated one by one; values are equal to the last bit."""
    generator = torch.Generator().manual_seed(bits)
    x = torch.randn(4, 5, 6, dtype=torch.float64, generator=generator).requires_grad_()
    upstream = torch.randn(4, 5, 6, dtype=torch.float64, generator=generator)
    quantizer = LSQActivation(bits, signed=signed, asymmetric=asymmetric).double()
    quantizer.initialise(x + 0.3)
    found = quantizer(x)
    gradients = torch.autograd.grad(found, (x, quantizer.step), upstream)
    step = quantizer.step.detach().requires_grad_()
    low, high, half = quantizer.format.low - quantizer.zero, quantizer.format.high - quantizer.zero, quantizer.zero % 1
    expected = (round_half_up((x / step).clamp(low, high) + half) - half) * step
    of_x, of_step = torch.autograd.grad(expected, (x, step), upstream)
    assert torch.equal(found, expected)
    torch.testing.assert_close(gradients[0], of_x, rtol=1e-12, atol=0.0)
    assert float(gradients[1]) == pytest.approx(float(of_step) / (30 * max(quantizer.levels[-1], 1)) ** 0.5, rel=1e-12)


def test_elements_of_activations_are_counted_per_image() -> None:
    """Twice the images give twice the gradient: the scale does not depend on the batch."""
    x = torch.rand(2, 30, generator=torch.Generator().manual_seed(0))
    gradients = []
    for images in (x, torch.cat([x, x])):
        quantizer = LSQActivation(2, signed=False)
        quantizer(images).sum().backward()
        assert quantizer.step.grad is not None
        gradients.append(float(quantizer.step.grad))
    assert gradients[1] == pytest.approx(2 * gradients[0], rel=1e-5)


def test_a_changed_width_changes_the_gradients_scale() -> None:
    """After `set_bits` the step's gradient is divided by the new largest code's root."""
    x = torch.full((100,), 50.0)
    quantizer = LSQWeight(8, mirror=False)
    quantizer.set_bits(2, torch.randn(100, generator=torch.Generator().manual_seed(0)))
    quantizer(x).sum().backward()
    assert quantizer.step.grad is not None
    assert float(quantizer.step.grad) == pytest.approx(100 * 1 / (100 * 1) ** 0.5)


def test_a_step_changes_by_a_quarter_at_most() -> None:
    """One batch can throw it neither to 0 nor to infinity; smaller changes stay, and it can go on from there."""
    quantizer = LSQActivation(4, signed=True)
    quantizer.initialise(torch.full((8,), 7.0))
    for thrown, kept in ((-1.0, 0.8), (0.9, 0.9), (100.0, 1.125), (torch.inf, 1.40625)):
        with torch.no_grad():
            quantizer.step.fill_(thrown)
        quantizer.project()
        assert float(quantizer.step.detach()) == pytest.approx(kept)


def test_halves_are_rounded_in_float32() -> None:
    """Under autocast activations come as bfloat16; their codes are those of the same values in float32."""
    x = torch.randn(1000, generator=torch.Generator().manual_seed(0)).bfloat16()
    quantizer = LSQActivation(8, signed=True)
    quantizer.initialise(x.float())
    assert torch.equal(quantizer(x), quantizer(x.float()))
    assert quantizer(x).dtype == torch.float32


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_steps_of_channels_learn_as_if_alone(bits: int) -> None:
    """Each channel has the codes, values and gradients of a quantizer of that channel, its sign included."""
    generator = torch.Generator().manual_seed(bits)
    x, upstream = (torch.randn(6, 3, 3, 3, generator=generator) for _ in range(2))
    for bipolar in (True, False):
        together = LSQWeight(bits, channels=6, bipolar=bipolar)
        together.initialise(x)
        together(x).backward(upstream)
        assert together.step.grad is not None
        for channel in range(6):
            alone = LSQWeight(bits, bipolar=bipolar)
            alone.initialise(x[channel])
            assert torch.equal(alone(x[channel]), together(x)[channel])
            alone(x[channel]).backward(upstream[channel])
            assert alone.step.grad is not None
            assert float(alone.step.grad) == pytest.approx(float(together.step.grad[channel]), rel=1e-4)


def test_a_changed_width_chooses_signs_anew() -> None:
    """A sign that is wrong at one width may be right at another; training leaves signs alone."""
    x = torch.randn(40, 9, generator=torch.Generator().manual_seed(0))
    quantizer = LSQWeight(4, channels=40)
    quantizer.initialise(x)
    before = quantizer.mirrored.clone()
    quantizer(x).square().sum().backward()
    with torch.no_grad():
        quantizer.step.mul_(-1)
    quantizer.project()
    assert torch.equal(quantizer.mirrored, before)
    quantizer.set_bits(2, x)
    fresh = LSQWeight(2, channels=40)
    fresh.initialise(x)
    assert not torch.equal(quantizer.mirrored, before)
    assert torch.equal(quantizer.mirrored, fresh.mirrored)


def test_one_bit_is_a_learnt_scale_times_the_sign() -> None:
    """The scale starts at the mean magnitude; its gradient is that of scale * sign(x), exactly, over sqrt(n)."""
    x = torch.tensor([-3.0, -0.5, 0.0, 0.5])
    quantizer = LSQWeight(1)
    quantizer.initialise(x)
    assert float(quantizer.scale.detach()) == 1.0
    assert quantizer(x).tolist() == [-1.0, -1.0, 1.0, 1.0]
    quantizer(x).backward(torch.tensor([1.0, 2.0, 4.0, 8.0]))
    assert quantizer.step.grad is not None
    assert float(quantizer.step.grad) == (-1.0 - 2.0 + 4.0 + 8.0) / 2.0


@pytest.mark.parametrize("bits", [1, 2, 8])
def test_steps_of_channels_neither_vanish_nor_outgrow_their_weights(bits: int) -> None:
    """However often an optimizer throws them, the largest of nine weights is clipped by 4.5 steps over the largest code
    at most, and no step is larger than where nothing is clipped; channels of zeros stay finite."""
    x = torch.randn(4, 9, generator=torch.Generator().manual_seed(bits))
    x[3] = 0
    most, high = (1, 1) if bits == 1 else (2 ** (bits - 1), 2 ** (bits - 1) - 1)
    largest = x.abs().amax(1)
    for thrown, end in ((-1.0, largest / (most + 4.5 / most)), (9.0, largest / high)):
        quantizer = LSQWeight(bits, channels=4)
        quantizer.initialise(x)
        for _ in range(60):
            quantizer(x)
            with torch.no_grad():
                quantizer.step.mul_(thrown)
            quantizer.project()
        assert torch.allclose(quantizer.step[:3], end[:3])
        assert bool((quantizer.step > 0).all() & quantizer.step.isfinite().all())
        assert bool((quantizer.codes(x)[:3] != 0).any(1).all())


@pytest.mark.trains
@pytest.mark.parametrize(("bits", "least_db"), [(8, 40.0), (4, 18.0)])
def test_steps_of_few_weights_follow_them(bits: int, least_db: float) -> None:
    """While gradients shake nine weights and their step at a high rate, the codes stay as fine as their width allows:
    no clipped weight throws the step to where roundings could not move it back from."""
    generator = torch.Generator().manual_seed(0)
    x = (0.3 * torch.randn(16, 9, generator=generator)).requires_grad_()
    quantizer = LSQWeight(bits, channels=16)
    quantizer.initialise(x)
    optimizer = torch.optim.SGD([x, quantizer.step], lr=0.05, momentum=0.9)
    for _ in range(60):
        optimizer.zero_grad()
        (quantizer(x) * torch.randn(16, 9, generator=generator)).sum().mul(0.02).backward()
        optimizer.step()
        quantizer.project()
    with torch.no_grad():
        lost = (quantizer(x) - x).square().sum() / x.square().sum()
    assert -10 * float(lost.log10()) > least_db


@pytest.mark.parametrize("make", [lambda bits: LSQWeight(bits, channels=3),
                                  lambda bits: LSQActivation(bits, signed=True)])
def test_steps_continue_at_another_width(make: Callable[[int], LSQWeight | LSQActivation]) -> None:
    """A step that training took to 0.9 times the best one is 0.9 times the best one of the new width."""
    x = torch.randn(3, 50, generator=torch.Generator().manual_seed(0))
    quantizer, fresh = make(4), make(2)
    quantizer.initialise(x)
    fresh.initialise(x)
    with torch.no_grad():
        quantizer.step.mul_(0.9)
    quantizer.project()
    quantizer.continue_with(2, x)
    quantizer.project()
    assert quantizer.bits == 2
    assert torch.allclose(quantizer.step, 0.9 * fresh.step)
