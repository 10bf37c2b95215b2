"""Constants and BatchNorms go into convolutions, linear layers and BatchNorms, and never change what is computed."""

import pytest
import torch

from quant.graph.ops.elementwise import Clip
from quant.graph.ops.linear import Affine, BatchNorm, Conv, Linear
from quant.graph.ops.views import Reshape
from quant.graph.passes.fold_affine import fold_affine, merge_affine, norms_to_affine

GENERATOR = torch.Generator().manual_seed(0)
GAIN, SHIFT = torch.randn(2, 4, generator=GENERATOR)
WEIGHT = torch.randn(4, 4, 3, 3, generator=GENERATOR)
MATRIX = torch.randn(5, 4, generator=GENERATOR)
PADDED = Conv((1, 1), (1, 1), ((1, 1), (1, 1)))
BARE = Conv((1, 1), (1, 1), ((0, 0), (0, 0)))
NORM = [GAIN, SHIFT, SHIFT.clone() + 1, GAIN.abs() + 0.5]


@pytest.mark.parametrize("gain", [GAIN, torch.tensor(3.0)])
@pytest.mark.parametrize("operands", [["x", WEIGHT], ["x", WEIGHT, SHIFT]])
def test_constants_after_a_convolution_go_into_it(graph_of, kept, gain, operands) -> None:
    """Weights and bias, which it need not have before, are multiplied and shifted; names of weights stay."""
    graph = graph_of((4, 5, 5), ("conv", PADDED, operands), ("y", Affine(1), ["conv", gain, torch.tensor(0.5)]))
    assert kept(graph, fold_affine) == ["Conv"]
    assert set(graph.constants) >= {"conv.weight", "conv.bias"}


def test_constants_after_linear_layers_and_norms_go_into_them(graph_of, kept) -> None:
    """Those along the features of tokens, and those along the channels of a BatchNorm."""
    tokens = ("fc", Linear(), ["x", MATRIX]), ("y", Affine(2), ["fc", torch.arange(5.0), torch.ones(5)])
    assert kept(graph_of((7, 4), *tokens), fold_affine) == ["Linear"]
    norm = ("norm", BatchNorm(1e-3), ["x", *NORM]), ("y", Affine(1), ["norm", GAIN, SHIFT])
    assert kept(graph_of((4, 3, 3), *norm), fold_affine) == ["BatchNorm"]


def test_constants_before_layers_go_into_them(graph_of, kept) -> None:
    """Convolutions without pads and linear layers take up gains and shifts, padded convolutions gains alone."""
    def before(operator, weight, shift, shape):
        return graph_of(shape, ("a", Affine(len(shape) if shape[0] == 7 else 1), ["x", GAIN, shift]),
                        ("y", operator, ["a", weight]))
    assert kept(before(BARE, WEIGHT, SHIFT, (4, 5, 5)), fold_affine) == ["Conv"]
    assert kept(before(PADDED, WEIGHT, torch.zeros(4), (4, 5, 5)), fold_affine) == ["Conv"]
    assert kept(before(PADDED, WEIGHT, SHIFT, (4, 5, 5)), fold_affine) == ["Affine", "Conv"]
    assert kept(before(Linear(), MATRIX, SHIFT, (4,)), fold_affine) == ["Linear"]
    assert kept(before(Linear(), MATRIX, SHIFT, (7, 4)), fold_affine) == ["Linear"]


def test_constants_along_other_axes_stay(graph_of, kept) -> None:
    """Numbers that differ along the rows of a map, or between tokens, are no layer's own."""
    rows = torch.arange(5.0)
    graph = graph_of((4, 5, 5), ("conv", PADDED, ["x", WEIGHT]), ("y", Affine(2), ["conv", rows, rows]))
    assert kept(graph, fold_affine) == ["Conv", "Affine"]
    graph = graph_of((5, 4), ("a", Affine(1), ["x", rows, rows]), ("y", Linear(), ["a", MATRIX]))
    assert kept(graph, fold_affine) == ["Affine", "Linear"]


def test_values_that_others_read_stay(graph_of, kept) -> None:
    """A convolution whose sums are read elsewhere too keeps its weights, and so does a layer that shares them."""
    steps = ("conv", PADDED, ["x", WEIGHT]), ("y", Affine(1), ["conv", GAIN, SHIFT])
    assert kept(graph_of((4, 5, 5), *steps, outputs=["conv", "y"]), fold_affine) == ["Conv", "Affine"]
    shared = ("conv", PADDED, ["x", WEIGHT]), ("relu", Clip(0.0), ["conv"]), ("again", PADDED, ["relu", "conv.weight"])
    graph = graph_of((4, 5, 5), *shared, ("y", Affine(1), ["again", GAIN, SHIFT]))
    assert kept(graph, fold_affine) == ["Conv", "Clip", "Conv"]
    assert torch.equal(graph.constants["conv.weight"], WEIGHT)


def test_two_in_a_row_become_one(graph_of, kept) -> None:
    """Single numbers merge with any axis, two axes do not."""
    two = torch.tensor(2.0)
    for axis, gain, other, left in ((1, GAIN, GAIN, 1), (1, GAIN, two, 1), (2, two, GAIN, 1), (2, GAIN, GAIN, 2)):
        steps = ("a", Affine(1), ["x", other, other]), ("y", Affine(axis), ["a", gain, gain])
        assert kept(graph_of((4, 4, 4), *steps), merge_affine) == ["Affine"] * left


def test_norms_after_linear_layers_or_before_them_become_constants(graph_of, kept) -> None:
    """And so leave no layer; those of convolutions and of sums stay BatchNorms, which training knows."""
    wide = [torch.cat([numbers, numbers[:1]]) for numbers in NORM]
    graph = graph_of((4,), ("fc", Linear(), ["x", MATRIX]), ("y", BatchNorm(0.1), ["fc", *wide]))
    assert kept(graph, norms_to_affine, fold_affine) == ["Linear"]
    graph = graph_of((4,), ("norm", BatchNorm(0.1), ["x", *NORM]), ("y", Linear(), ["norm", MATRIX]))
    assert kept(graph, norms_to_affine, fold_affine) == ["Linear"]
    graph = graph_of((4, 5, 5), ("conv", PADDED, ["x", WEIGHT]), ("y", BatchNorm(0.1), ["conv", *NORM]))
    assert kept(graph, norms_to_affine, fold_affine) == ["Conv", "BatchNorm"]
    graph = graph_of((4, 5, 5), ("norm", BatchNorm(0.1), ["x", *NORM]), ("y", Reshape((100,)), ["norm"]))
    assert kept(graph, norms_to_affine, fold_affine) == ["BatchNorm", "Reshape"]
