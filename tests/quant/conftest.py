"""One trained network and its two quantized versions, made once for all tests of this folder."""

from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from quant.convert import Scheme, quantize
from quant.data import DIGITS_EXPONENT, DIGITS_FORMAT, Split, digits
from quant.networks import DigitsNet
from quant.reconstruct import reconstruct
from quant.training import Recipe, reestimate_norms, train
from sim.formats import Format

torch.set_num_threads(1)


def as_digits(model: nn.Module, data: Tensor, scheme: Scheme, bits: int = 4) -> nn.Module:
    """`model` quantized for inputs in the format of the digits."""
    return quantize(model, data, scheme=scheme, weight_bits=bits, activation_bits=bits, input_format=DIGITS_FORMAT,
                    input_exponent=DIGITS_EXPONENT)


def as_signed(model: nn.Module, data: Tensor, scheme: Scheme, bits: int = 4) -> nn.Module:
    """`model` quantized for inputs of 8 signed bits with 1/32 to a code."""
    return quantize(model, data, scheme=scheme, weight_bits=bits, activation_bits=bits,
                    input_format=Format(8, "signed"), input_exponent=-5)


@pytest.fixture(scope="session")
def splits() -> tuple[Split, Split]:
    return digits()


@pytest.fixture(scope="session")
def trained(splits: tuple[Split, Split]) -> nn.Module:
    torch.manual_seed(0)
    model = DigitsNet()
    train(model, splits[0], Recipe(epochs=12))
    return model


@pytest.fixture
def float_net(trained: nn.Module) -> nn.Module:
    return deepcopy(trained)


@pytest.fixture(scope="session")
def trained_qil(trained: nn.Module, splits: tuple[Split, Split]) -> nn.Module:
    model = as_digits(trained, splits[0].images, "qil")
    train(model, splits[0], Recipe(epochs=8, rate=0.03))
    reestimate_norms(model, splits[0].images)
    return model


@pytest.fixture(scope="session")
def reconstructed(trained: nn.Module, splits: tuple[Split, Split]) -> nn.Module:
    model = as_digits(trained, splits[0].images, "power_of_two")
    reconstruct(model, trained, splits[0].images, iterations=200)
    return model
