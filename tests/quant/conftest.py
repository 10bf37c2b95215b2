"""One trained network and its two quantized versions, the same on every machine; a judge of lowering."""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, fx, nn

from quant.convert import quantize
from quant.data.digits import DIGITS_EXPONENT, DIGITS_FORMAT, digits
from quant.data.split import Split
from quant.layers.quantized import QuantConv2d, QuantLinear
from quant.lowering.lower import Lowered, lower
from quant.networks import DigitsNet
from quant.ptq.reconstruct import Reconstruction, reconstruct
from quant.quantizers.base import ActivationQuantizer, along_channels
from quant.stages.stages import stages
from quant.trace.tracer import trace
from quant.training.checkpoint import load_weights
from sim.arch.machine import Machine, load_machine
from sim.cost.table import CostTable, cost_table
from sim.energy.technology import load_technology
from sim.ir.program import Program

WEIGHTS = Path(__file__).parent / "weights"
"""Of networks that `train.py` there has trained."""

Quantize = Callable[[nn.Module, Tensor, str, int], fx.GraphModule]


def _as_digits(model: nn.Module, data: Tensor, scheme: str, bits: int) -> fx.GraphModule:
    return quantize(model, data, scheme=scheme, weight_bits=bits, activation_bits=bits, input_format=DIGITS_FORMAT,
                    input_exponent=DIGITS_EXPONENT)


@pytest.fixture(scope="session")
def as_digits() -> Quantize:
    """`quantize` for inputs in the format of the digits."""
    return _as_digits


@pytest.fixture(scope="session")
def splits() -> tuple[Split, Split]:
    return digits()


@pytest.fixture(scope="session")
def trained() -> nn.Module:
    model = DigitsNet().eval()
    load_weights(model, WEIGHTS / "float.safetensors")
    return model


@pytest.fixture
def float_net(trained: nn.Module) -> nn.Module:
    return deepcopy(trained)


@pytest.fixture(scope="session")
def trained_qil(trained: nn.Module, splits: tuple[Split, Split]) -> fx.GraphModule:
    model = _as_digits(trained, splits[0].images[:64], "qil", 4)
    load_weights(model, WEIGHTS / "qil.safetensors")
    return model


@pytest.fixture(scope="session")
def reconstructed(trained: nn.Module, splits: tuple[Split, Split]) -> fx.GraphModule:
    model = _as_digits(trained, splits[0].images, "power_of_two", 4)
    reconstruct(model, trained, splits[0].first(64).images, Reconstruction(iterations=20))
    return model


@pytest.fixture(scope="session")
def eight_bits(trained: nn.Module, splits: tuple[Split, Split]) -> fx.GraphModule:
    """The network at 8 bits, not to be changed."""
    return _as_digits(trained, splits[0].images[:256], "qil", 8)


@pytest.fixture
def wide(eight_bits: fx.GraphModule) -> fx.GraphModule:
    """The network at 8 bits, from which QBitOpt starts."""
    return deepcopy(eight_bits)


@pytest.fixture(scope="session")
def machine() -> Machine:
    return load_machine("tiny")


@pytest.fixture(scope="session")
def lowered_digits(eight_bits: fx.GraphModule, splits: tuple[Split, Split], machine: Machine) -> Program:
    """`wide` for that machine."""
    return lower(eight_bits, splits[0].images[:1], machine.arithmetic)


@pytest.fixture(scope="session")
def table(lowered_digits: Program, machine: Machine) -> CostTable:
    return cost_table(lowered_digits, machine, load_technology("generic45"))


def exact(model: nn.Module) -> nn.Module:
    """`model` in double precision with the weights it has in single: a code may differ where rounding is a tie."""
    double = deepcopy(model).double()
    for name, layer in model.named_modules():
        if isinstance(layer, QuantConv2d | QuantLinear):
            quantizer, other = layer.weight_quantizer, double.get_submodule(name)
            step = along_channels(quantizer.scale.detach().double(), layer.weight)
            other.weight = nn.Parameter(quantizer.codes(layer.weight) * step)
            other.weight_quantizer = nn.Identity()
    return double


class Following(fx.Interpreter):
    """Runs a quantized model with the Program's codes in place of its own, comparing at every stored tensor.

    So each layer is judged on its own: its integers against the real map of the same operands.
    """

    def __init__(self, model: nn.Module, lowered: Lowered, codes: dict[str, np.ndarray]) -> None:
        graph = trace(exact(model))
        super().__init__(graph)
        self.model = model
        self.stages = {stage.end: stage for stage in stages(graph)}
        self.lowered, self.codes, self.compared = lowered, codes, 0

    def run_node(self, n: fx.Node) -> object:
        value = super().run_node(n)
        stage = self.stages.get(n)
        if stage is None or stage.keeps_codes or stage.is_part:
            return value
        codes = torch.from_numpy(self.codes[stage.name].astype(np.float64))
        fmt, scale = self.lowered.program.tensor(stage.name).format, self.lowered.scales[stage.name]
        if stage.quantizer is None:
            assert isinstance(value, Tensor)
            wanted = value / scale
        else:
            quantizer, x = self.model.get_submodule(stage.quantizer), self.map_nodes_to_values(n.args, n)[0]
            assert isinstance(quantizer, ActivationQuantizer)
            wanted = quantizer.gain.double() * x + quantizer.bias.double()
            if stage.kind == "input" and self.lowered.padding is not None:
                return value  # the host has padded it
        wanted = wanted.clamp(fmt.low, fmt.high).reshape(codes.shape)
        error = self.lowered.errors[stage.name].error if stage.name in self.lowered.errors else 0.0
        assert float((codes - wanted).abs().max()) <= 0.5 + 2.25 * error + 1e-6, stage.name
        self.compared += 1
        zeros = torch.tensor(fmt.zero_point) if stage.quantizer is None else quantizer.zero_points
        values = (codes - zeros.reshape(-1, 1, 1)) * scale
        return values.reshape(value.shape) if isinstance(value, Tensor) else value


Follow = Callable[[nn.Module, Lowered, dict[str, np.ndarray], Tensor], int]


@pytest.fixture(scope="session")
def follow() -> Follow:
    """Compares a model with its Program layer by layer; gives how many tensors were compared."""
    def run(model: nn.Module, lowered: Lowered, codes: dict[str, np.ndarray], images: Tensor) -> int:
        following = Following(model, lowered, codes)
        with torch.no_grad():
            following.run(images.double())
        return following.compared
    return run
