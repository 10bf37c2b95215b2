"""Errors of a layer's outputs, weighed by what they do to the predictions."""

import torch
from torch import Tensor, fx, nn

from quant.ptq.guidance import fisher_of_outputs, guided
from quant.stages.stages import stages


def test_the_information_of_logits_is_that_of_their_classes() -> None:
    """For the logits themselves it is the mean of diag(p) - p p' over images, summed, as far as random signs tell."""
    torch.manual_seed(0)
    graph = fx.symbolic_trace(nn.Sequential(nn.Linear(4, 3)).eval())
    images = torch.randn(200, 4)
    with torch.no_grad():
        p = graph(images).softmax(1).double()
    expected = torch.diag(p.sum(0)) - p.T @ p
    found = fisher_of_outputs(graph, [stage for stage in stages(graph) if stage.kind == "linear"], images)
    assert [*found] == ["0"]
    assert float((found["0"] - expected).norm() / expected.norm()) < 0.2


def test_an_output_that_is_cut_off_does_not_matter() -> None:
    """A channel that the ReLU after it holds at 0 has no information, the other one has. The model's parameters get no
    gradients."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.ReLU(inplace=True), nn.Conv2d(2, 3, 1)).eval()
    with torch.no_grad():
        net[0].bias.copy_(torch.tensor([9.0, -9.0]))
    graph = fx.symbolic_trace(net)
    found = fisher_of_outputs(graph, [stage for stage in stages(graph) if stage.kind == "conv"],
                              torch.randn(40, 1, 3, 3).clamp(-2, 2))
    assert float(found["0"][0, 0]) > 0
    assert torch.equal(found["0"][1], torch.zeros(2, dtype=torch.float64))
    assert all(parameter.grad is None for parameter in net.parameters())


def test_rows_make_up_for_one_another() -> None:
    """Where only the sum of all output channels matters, its error is less than a tenth of what rounding each channel
    by itself leaves; all weights lie on their grids."""
    torch.manual_seed(0)
    rows, scales = torch.randn(16, 8).double(), torch.full((16,), 0.5).double()
    moments, fisher = torch.eye(8).double(), torch.ones(16, 16).double()
    nearest = (rows / 0.5).round().clamp(-4, 3) * 0.5

    def lost(values: Tensor) -> float:
        return float((values - rows).sum(0).square().sum())

    found = guided(nearest, rows, scales, moments, fisher, range(-4, 4))
    assert lost(found) < lost(nearest) / 10
    assert torch.equal((found / 0.5).round().clamp(-4, 3) * 0.5, found)
