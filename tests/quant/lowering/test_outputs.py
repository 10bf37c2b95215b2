"""Networks with several outputs, and with operators at the end that the host computes."""

from copy import deepcopy

import pytest
import torch
from torch import Tensor, fx, nn

from quant.analysis.layers import layer_qualities
from quant.bits.sensitivities import Measurement
from quant.convert import quantize
from quant.lowering.lower import Lowered, lower_with_report
from quant.lowering.strict import check_powers_of_two
from quant.ptq.network import move_exponents
from quant.reference import run_reference
from quant.trace.host import host_part
from quant.trace.outputs import tensors_of
from sim.errors import InputError
from sim.ir.formats import Format

CODES = torch.randint(-128, 128, (32, 3, 8, 7), generator=torch.Generator().manual_seed(1))
IMAGES = CODES / 32


class Heads(nn.Module):
    """A dict with a list: layers, a value that others read, one that is returned twice, and a max pool."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.pool, self.max = nn.Conv2d(3, 4, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.MaxPool2d(2)
        self.a, self.b, self.last = nn.Conv2d(4, 5, 1), nn.Conv2d(4, 2, 3), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> dict[str, Tensor | list[Tensor]]:
        x = torch.relu(self.stem(x))
        b = self.b(x)
        logits = self.last(self.pool(x).flatten(1))
        return {"logits": logits, "maps": [self.a(x), b, b, torch.relu(b)], "features": x, "pooled": self.max(x)}


class Detector(nn.Module):
    """Scores, their order of axes, classes and their best one, and sizes: all of them computed by the host."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.last = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 3)
        self.scores, self.sizes = nn.Conv2d(4, 5, 1), nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        x = torch.relu(self.stem(x))
        logits = self.last(x.mean((2, 3)))
        values, _ = torch.softmax(logits, 1).max(1)
        return torch.sigmoid(self.scores(x)).permute(0, 2, 3, 1), values, logits.argmax(1), self.sizes(x).exp()


class Means(nn.Module):
    """A map whose gain is no power of two, and its average over 56 numbers, each an output of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        x = torch.relu(self.stem(x)) * 0.3 + 0.1
        return x, x.flatten(1), x.mean((2, 3))


def strict(network: nn.Module) -> tuple[fx.GraphModule, Lowered]:
    """The network with steps of powers of two, and its Program."""
    model = quantize(network.eval(), IMAGES, scheme="power_of_two", input_format=Format(8, "signed"), input_exponent=-5)
    lowered = lower_with_report(model, IMAGES[:1])
    check_powers_of_two(lowered)
    return model, lowered


@pytest.mark.parametrize(("network", "outputs"), [
    (Heads, ("last", "a", "output.2", "output.3", "relu_1", "output.5", "output.6")),
    (Detector, ("last", "scores", "sizes"))])
def test_outputs_are_what_the_model_returns(network: type[nn.Module], outputs: tuple[str, ...]) -> None:
    """Each output is a tensor of the Program by itself, in the model's order, and equals the strict model's exactly."""
    torch.manual_seed(0)
    model, lowered = strict(network())
    assert lowered.outputs == outputs
    assert {tensor.name for tensor in lowered.program.outputs} == {*outputs}
    found = run_reference(lowered.program, {"x": CODES[:4].numpy()})
    with torch.no_grad():
        wanted = tensors_of(deepcopy(model).double()(IMAGES[:4].double()))
    for name, value in zip(outputs, wanted, strict=True):
        codes = torch.from_numpy(found[name]).double() - lowered.program.tensor(name).format.zero_point
        assert torch.equal(codes.reshape(value.shape) * lowered.scales[name], value)


def test_each_output_has_its_factor() -> None:
    """Where a strict network leaves a shift of an average or of a gain, the scale of that output holds the rest."""
    torch.manual_seed(0)
    model, lowered = strict(Means())
    found = run_reference(lowered.program, {"x": CODES[:4].numpy()})
    with torch.no_grad():
        wanted = tensors_of(deepcopy(model).double()(IMAGES[:4].double()))
    assert len(wanted) == len(lowered.outputs) == 3
    for name, value in zip(lowered.outputs, wanted, strict=True):
        codes = torch.from_numpy(found[name]).double() - lowered.program.tensor(name).format.zero_point
        torch.testing.assert_close(codes.reshape(value.shape) * lowered.scales[name], value, rtol=1e-12, atol=1e-12)


def test_the_host_computes_the_end() -> None:
    """What was cut off is named, and makes of the graph's outputs what the float network returns of its own."""
    torch.manual_seed(0)
    network = Detector().eval()
    model, lowered = strict(network)
    assert lowered.host == ("softmax", "max", "sigmoid", "argmax", "exp")
    part = host_part(model)
    assert part is not None
    with torch.no_grad():
        logits = network.last(torch.relu(network.stem(IMAGES)).mean((2, 3)))
        inner = torch.relu(network.stem(IMAGES))
        returned = part((logits, network.scores(inner), network.sizes(inner)))
        for found, wanted in zip(returned, network(IMAGES), strict=True):
            assert torch.equal(found, wanted)


def test_a_softmax_alone_leaves_one_tensor() -> None:
    """The quantized graph of a classifier that ends in a softmax returns its logits."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3),
                            nn.Softmax(1))
    model, lowered = strict(network)
    assert (lowered.outputs, lowered.host) == (("4",), ("softmax",))
    logits = model(IMAGES)
    assert isinstance(logits, Tensor)
    assert not torch.allclose(logits.sum(1), torch.ones(32))


@pytest.mark.parametrize("network", [Heads, Detector])
def test_everything_else_takes_several_outputs(network: type[nn.Module]) -> None:
    """Exponents move, losses are measured and layers compared by all outputs together."""
    torch.manual_seed(0)
    float_net = network().eval()
    model, lowered = strict(float_net)
    assert all(move.after < move.before for move in move_exponents(model, float_net, IMAGES, trials=2))
    weights, _ = Measurement(model, IMAGES[:4], bits=(2, 8)).run()
    assert all(narrow > wide for narrow, wide in weights.values())
    layers = {layer.name: layer for layer in layer_qualities(model, float_net, IMAGES[:4], lowered)}
    assert {name for name, layer in layers.items() if layer.fit_error_output is not None} == {
        tensor.name for tensor in lowered.program.outputs}


class Inside(nn.Module):
    """A softmax whose value the machine would need."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.last = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.softmax(self.conv(x), 1))


class Numbers(nn.Module):
    """A tensor and a number."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, int]:
        return self.conv(x), 3


class Optional(nn.Module):
    """A mapping in which an output is missing."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor | None]:
        return {"auxiliary": None, "map": self.conv(x)}


def test_what_is_missing_is_no_output() -> None:
    """None stays in the quantized model's answer, and the Program has the other outputs."""
    quantized, lowered = strict(Optional())
    assert quantized(IMAGES)["auxiliary"] is None
    assert [tensor.shape for tensor in lowered.program.outputs] == [(4, 8, 7)]


@pytest.mark.parametrize(("network", "reason"), [
    (Inside(), r"Softmax at the top of the model \(node 'softmax'\) is computed by the host, and so only at the end"),
    (Numbers(), "the model must return tensors, not int")], ids=["softmax", "number"])
def test_what_the_host_cannot_take(network: nn.Module, reason: str) -> None:
    """Operators in the middle stay unsupported, and only tensors are returned."""
    with pytest.raises(InputError, match=f"^{reason}$"):
        strict(network)
