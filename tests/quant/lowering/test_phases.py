"""Networks that make maps larger: an op for each phase, and the same codes as with one op and copies."""

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from quant.convert import quantize
from quant.graph.graph import Graph, Input, Node
from quant.graph.interpret import run
from quant.graph.ops.linear import ConvTranspose
from quant.graph.ops.views import Spread
from quant.graph.passes.normalise import normalise
from quant.lowering.lower import Lowered, lower_with_report
from quant.reference import run_reference
from sim.functional.reference import simulate
from sim.ir.formats import Format

LARGER: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "blocks": (lambda: nn.ConvTranspose2d(4, 3, 2, 2), 4),
    "overlapping": (lambda: nn.ConvTranspose2d(4, 3, 4, 2, 1), 4),
    "output padding": (lambda: nn.ConvTranspose2d(4, 3, 3, 2, 1, output_padding=1), 4),
    "an odd size, in groups": (lambda: nn.ConvTranspose2d(4, 4, 3, 2, 1, groups=2), 4),
    "phases without taps": (lambda: nn.ConvTranspose2d(4, 3, 2, 3), 9),
    "dilated": (lambda: nn.ConvTranspose2d(4, 3, 3, 2, dilation=2), 4),
    "one axis, cut": (lambda: nn.ConvTranspose2d(4, 3, (2, 3), (2, 1), (1, 1)), 2),
    "stride 1": (lambda: nn.ConvTranspose2d(4, 3, 3, 1, 1), 1),
    "normed": (lambda: nn.Sequential(nn.ConvTranspose2d(4, 3, 2, 2, bias=False), norm(3)), 4),
    "repeated": (lambda: nn.Upsample(scale_factor=2), 4),
    "repeated along one axis": (lambda: nn.Upsample((5, 18)), 3),
    "shuffled": (lambda: nn.Sequential(nn.Conv2d(4, 8, 3, padding=1), nn.PixelShuffle(2)), 4),
    "shuffled copies": (lambda: nn.Sequential(nn.ReLU(), nn.MaxPool2d(2, 1), nn.PixelShuffle(2)), 4),
}


def norm(channels: int) -> nn.Module:
    layer = nn.BatchNorm2d(channels)
    with torch.no_grad():
        for values, low, high in ((layer.weight, 0.5, 1.5), (layer.bias, -1, 1), (layer.running_mean, -1, 1),
                                  (layer.running_var, 0.5, 2)):
            values.uniform_(low, high)
    return layer


def network(larger: nn.Module) -> nn.Module:
    """A layer that makes maps of 5 x 6 larger, between two convolutions."""
    first = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU())
    channels = larger(first(torch.zeros(1, 2, 5, 6))).shape[1]
    return nn.Sequential(first, larger, nn.ReLU(), nn.Conv2d(channels, 2, 3)).eval()


def lowered(model: fx.GraphModule, *, phases: bool = True) -> Lowered:
    return lower_with_report(model, torch.zeros(1, 2, 5, 6), phases=phases)


@pytest.mark.parametrize("name", LARGER)
def test_an_op_for_each_phase_computes_what_the_model_does(name: str) -> None:
    """Two engines agree, with one op and copies too; 8 bits are near the float network; no tap is wasted."""
    torch.manual_seed(len(name))
    make, count = LARGER[name]
    model, images = network(make()), torch.randn(8, 2, 5, 6)
    quantized = quantize(model, images, scheme="uniform", weight_bits=8, activation_bits=8,
                         input_format=Format(8, "signed"), input_exponent=-5)
    made, whole = lowered(quantized), lowered(quantized, phases=False)
    codes = made.prepare(np.clip(np.floor(images.numpy() * 32 + 0.5), -128, 127).astype(np.int64))
    inputs = {made.program.inputs[0].name: codes}
    found, copied, reference = (engine(one.program, inputs) for engine, one in (
        (simulate, made), (simulate, whole), (run_reference, made)))
    for tensor in found:
        np.testing.assert_array_equal(found[tensor], copied[tensor], tensor)
        np.testing.assert_array_equal(found[tensor], reference[tensor], tensor)
    with torch.no_grad():
        right = model(images).numpy()
    wrong = found[made.outputs[0]] * made.scales[made.outputs[0]] - right
    assert np.square(wrong).sum() < 1e-3 * np.square(right).sum()
    pieces = [conv for conv in made.program.convs if conv.lattice is not None]
    assert len(pieces) == (count if count > 1 else 0)
    assert {conv.name for conv in pieces if conv.weight_format.bits > 1} <= made.errors.keys()
    taps = sum(conv.kernel[0] * conv.kernel[1] for conv in pieces if conv.weight_format.bits > 1)
    if name in ("blocks", "overlapping", "output padding"):
        layer = next(part for part in model.modules() if isinstance(part, nn.ConvTranspose2d))
        assert taps == layer.kernel_size[0] * layer.kernel_size[1]


@pytest.mark.parametrize(("kernel", "stride", "dilation"), [*product((1, 2, 3, 4), (1, 2, 3), (1, 2, 3))])
def test_a_transposed_convolution_is_one_over_phases(kernel: int, stride: int, dilation: int) -> None:
    """The rewritten graph computes the same for all pads and output paddings."""
    torch.manual_seed(kernel)
    for pads, more in product((0, 1, 2), range(max(stride, dilation))):
        layer = nn.ConvTranspose2d(4, 6, kernel, stride, pads, min(more, max(stride, dilation) - 1), 2, True, dilation)
        x = torch.randn(2, 4, 5, 6, dtype=torch.float64)
        weight, bias = layer.weight.detach().double(), layer.bias.detach().double()
        right = functional.conv_transpose2d(x, weight, bias, stride, pads, layer.output_padding, 2, dilation)
        if min(right.shape) < 1:
            continue
        operator = ConvTranspose((stride, stride), (dilation, dilation), ((pads, pads),) * 2, layer.output_padding, 2)
        graph = Graph([Input("x", (4, 5, 6))], ["y"], [Node(operator, ("x", "l.weight", "l.bias"), "y", "")],
                      {"l.weight": weight, "l.bias": bias})
        normalise(graph)
        assert not any(isinstance(node.operator, ConvTranspose) for node in graph.nodes)
        assert sum(isinstance(node.operator, Spread) for node in graph.nodes) == int(stride > 1)
        torch.testing.assert_close(run(graph, {"x": x})["y"], right)


def test_what_a_network_ends_with_is_spread_by_the_host() -> None:
    """The chip would round it; so the host gets the finest codes, and puts them in their places."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 8, 1), nn.PixelShuffle(2)).eval()
    quantized = quantize(model, torch.randn(8, 2, 5, 6), scheme="uniform", weight_bits=8, activation_bits=8,
                         input_format=Format(8, "signed"), input_exponent=-5)
    made = lowered(quantized)
    assert (made.host, made.program.tensor(made.outputs[0]).shape) == (("spread",), (8, 5, 6))


def test_outputs_with_another_reader_are_copied() -> None:
    """A layer whose outputs are also read where they are stays one op."""

    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.small, self.large = (nn.Conv2d(*channels, 3, padding=1)
                                                  for channels in ((2, 4), (4, 2), (1, 2)))

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            y = self.first(x).relu()
            return self.small(y), self.large(functional.pixel_shuffle(y, 2))

    torch.manual_seed(0)
    quantized = quantize(Both().eval(), torch.randn(8, 2, 5, 6), scheme="uniform", weight_bits=8, activation_bits=8,
                         input_format=Format(8, "signed"), input_exponent=-5)
    names = [conv.name for conv in lowered(quantized).program.convs]
    assert names.count("first") == 1
    assert sum("/" in name for name in names) == 4
