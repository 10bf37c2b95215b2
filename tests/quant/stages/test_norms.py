"""BatchNorms that follow each other."""

import pytest
import torch
from torch import Tensor, nn

from quant.analysis.layers import layer_qualities
from quant.convert import quantize
from quant.frontends.read_model import read_model
from quant.ptq.reconstruct import Reconstruction, reconstruct
from quant.stages.stages import NORMS
from sim.ir.formats import Format

IMAGES = torch.randint(0, 16, (32, 2, 6, 6), generator=torch.Generator().manual_seed(0)) / 16


def norm(affine: bool = True) -> nn.BatchNorm2d:
    made = nn.BatchNorm2d(4, affine=affine)
    made.running_mean, made.running_var = torch.randn(4), torch.rand(4) + 0.1
    if affine:
        made.weight.data.uniform_(0.5, 2)
        made.bias.data.normal_()
    return made


class Scaled(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * x + 1


class Read(nn.Module):
    """What the first of two BatchNorms puts out is added too."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.one, self.two = nn.Conv2d(2, 4, 1), norm(), norm()

    def forward(self, x: Tensor) -> Tensor:
        x = self.one(self.conv(x))
        return torch.relu(x) + self.two(x)


@pytest.mark.parametrize(("others", "left"), [((norm(),), 1), ((norm(affine=False), Scaled(), norm()), 0)])
def test_norms_that_follow_each_other_are_one(others: tuple[nn.Module, ...], left: int) -> None:
    """The network computes the same, and so does one whose first BatchNorm has other readers, in which both stay.

    What is exported has no norms after layers at all.
    """
    torch.manual_seed(0)
    for net, count in ((nn.Sequential(nn.Conv2d(2, 4, 3), norm(affine=False), *others, nn.ReLU()), left), (Read(), 2)):
        graph = read_model(net.eval().double(), IMAGES.double())
        assert sum(isinstance(module, NORMS) for module in graph.modules()) == count
        assert torch.allclose(graph(IMAGES.double()), net(IMAGES.double()), rtol=1e-12, atol=1e-12)


@pytest.mark.trains
def test_a_layer_is_compared_after_all_of_its_norms() -> None:
    """Quantized, reconstructed and reported: what a layer puts out is near what the float network's last norm does."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 4, 3), norm(), norm(), nn.ReLU(), nn.Conv2d(4, 3, 1)).eval()
    model = quantize(net, IMAGES, scheme="uniform", weight_bits=8, activation_bits=8,
                     input_format=Format(4, "unsigned"), input_exponent=-4)
    assert all((row.output_sqnr_db or 100) > 30 for row in layer_qualities(model, net, IMAGES))
    power = float(net[:4](IMAGES).detach().square().sum(1).mean())
    assert reconstruct(model, net, IMAGES, Reconstruction(iterations=2))[0].before < 1e-3 * power
