"""Functions and products of tensors: the Program computes what the quantized model does."""

import re
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from bitwright import load_model
from bitwright.interop.onnx_model import onnx_model
from bitwright.interop.onnx_run import missing_runtime, run_onnx
from quant.analysis.layers import layer_qualities
from quant.bits.with_bits import with_bits
from quant.convert import quantize
from quant.layers.function import QuantFunction
from quant.lowering.lower import Lowered, lower, lower_with_report
from quant.lowering.strict import check_powers_of_two
from quant.ptq.reconstruct import Reconstruction, reconstruct
from quant.quantizers.tied import TiedActivation
from quant.reference import run_reference
from sim.errors import InputError
from sim.functional.reference import simulate
from sim.ir.arithmetic import Arithmetic
from sim.ir.formats import Format

Change = Callable[[Tensor], Tensor]

CODES = torch.randint(-128, 128, (32, 3, 8, 8), generator=torch.Generator().manual_seed(1))
IMAGES = CODES / 32


class Between(nn.Module):
    """A layer, something else, and a layer."""

    def __init__(self, change: Change, *layers: nn.Module) -> None:
        super().__init__()
        self.first, self.change, self.layers = nn.Conv2d(3, 4, 3, padding=1), change, nn.ModuleList(layers)
        self.pool, self.last = nn.AdaptiveAvgPool2d(2), nn.Conv2d(4, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.pool(self.change(self.first(x))))


class Squeeze(nn.Module):
    """Squeeze-and-excite after and before other functions, its gate of a hard or a smooth sigmoid."""

    def __init__(self, gate: nn.Module, act: nn.Module) -> None:
        super().__init__()
        self.stem, self.norm, self.act = nn.Conv2d(3, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), act
        self.pool, self.down, self.up, self.gate = nn.AdaptiveAvgPool2d(1), nn.Conv2d(6, 2, 1), nn.Conv2d(2, 6, 1), gate
        self.project, self.last = nn.Conv2d(6, 6, 1), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.norm(self.stem(x)))
        gated = x * self.gate(self.up(self.act(self.down(self.pool(x)))))
        return self.last(self.pool(x + self.project(gated)).flatten(1))


class Parts(nn.Module):
    """Branches with functions of their own beside each other, as in YOLO, one of them read elsewhere too."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 2, 3, padding=1), nn.Conv2d(2, 3, 1)
        self.last = nn.Conv2d(9, 4, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        a, b = functional.silu(self.a(x)), functional.silu(self.b(x))
        joined = torch.cat((a, b, torch.tanh(self.c(b))), 1)
        return self.last(joined), functional.hardswish(self.b(x))


def seeded(network: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    model = network()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.5, 0.5)  # type: ignore[union-attr, operator]
            module.running_var.uniform_(0.25, 2.0)  # type: ignore[union-attr, operator]
        if isinstance(module, nn.PReLU):
            module.weight.detach().uniform_(-0.2, 0.6)
    return model.eval()


def quantized(model: nn.Module, scheme: str, bits: int = 8) -> nn.Module:
    return quantize(model, IMAGES, scheme=scheme, weight_bits=bits, activation_bits=bits,
                    input_format=Format(8, "signed"), input_exponent=-5)


def run(lowered: Lowered) -> dict[str, np.ndarray]:
    """The Program's codes, the same in two engines."""
    (source,) = lowered.program.inputs
    found = run_reference(lowered.program, {source.name: CODES.numpy()})
    other = simulate(lowered.program, {source.name: CODES.numpy()})
    assert all(np.array_equal(found[name], other[name]) for name in found)
    return found


def check(model: nn.Module, *, exact: bool, share: float = 0.002) -> Lowered:
    """The Program's outputs are the model's, on every image: to the last bit if `exact`, else but for some noise."""
    lowered = lower_with_report(model, IMAGES[:1])
    found = run(lowered)
    with torch.no_grad():
        wanted = model(IMAGES)
    for name, value in zip(lowered.outputs, (wanted,) if isinstance(wanted, Tensor) else wanted, strict=True):
        zero = lowered.program.tensor(name).format.zero_point
        given = torch.from_numpy((found[name].astype(np.float64) - zero) * lowered.scales[name]).reshape(value.shape)
        if exact:
            assert torch.equal(given, value.double()), name
        else:
            assert float((given - value).square().mean()) < share * float(value.var()), name
    return lowered


def prelu() -> nn.Module:
    layer = nn.PReLU(4)
    return Between(layer, layer)


def gated(x: Tensor) -> Tensor:
    """A tensor times a number of 0..1 for each channel."""
    return x * torch.sigmoid(x.mean((2, 3), keepdim=True))


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "hardswish and hardsigmoid": lambda: Squeeze(nn.Hardsigmoid(), nn.Hardswish()),
    "silu and sigmoid": lambda: Squeeze(nn.Sigmoid(), nn.SiLU()),
    "parts": Parts,
    "prelu": prelu,
    "halves": lambda: Between(lambda y: functional.glu(torch.cat((y, -y), 1), 1)),
    "one channel for all": lambda: Between(lambda y: y * torch.sigmoid(y.mean(1, keepdim=True))),
    "sum with means": lambda: Between(lambda y: y - y.mean((2, 3), keepdim=True)),
    "quotient": lambda: Between(lambda y: y / (1 + y.mean((2, 3), keepdim=True).exp())),
    "larger of two": lambda: Between(lambda y: torch.maximum(y, y.mean((2, 3), keepdim=True))),
    "function of a product": lambda: Between(lambda y: torch.tanh(y * torch.sigmoid(y.mean(1, keepdim=True)))),
    "own square beside it": lambda: Between(lambda y: y + y * y),
    "gated parts": lambda: Between(lambda y: gated(torch.cat((y.relu()[:, :1], y[:, 1:]), 1))),
    "product as a part": lambda: Between(lambda y: torch.cat((gated(y), y * y), 1)[:, 2:6]),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_strict_networks_compute_what_their_model_does(name: str) -> None:
    """To the last bit, on every image, with one shift for each multiplication."""
    check_powers_of_two(check(quantized(seeded(NETWORKS[name]), "power_of_two"), exact=True))


@pytest.mark.parametrize("scheme", ["qil", "lsq", "uniform"])
@pytest.mark.parametrize("name", ["hardswish and hardsigmoid", "silu and sigmoid", "function of a product",
                                  "gated parts", "product as a part"])
def test_real_steps_are_followed(name: str, scheme: str) -> None:
    """The step of a product is that of its operands times a power of two, and digits lose next to nothing."""
    model = quantized(seeded(NETWORKS[name]), scheme)
    assert any(isinstance(module, TiedActivation) for module in model.modules())
    lowered = check(model, exact=False)
    gates = [conv for conv in lowered.program.convs if conv.gate is not None]
    assert {conv.residual_broadcast for conv in gates} <= {"map", "channel"}
    assert all(conv.terms + conv.residual_terms <= 4 for conv in gates)


FUNCTIONS: dict[str, Change] = {
    "silu": functional.silu, "gelu": functional.gelu, "tanh gelu": partial(functional.gelu, approximate="tanh"),
    "mish": functional.mish, "elu": partial(functional.elu, alpha=0.5), "leaky relu": functional.leaky_relu,
    "softplus": functional.softplus, "exp": torch.exp, "tanh": torch.tanh, "sigmoid": torch.sigmoid, "abs": torch.abs,
    "hardswish": functional.hardswish, "rsqrt": lambda y: torch.rsqrt(y * y + 1), "square": torch.square,
    "reciprocal": lambda y: 1 / (1 + torch.relu(y)), "quick gelu": lambda y: y * torch.sigmoid(1.702 * y),
    "written out": lambda y: y * functional.relu6(y + 3) / 6, "selu": functional.selu,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_is_one_table_of_the_layer_before_it(name: str) -> None:
    """It costs no op, and is as near to the function as 8 bits allow; the report says how near."""
    network = seeded(lambda: Between(FUNCTIONS[name]))
    model = quantized(network, "power_of_two")
    lowered = check(model, exact=True)
    assert [conv.name for conv in lowered.program.convs if conv.table is not None] == ["first"]
    assert [conv.name for conv in lowered.program.convs] == ["first", "pool", "last"]
    assert 0.5 <= lowered.table_errors["first"] < 6
    with torch.no_grad():
        exact, found = network(IMAGES), model(IMAGES)
    assert float((exact - found).square().mean()) < 0.01 * float(exact.var())


def test_layers_are_compared_and_tables_reported() -> None:
    """Every stage has its counterpart in the float network, a function at the end too, which needs no copy."""
    network = seeded(Parts)
    model = quantized(network, "power_of_two")
    lowered = lower_with_report(model, IMAGES[:1])
    found = {layer.name: layer for layer in layer_qualities(model, network, IMAGES, lowered)}  # type: ignore[arg-type]
    assert {name: layer.table_error_codes for name, layer in found.items() if layer.table_error_codes is not None} == (
        lowered.table_errors)
    assert lowered.outputs == ("last", "b_1")
    assert lowered.program.tensor("b_1").format.bits == 8


def test_a_model_in_onnx_comes_the_whole_way(tmp_path: Path) -> None:
    """Its own operators become tables, gates and copies, which ONNX Runtime computes as the simulator does."""
    make, numbers = onnx.helper.make_node, np.random.default_rng(0)
    shapes = {"a": (6, 3, 3, 3), "b": (2, 6, 1, 1), "c": (6, 2, 1, 1), "slope": (6, 1, 1), "d": (4, 6, 1, 1)}
    nodes = [make("Conv", ["x", "a"], ["stem"], pads=[1, 1, 1, 1]), make("HardSwish", ["stem"], ["act"]),
             make("GlobalAveragePool", ["act"], ["mean"]), make("Conv", ["mean", "b"], ["down"]),
             make("Elu", ["down"], ["elu"]), make("Conv", ["elu", "c"], ["up"]), make("Sigmoid", ["up"], ["gate"]),
             make("Mul", ["act", "gate"], ["gated"]), make("PRelu", ["gated", "slope"], ["sloped"]),
             make("Conv", ["sloped", "d"], ["y"])]
    value = partial(onnx.helper.make_tensor_value_info, elem_type=onnx.TensorProto.FLOAT)
    graph = onnx.helper.make_graph(
        nodes, "g", [value("x", shape=["n", 3, 8, 8])], [value("y", shape=["n", 4, 8, 8])],
        [onnx.numpy_helper.from_array((0.4 * numbers.normal(size=shape)).astype(np.float32), name)
         for name, shape in shapes.items()])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8),
              tmp_path / "m.onnx")
    model = quantized(load_model(tmp_path / "m.onnx", (3, 8, 8)), "power_of_two")
    lowered = check(model, exact=True)
    assert [conv.name for conv in lowered.program.convs if conv.table is not None] == ["stem", "down", "up"]
    (gate,) = (conv for conv in lowered.program.convs if conv.gate is not None)
    assert gate.residual_broadcast == "map"
    if missing_runtime() is None:
        (source,), (output,) = lowered.program.inputs, lowered.outputs
        found = run_onnx(onnx_model(lowered.program), {source.name: CODES.numpy()})
        assert np.array_equal(found[output], run(lowered)[output])


def test_a_function_of_a_stored_tensor_loses_nothing() -> None:
    """A copy that looks up the very codes that are stored is the function of these to half a code."""
    model = quantized(seeded(lambda: Between(lambda y: torch.sigmoid(y) + y)), "power_of_two")
    lowered = check(model, exact=True)
    (name,) = lowered.table_errors
    (conv,) = (conv for conv in lowered.program.convs if conv.name == name)
    source = lowered.program.tensor(conv.input)
    assert conv.weight_format.kind == "unit"
    assert conv.table is not None
    assert lowered.scales[source.name] == float(model.get_submodule("sigmoid").index_quantizer.scale)  # type: ignore
    assert (conv.multiplier == 1).all()


def test_zero_points_of_factors_are_short() -> None:
    """So that few digits, which take a cycle each, multiply by them."""
    model = quantized(seeded(NETWORKS["silu and sigmoid"]), "power_of_two")
    (gate,) = (conv for conv in lower(model, IMAGES[:1], Arithmetic(terms=2)).convs if conv.gate is not None)
    assert gate.residual_terms in (1, 2)


def test_a_product_whose_steps_do_not_fit_is_refused() -> None:
    """The machine has no multiplier for it."""
    model = quantized(seeded(NETWORKS["silu and sigmoid"]), "uniform")
    (tied,) = (module for module in model.modules() if isinstance(module, TiedActivation))
    tied.tie((), ())
    text = ("'mul' does not fit the requantizer [codes of its output]: the step of a product must be that of its "
            "operands, multiplied, times a power of two, not times ")
    with pytest.raises(InputError, match=f"^{re.escape(text)}[0-9.e-]+$"):
        lower(model, IMAGES[:1])


@pytest.mark.parametrize(("name", "operand"), [("silu and sigmoid", "stem"), ("gated parts", "cat")])
def test_a_product_of_a_tensor_of_one_signed_bit_is_refused_when_it_is_quantized(name: str, operand: str) -> None:
    """No code of it means 0, and training would be in vain."""
    text = (f"'mul' multiplies '{operand}', a tensor of 1 signed bit, which has no code for 0; it needs 2 bits or more")
    with pytest.raises(InputError, match=f"^{re.escape(text)}$"):
        quantized(seeded(NETWORKS[name]), "lsq", 1)


def test_functions_learn_through_their_slopes() -> None:
    """The gradient of what is looked up is the slope at the index's code; outside the index there is none."""
    model = quantized(seeded(NETWORKS["silu and sigmoid"]), "lsq")
    function = model.get_submodule("act")
    assert isinstance(function, QuantFunction)
    x = torch.linspace(-1, 1, 50).requires_grad_()
    y = x.detach().requires_grad_()
    function(x).sum().backward()
    functional.silu(function.index_quantizer(y)).sum().backward()
    torch.testing.assert_close(x.grad, y.grad)
    far = torch.tensor([-1e4, 1e4]).requires_grad_()
    function(far).sum().backward()
    assert far.grad is not None
    assert far.grad.tolist() == [0.0, 0.0]
    model.train()
    loss = model(IMAGES).square().mean()
    loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.trains
@pytest.mark.parametrize("scheme", ["power_of_two", "uniform"])
def test_reconstruction_and_other_bits_keep_functions_and_products(scheme: str) -> None:
    """Both end in a model whose Program is what it is: the steps of a product follow the new ones."""
    network = seeded(NETWORKS["hardswish and hardsigmoid"])
    model = quantized(network, scheme)
    reconstruct(model, network, IMAGES, Reconstruction(iterations=4))  # type: ignore[arg-type]
    check(model, exact=scheme == "power_of_two")
    bits = {conv.name: (6, 8 if conv.name == "stem" else 5) for conv in lower(model, IMAGES[:1]).convs}
    narrow = with_bits(deepcopy(model), bits, IMAGES)  # type: ignore[arg-type]
    check(narrow, exact=scheme == "power_of_two", share=0.02)
