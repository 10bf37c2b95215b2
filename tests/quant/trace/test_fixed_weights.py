"""Weights that layers compute from others are constant in eval mode, and a copy holds them."""

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune, spectral_norm, weight_norm

from quant.trace.fixed_weights import with_fixed_weights


class Positive(nn.Module):
    """A parametrization of one's own."""

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight.abs()


COMPUTED: dict[str, Callable[[nn.Conv2d], object]] = {
    "weight norm by a hook": weight_norm, "weight norm": parametrizations.weight_norm,
    "spectral norm by a hook": spectral_norm, "spectral norm": parametrizations.spectral_norm,
    "pruned": lambda conv: prune.l1_unstructured(conv, "weight", 0.3),
    "pruned twice": lambda conv: prune.l1_unstructured(prune.l1_unstructured(conv, "weight", 0.3), "weight", 0.3),
    "parametrized": lambda conv: parametrize.register_parametrization(conv, "weight", Positive()),
    "bias too": lambda conv: [parametrize.register_parametrization(conv, name, Positive()) for name in (
        "weight", "bias")],
}


@pytest.mark.filterwarnings("ignore:.*weight_norm")
@pytest.mark.parametrize("change", COMPUTED.values(), ids=COMPUTED.keys())
def test_a_copy_holds_what_is_computed(change: Callable[[nn.Conv2d], object]) -> None:
    """It is a plain layer that gives the same; the model stays as it was."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    change(model[0])
    x = torch.randn(2, 3, 5, 5)
    model(x)  # in training mode some update what they compute
    before = model.state_dict()
    copy = with_fixed_weights(model)
    assert type(copy[0]) is nn.Conv2d
    assert {name for name, _ in copy.named_parameters()} == {"0.weight", "0.bias"}
    assert not copy[0]._forward_pre_hooks
    assert not copy.training
    assert copy[0].weight.is_leaf
    assert model.state_dict().keys() == before.keys() != copy.state_dict().keys()
    torch.testing.assert_close(copy(x), model.eval()(x), rtol=0, atol=0)
