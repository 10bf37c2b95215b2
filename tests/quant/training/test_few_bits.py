"""Training at one to three bits: it gets somewhere, and the Program knows what was learnt."""

from collections.abc import Callable
from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from quant.convert import quantize
from quant.data.digits import DIGITS_EXPONENT, DIGITS_FORMAT
from quant.data.split import Split
from quant.lowering.lower import Lowered, lower_with_report
from quant.networks import DigitsNet
from quant.reference import run_reference
from quant.training.evaluate import accuracy
from quant.training.loop import train
from quant.training.norms import reestimate_norms
from quant.training.recipe import Recipe

Follow = Callable[[nn.Module, Lowered, dict[str, np.ndarray], Tensor], int]
NIGHTLY = pytest.mark.nightly

LEAST = {(1, 1): 0.25, (1, 2): 0.5, (2, 2): 0.7, (3, 3): 0.9}
"""Share of others that is right after training; where gradients pass no sign, one-bit weights end below it."""


@pytest.mark.trains
@pytest.mark.parametrize(("scheme", "bits"), [
    ("lsq", (1, 1)), ("qil", (1, 2)), *(pytest.param(scheme, bits, marks=NIGHTLY) for scheme, bits in (
        ("qil", (1, 1)), ("lsq", (1, 2)), ("lsq", (2, 2)), ("qil", (2, 2)), ("lsq", (3, 3)), ("qil", (3, 3))))])
def test_few_bits_learn_and_lower(float_net: nn.Module, splits: tuple[Split, Split], follow: Follow, scheme: str,
                                  bits: tuple[int, int]) -> None:
    """Training gains on statistics of BatchNorms that are estimated anew, and gets far above the tenth that is right
    by chance; each layer of the Program is the model's, to half a code and the error of its fit."""
    data, others = splits[0].first(512), splits[1].first(200)
    model = quantize(float_net, data.images, scheme=scheme, weight_bits=bits[0], activation_bits=bits[1],
                     input_format=DIGITS_FORMAT, input_exponent=DIGITS_EXPONENT)
    untrained = deepcopy(model)
    reestimate_norms(untrained, data.images)
    train(model, data, Recipe(epochs=3, rate=0.05, batch=64))
    reestimate_norms(model, data.images)
    assert loss(model, others) < loss(untrained, others)
    assert accuracy(model, others) > LEAST[bits]
    lowered = lower_with_report(model, others.images[:1])
    codes = run_reference(lowered.program, {lowered.program.inputs[0].name: others.stored.numpy()})
    assert follow(model, lowered, codes, others.images) == len(codes)


@pytest.mark.trains
@NIGHTLY
@pytest.mark.parametrize("scheme", ["lsq", "qil"])
def test_random_weights_learn_once_norms_have_statistics(splits: tuple[Split, Split], scheme: str) -> None:
    """Steps and intervals that were fitted to random weights and BatchNorms with statistics train as the float network
    does, far above the tenth that is right by chance."""
    torch.manual_seed(0)
    net = DigitsNet()
    reestimate_norms(net, splits[0].images[:256])
    model = quantize(net, splits[0].images[:256], scheme=scheme, input_format=DIGITS_FORMAT,
                     input_exponent=DIGITS_EXPONENT)
    train(model, splits[0], Recipe(epochs=3, rate=0.05))
    assert accuracy(model, splits[1]) > 0.4


def loss(model: nn.Module, data: Split) -> float:
    with torch.no_grad():
        return float(functional.cross_entropy(model(data.images), data.labels))
