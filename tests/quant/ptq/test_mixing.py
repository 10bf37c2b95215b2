"""The pass that quantizes a random part of a tensor."""

import pytest
import torch

from quant.ptq.mixing import Mixer
from quant.quantizers.lsq import LSQActivation
from quant.quantizers.power_of_two import PowerOfTwoActivation


def mixer(drop: float) -> Mixer:
    return Mixer(drop, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
def test_a_share_of_the_elements_stays_as_it_is(order: torch.memory_format) -> None:
    """A quarter keeps its value, the others have the quantizer's; what is kept passes all gradients, the others those
    of the codes that are not clipped."""
    x = torch.randn(8, 6, 16, 16).to(memory_format=order).requires_grad_()
    quantizer = PowerOfTwoActivation(3, signed=True, exponent=-2)
    found = mixer(0.25).quantize(x, quantizer)
    found.sum().backward()
    kept = found == x
    assert 0.23 < float(kept.float().mean()) < 0.27
    assert torch.equal(found[~kept], quantizer(x)[~kept])
    inside = (x / 0.25 + 0.5).floor().clamp(-4, 3) == (x / 0.25 + 0.5).floor()
    assert x.grad is not None
    assert torch.equal(x.grad != 0, kept | inside)


def test_without_a_share_the_step_learns_as_in_training() -> None:
    """Nothing unquantized: value, gradient and gradient of the step are those of LSQ's own pass, but for the half codes
    next to the ends, which LSQ clips before it rounds."""
    x, grad = torch.randint(-3, 12, (4, 3, 8, 8)) + 0.3, torch.randn(4, 3, 8, 8)
    x[x == 7.3] = 6.3
    grads = []
    for passed in (lambda q, x: q(x), lambda q, x: mixer(0.0).quantize(x, q)):
        quantizer, own = LSQActivation(3, signed=False), x.clone().requires_grad_()
        found = passed(quantizer, own)
        found.backward(grad)
        grads.append((found.detach(), own.grad, quantizer.step.grad))
    for a, b in zip(*grads, strict=True):
        assert torch.allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("drop", "share"), [(0.0, 0.0), (1.0, 1.0), (0.5, 0.5)])
def test_inputs_are_chosen_element_by_element(drop: float, share: float) -> None:
    """Each element is quantized or real, with the share that was asked for."""
    quantized, real = torch.zeros(64, 100), torch.ones(64, 100)
    assert float(mixer(drop).choose(quantized, real).mean()) == pytest.approx(share, abs=0.03)


@pytest.mark.parametrize("quantizer", [
    PowerOfTwoActivation(1, signed=True, exponent=1), PowerOfTwoActivation(4, signed=True, asymmetric=True),
    LSQActivation(1, signed=True), LSQActivation(5, signed=True, asymmetric=True)])
def test_values_are_the_quantizers_own(quantizer: PowerOfTwoActivation | LSQActivation) -> None:
    """Zero points, and one bit that means minus or plus a number, give the quantizer's values too."""
    x = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(1)) + 0.5
    quantizer.initialise(x)
    assert torch.allclose(mixer(0.0).quantize(x, quantizer), quantizer(x), atol=1e-6)
