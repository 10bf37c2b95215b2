"""Chains of operations that are computed piece by piece are those of whole tensors."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from quant.quantizers import pieces as module
from quant.quantizers.base import ActivationQuantizer
from quant.quantizers.lsq import LSQActivation
from quant.quantizers.pieces import arranged_like, dense, pass_inside, pieces
from quant.quantizers.qil import QILActivation

GAPS: dict[str, Callable[[Tensor], Tensor]] = {
    "dense": lambda x: x, "channels last": lambda x: x.contiguous(memory_format=torch.channels_last),
    "every second pixel": lambda x: x[:, :, ::2, ::2], "one for all": lambda x: x[:1].expand(4, -1, -1, -1),
    "none": lambda x: x[:0], "a part": lambda x: x[1:3]}


@pytest.mark.parametrize("kind", GAPS)
@pytest.mark.parametrize("make", [lambda: LSQActivation(3, signed=True), lambda: QILActivation(3)])
def test_values_and_gradients_do_not_depend_on_pieces_or_memory(monkeypatch: pytest.MonkeyPatch, kind: str,
                                                                make: Callable[[], ActivationQuantizer]) -> None:
    """Tensors with gaps, of other orders and without elements, in pieces of 7 elements, are as if each were alone."""
    monkeypatch.setattr(module, "PIECE", 7)
    generator = torch.Generator().manual_seed(0)
    x = GAPS[kind](torch.randn(4, 3, 4, 6, dtype=torch.float64, generator=generator))
    upstream = torch.randn(x.shape, dtype=torch.float64, generator=generator)
    quantizer = make().double()
    quantizer.cover(-1.0, 1.0)
    whole = quantizer.rounded(x) * quantizer.scale.detach()
    x = x.detach().requires_grad_()
    found = quantizer(x)
    found.backward(upstream)
    assert torch.equal(found, whole)
    alone = [torch.autograd.grad(quantizer(one), one, up.clone())[0]
             for one, up in ((x.detach()[i:i + 1].clone().requires_grad_(), upstream[i:i + 1]) for i in range(len(x)))]
    assert x.grad is not None
    assert torch.equal(x.grad, torch.cat([torch.empty(0, *x.shape[1:], dtype=torch.float64), *alone]))


def test_pieces_pair_the_elements_of_all_tensors() -> None:
    """Views of the same places: what is written to one is in the whole tensor where the other's element is."""
    x = torch.arange(24.0).reshape(1, 2, 3, 4).contiguous(memory_format=torch.channels_last)
    copy = torch.empty_like(x)
    for part, found in pieces(x, copy):
        found.copy_(part)
    assert torch.equal(copy, x)
    other = arranged_like(x, x.contiguous())
    assert other.stride() == x.stride()
    assert torch.equal(other, x)
    assert dense(x) is x
    assert dense(x[..., ::2]).is_contiguous()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_both_ends_pass(dtype: torch.dtype) -> None:
    """As in `clamp`, the gradient passes at both ends and not at the next numbers beyond, nor is infinity made NaN."""
    ends = torch.tensor([0.0, 3.0], dtype=dtype)
    beyond = torch.nextafter(ends, torch.tensor([-torch.inf, torch.inf], dtype=dtype))
    x = torch.cat([beyond[:1], ends, beyond[1:]]).requires_grad_()
    upstream = torch.tensor([torch.inf, 5.0, -2.0, torch.nan], dtype=dtype)
    expected, = torch.autograd.grad(x.clamp(0.0, 3.0), x, upstream)
    found = pass_inside(upstream, x.detach(), 0.0, 3.0, torch.empty_like(x))
    assert found.tolist() == expected.tolist() == [0.0, 5.0, -2.0, 0.0]
