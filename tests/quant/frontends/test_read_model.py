"""Networks that torch.fx cannot trace, or whose functions are no layers of the machine, run on it all the same."""

import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from quant.convert import quantize
from quant.emit.emit import emit
from quant.frontends.aten.exported import graph_of_module
from quant.frontends.read_model import read_model
from quant.layers.affine import Affine
from quant.lowering.lower import lower_with_report
from quant.trace.host import host_part
from quant.trace.inputs import Inputs
from quant.trace.outputs import first_tensor
from sim.errors import InputError
from sim.functional.reference import simulate
from sim.ir.formats import Format


class Answer(NamedTuple):
    """What some networks return."""

    logits: Tensor
    auxiliary: Tensor | None


class Shuffle(nn.Module):
    """A unit of ShuffleNet V2: half of the channels pass, the others are computed, then both are mixed."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU())
        self.branch = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.ReLU(),
                                    nn.Conv2d(4, 4, 3, 1, 1, groups=4), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1),
                                    nn.ReLU())
        self.fc = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.stem(x).chunk(2, dim=1)
        y = torch.cat((a, self.branch(b)), dim=1)
        n, c, h, w = y.size()
        y = y.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, c, h, w)
        return self.fc(y.mean([2, 3]))


class ShortcutA(nn.Module):
    """A residual block for CIFAR-10 whose shortcut has no weights, and the pool of that network."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.conv1 = nn.Conv2d(3, 4, 3, 1, 1, bias=False), nn.Conv2d(4, 8, 3, 2, 1, bias=False)
        self.bn, self.bn1, self.fc = nn.BatchNorm2d(4), nn.BatchNorm2d(8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.bn(self.stem(x)))
        out = self.bn1(self.conv1(x))
        out += functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2), "constant", 0)
        out = functional.relu(out)
        out = functional.avg_pool2d(out, out.size()[3])
        return self.fc(out.view(out.size(0), -1))


class Tokens(nn.Module):
    """Pixels as tokens: channels last, linear layers, layer scale, a mean over tokens, softmax."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.up, self.down = nn.Conv2d(3, 6, 2, 2), nn.Linear(6, 12), nn.Linear(12, 6)
        self.gamma, self.head = nn.Parameter(torch.full((6,), 0.5)), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.patch((x - 0.25) / 0.5)).flatten(2).transpose(1, 2)
        x = functional.relu(x + self.gamma * self.down(functional.relu(self.up(x))))
        return self.head(x.mean(1)).softmax(-1)


class Checked(nn.Module):
    """Asks for shapes, loops, and pools as SqueezeNet and YOLO do."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.last, self.pool = nn.Conv2d(3, 4, 3), nn.Conv2d(12, 2, 1), nn.MaxPool2d(3, 2, ceil_mode=True)

    def forward(self, x: Tensor) -> Tensor:
        assert x.shape[1] == 3
        x = self.pool(torch.clamp(self.conv(x), -0.5, 0.75))
        parts = [x]
        for _ in range(x.shape[-1] - 1):
            parts.append(functional.max_pool2d(parts[-1], 3, 1, 1))
        return self.last(torch.cat(parts, 1))


def keywords() -> nn.Module:
    """A network of one-dimensional convolutions."""
    return nn.Sequential(nn.Conv1d(6, 8, 5, 2, 2), nn.BatchNorm1d(8), nn.ReLU(), nn.Conv1d(8, 8, 3, padding="same"),
                         nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(8, 3), nn.LogSoftmax(1))


def autoencoder() -> nn.Module:
    """A network of rows."""
    return nn.Sequential(nn.Linear(32, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 32))


class Generator(nn.Module):
    """A row becomes a map."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.conv = nn.Linear(6, 32), nn.Conv2d(2, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(functional.relu(self.fc(x)).view(-1, 2, 4, 4))


class Ensemble(nn.Module):
    """The mean of several networks, stacked before the batch, whose backbone has no gradients; a unit vector."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.heads = nn.Conv2d(3, 8, 3), nn.ModuleList(nn.Linear(8, 3) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            x = functional.relu(self.stem(x)).amax((2, 3))
        return functional.normalize(torch.stack([head(x) for head in self.heads]).mean(0))


class Segmentation(nn.Module):
    """What follows the last layer with weights, and is no operator of the machine, is the host's."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        halves = torch.cat(functional.relu(self.stem(x)).chunk(2, 1)[::-1], 1)
        y = self.head(halves)
        return functional.interpolate(y, size=x.shape[2:], mode="bilinear").amax((2, 3)).squeeze(-1)


class Spelled(nn.Module):
    """Layers written out by hand, a weight norm, maps made smaller, and a named tuple of what may be missing."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3, padding=1))
        self.body, self.matrix = nn.Conv2d(4, 4, 3, padding=1), nn.Parameter(torch.randn(4, 3))

    def forward(self, x: Tensor) -> Answer:
        y = self.stem(x)
        y = torch.where(y > 0, y, torch.zeros_like(y))
        y = torch.lerp(y, self.body(y), 0.25)
        y = functional.adaptive_avg_pool2d(functional.interpolate(y * (y > 0), scale_factor=0.5), 3)
        return Answer(torch.einsum("bchw,co->bo", y, self.matrix), None)


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "shuffle": (Shuffle, (3, 8, 8)), "shortcut": (ShortcutA, (3, 8, 8)), "tokens": (Tokens, (3, 8, 8)),
    "checked": (Checked, (3, 9, 9)), "keywords": (keywords, (6, 20)), "autoencoder": (autoencoder, (32,)),
    "generator": (Generator, (6,)), "ensemble": (Ensemble, (3, 8, 8)), "segmentation": (Segmentation, (3, 8, 8)),
    "spelled": (Spelled, (3, 8, 8)),
}


def given(name: str) -> tuple[nn.Module, Tensor]:
    """Return a network in eval mode with statistics of its own, and images of 8 bits."""
    torch.manual_seed(0)
    make, shape = NETWORKS[name]
    model, images = make(), torch.randint(0, 256, (16, *shape)) * 2.0**-8
    model(images)
    return model.eval(), images


def quantized(model: nn.Module, images: Tensor, scheme: str) -> fx.GraphModule:
    return quantize(model, images, scheme=scheme, weight_bits=8, activation_bits=8, input_format=Format(8, "unsigned"),
                    input_exponent=-8)


@pytest.mark.parametrize("scheme", ["qil", "lsq", "uniform", "power_of_two"])
@pytest.mark.parametrize("name", NETWORKS)
def test_programs_compute_what_the_models_do(follow: Callable[..., int], name: str, scheme: str) -> None:
    """Each stored tensor has the codes of the quantized model, and what the host makes of it is near the model."""
    model, images = given(name)
    near = quantized(model, images, scheme)
    lowered = lower_with_report(near, images[:1])
    codes = (images[:4] * 256).numpy().astype(np.uint8).reshape(4, *lowered.program.inputs[0].shape)
    read = {lowered.program.inputs[0].name: codes}
    stored = read | simulate(lowered.program, read)
    assert follow(near, lowered, stored, images[:4]) > 2
    host = host_part(near) or (lambda returned: returned)
    with torch.no_grad():
        wanted, found = map(first_tensor, (model(images), host(near(images))))
    assert found.shape == wanted.shape
    assert float((found - wanted).square().mean()) < 0.02 * float(wanted.square().mean())


def test_parameters_keep_their_paths_and_can_be_trained() -> None:
    """What the user's layers are called, the quantized ones are; all parameters get gradients in training mode."""
    model, images = given("tokens")
    near = quantized(model, images, "lsq").train()
    names = {name for name, _ in near.named_parameters()}
    assert {f"{layer}.{part}" for layer in ("patch", "up", "down", "head") for part in ("weight", "bias")} <= names
    near(images).square().sum().backward()
    assert all(parameter.grad is not None for parameter in near.parameters() if parameter.requires_grad)


def test_functions_and_norms_may_have_layers_inside() -> None:
    """What lies below a function or a BatchNorm, as the names of some exporters want it, is no part of either."""
    class Nested(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm, self.act = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.SiLU()
            self.norm.add_module("inner", nn.Conv2d(4, 4, 1))
            self.act.add_module("inner", nn.Conv2d(4, 2, 1))

        def forward(self, x: Tensor) -> Tensor:
            return self.act.inner(self.act(self.norm.inner(self.norm(self.conv(x)))))

    torch.manual_seed(0)
    model, images = Nested().eval(), torch.randint(0, 256, (8, 3, 4, 4)) * 2.0**-8
    near = quantized(model, images, "uniform")
    with torch.no_grad():
        wanted, found = model(images), near(images)
    assert float((found - wanted).square().mean()) < 0.001 * float(wanted.square().mean())
    assert {"norm.inner.weight", "act.inner.weight"} <= {name for name, _ in near.named_parameters()}


def test_models_that_are_the_hosts_alone_are_refused_by_their_reason() -> None:
    """If only the host can compute what a file holds, that is why there is no Program."""
    graph = graph_of_module(nn.Sequential(nn.AvgPool2d(3, 2, 1, count_include_pad=False)), (torch.zeros(5, 3, 8, 8),))
    text = ("AveragePool at '0' divides by 4 to 9 numbers, fewer at the border; the machine divides by one number "
            "everywhere: count the padding (count_include_pad=True) and have no ceil_mode")
    with pytest.raises(InputError, match=f"^{re.escape(text)}$"):
        read_model(emit(graph), torch.zeros(2, 3, 8, 8))


def test_constants_are_the_same_in_training() -> None:
    """A layer of constants has no statistics that a batch could change."""
    class Normalising(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv((x - 0.25) / 0.5)

    images = torch.rand(4, 3, 6, 6)
    graph = read_model(Normalising(), images)
    (layer,) = (module for module in graph.modules() if isinstance(module, Affine))
    expected = layer.eval()(images)
    assert torch.equal(layer.train()(images), expected)
    assert torch.allclose(expected, (images - 0.25) / 0.5, atol=1e-6)
    assert float(layer.running_mean.abs().max()) == 0 == float((layer.running_var - 1).abs().max())


def test_inputs_keep_their_names() -> None:
    """Two inputs are called as the arguments of forward, whoever lists them."""
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, left: Tensor, right: Tensor) -> Tensor:
            return self.a(left[:, :4]) + self.b(right * 2)

    graph = read_model(Two(), Inputs([torch.rand(3, 6), torch.rand(3, 4)]))
    assert [str(node.target) for node in graph.graph.find_nodes(op="placeholder")] == ["left", "right"]
