"""Layers may be called like anything: like an argument, a function, a node of the graph, or another's quantizer."""

import pickle
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from quant.bits.sites import sites
from quant.convert import quantize
from quant.lowering.lower import lower_with_report
from quant.ptq.reconstruct import Reconstruction, reconstruct
from quant.quantizers.base import ActivationQuantizer
from quant.reference import run_reference
from quant.stages.stages import stages
from quant.trace.naming import name_of_quantizer, quantizer_of, quantizer_path
from sim.functional.engine.simulator import Simulator
from sim.functional.reference import simulate
from sim.ir.formats import Format

CODES = torch.randint(0, 256, (32, 3, 4, 4), generator=torch.Generator().manual_seed(0))
IMAGES = CODES * 2.0**-8

NAMES = ["image", "add", "add_1", "mean", "relu", "max_pool2d", "adaptive_avg_pool2d", "output", "first_quantizer",
         "first_quantizer_1", "image_quantizer", "add_quantizer", "last_quantizer", "_quantizer", "weight_quantizer",
         "1", "a b", "größe"]


class Called(nn.Module):
    """A network of functions beside layers, one of which has the name under test."""

    def __init__(self, name: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.name = name
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.add_module(name, nn.Conv2d(4, 4, 3, padding=1))
        self.keep, self.last = nn.AdaptiveAvgPool2d(4), nn.Linear(4, 3)

    def forward(self, image: Tensor) -> Tensor:
        x = self.keep(torch.relu(self.first(image)))
        y = functional.adaptive_avg_pool2d(torch.relu(torch.add(x, x)), 4)
        y = torch.relu(self._modules[self.name](y) + x)
        y += functional.max_pool2d(x, 3, 1, 1)
        y = functional.max_pool2d(y, 2)
        return self.last(functional.adaptive_avg_pool2d(y, 1).mean((2, 3)))


@pytest.mark.trains
@pytest.mark.parametrize("name", NAMES)
def test_names_are_of_no_consequence(name: str) -> None:
    """Quantized, reconstructed, pickled and lowered, a network has the codes that it has under a plain name."""
    assert codes_of(name) == codes_of("plain")


@cache
def codes_of(name: str) -> list[list[float]]:
    """Logits of the Program of `Called`, on which all engines agree."""
    model = Called(name).eval()
    quantized = quantize(model, IMAGES, scheme="power_of_two", weight_bits=4, activation_bits=4,
                         input_format=Format(8, "unsigned"), input_exponent=-8)
    reconstruct(quantized, model, IMAGES, Reconstruction(iterations=2, batch=4))
    names = [stage.name for stage in stages(quantized)]
    assert len(set(names)) == len(names)
    assert {"first", name, "last"} <= set(names)
    lowered = lower_with_report(pickle.loads(pickle.dumps(quantized)), IMAGES[:1])
    program = lowered.program
    given = {program.inputs[0].name: CODES.numpy()}
    found = simulate(program, given)
    fast, reference = Simulator(program).run(given), run_reference(program, given)
    assert all(np.array_equal(codes, found[tensor]) for tensor, codes in (*fast.items(), *reference.items()))
    assert [site.layer for site in sites(quantized, program) if site.module is not None] == ["first", name, "last"]
    assert {site.activation for site in sites(quantized, program)} <= set(quantized.modules())
    with torch.no_grad():
        fake = quantized(IMAGES)
    logits = found["last"].reshape(fake.shape) * lowered.scales["last"]
    assert np.array_equal(logits, fake.double().numpy())
    return [[float(value) for value in row] for row in logits]


def test_a_quantizer_is_found_where_it_was_put() -> None:
    """Beside a layer, a parameter or a list that has its place; names that end like one are told apart."""
    model = nn.Module()
    model.add_module("a", nn.ReLU())
    assert quantizer_path(model, "a") == "a_quantizer"
    assert quantizer_of(model, "a") is None
    model.add_module("a_quantizer", nn.ReLU())
    model.register_parameter("a_quantizer_1", nn.Parameter(torch.zeros(1)))
    assert quantizer_path(model, "a") == "a_quantizer_2"
    quantizer = quantize(nn.Sequential(nn.Conv2d(3, 2, 1)), IMAGES, scheme="lsq", input_format=Format(8, "unsigned"),
                         input_exponent=-8).get_submodule("input_1_quantizer")
    assert isinstance(quantizer, ActivationQuantizer)
    model.add_module("a_quantizer_2", quantizer)
    assert quantizer_of(model, "a") is quantizer
    names = {"a_quantizer_2": "a", "a_quantizer_quantizer": "a_quantizer", "b.a_1_quantizer": "b.a_1", "a": None,
             "a_quantizers": None, "_quantizer": None}
    assert {path: name_of_quantizer(path) for path in names} == names
