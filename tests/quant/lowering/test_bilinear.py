"""Maps that become larger bilinearly: the convolutions that fill them are exact at the edges, too, in every engine."""

from itertools import product

import numpy as np
import pytest
import torch
from torch import nn

from bitwright.interop.onnx_model import onnx_model
from bitwright.interop.onnx_run import run_onnx
from quant.bits.problem import problem_of
from quant.convert import quantize
from quant.layers.bilinear import FACTORS, Bilinear
from quant.lowering.lower import Lowered, lower, lower_with_report
from quant.reference import run_reference
from quant.stages.enlarging import enlarging
from sim.arch.machine import load_machine
from sim.cost.table import cost_table
from sim.energy.technology import load_technology
from sim.errors import InputError
from sim.functional.reference import simulate
from sim.ir.formats import Format
from sim.ir.ops import Tensor as Map

SIZES = ((1, 1), (1, 4), (2, 1), (2, 3), (5, 6))


@pytest.mark.parametrize("factors", [pair for pair in product(FACTORS, FACTORS) if max(pair) > 1])
@pytest.mark.parametrize("size", SIZES)
def test_pieces_fill_the_larger_map_once_without_pads(size: tuple[int, int], factors: tuple[int, int]) -> None:
    """Sums of whole weights, divided by one number, are what torch computes; no pixel is written twice or left out."""
    layer, x = Bilinear(factors), torch.randint(-128, 128, (1, 3, *size)).double()
    made = torch.full((1, 3, size[0] * factors[0], size[1] * factors[1]), torch.nan, dtype=torch.float64)
    for operator, lattice in enlarging(layer, Map("x", *size, (3,), Format(8, "signed"))):
        sums = nn.functional.conv2d(x, torch.from_numpy(operator.codes).double(), None, operator.stride, groups=3)
        rows, columns = ([*piece] for piece in lattice.piece((sums.shape[2], sums.shape[3])))
        assert made[:, :, rows][..., columns].isnan().all()
        made[:, :, torch.tensor(rows)[:, None], torch.tensor(columns)] = sums
        assert operator.codes.sum((1, 2, 3)).tolist() == [layer.divisor] * 3
    torch.testing.assert_close(made / layer.divisor, layer(x), rtol=0, atol=1e-12)


def _lowered(up: nn.Module, scheme: str) -> tuple[torch.fx.GraphModule, Lowered]:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), up, nn.Conv2d(4, 2, 3))
    images = torch.randn(8, 2, 5, 6)
    model = quantize(net.eval(), images, scheme=scheme, weight_bits=8, activation_bits=8,
                     input_format=Format(8, "signed"), input_exponent=-5)
    return model, lower_with_report(model, images[:1])


@pytest.mark.parametrize(("up", "count"), [
    (nn.Upsample(scale_factor=2, mode="bilinear"), 9), (nn.Upsample((20, 12), mode="bilinear"), 18),
    (nn.Sequential(nn.Upsample(scale_factor=(1, 2), mode="bilinear"), nn.BatchNorm2d(4), nn.SiLU()), 3)])
def test_all_engines_compute_what_a_strict_model_does(up: nn.Module, count: int) -> None:
    """Every code of every tensor, in the plain simulator, torch on integers and ONNX Runtime."""
    model, made = _lowered(up, "power_of_two")
    codes = np.random.default_rng(0).integers(-128, 128, (3, 2, 5, 6))
    inputs = {made.program.inputs[0].name: made.prepare(codes)}
    found = simulate(made.program, inputs)
    for other in (run_reference(made.program, inputs), run_onnx(onnx_model(made.program), inputs)):
        for tensor in other:
            np.testing.assert_array_equal(found[tensor], other[tensor], tensor)
    with torch.no_grad():
        wanted = model(torch.from_numpy(codes / 32).float()).numpy()
    np.testing.assert_array_equal(found[made.outputs[0]] * made.scales[made.outputs[0]], wanted)
    pieces = [conv for conv in made.program.convs if conv.lattice is not None]
    assert len(pieces) == count
    assert {conv.name for conv in pieces} <= made.errors.keys()


def test_its_weights_are_no_choice_of_bits() -> None:
    """They cost what their own widths do, and a choice of only narrower ones is refused."""
    model, made = _lowered(nn.Upsample(scale_factor=2, mode="bilinear"), "uniform")
    program, machine = lower(model, torch.zeros(1, 2, 5, 6), phases=False), load_machine("tiny")
    assert [conv.name for conv in program.convs] == [conv.name for conv in made.program.convs]
    layers, tensors = ("0", "3"), ("0", "2")
    for widths, width in (((2, 8), 8), ((2, 5, 8), 5)):
        table = cost_table(program, machine, load_technology("generic45"), weight_bits=widths, activation_bits=(8,))
        problem = problem_of(program, table, {name: [0.0] * len(widths) for name in layers},
                             {name: [0.0] for name in tensors}, {})
        corner = program.convs.index(next(conv for conv in program.convs if conv.name == "2/0.0"))
        assert [widths[place] for place in problem.weight_options(corner)] == [width]
    table = cost_table(program, machine, load_technology("generic45"), weight_bits=(2, 3), activation_bits=(8,))
    with pytest.raises(InputError, match=r"^layer '2/0\.0' has weights of 5 bits, which are no choice; the choices "
                                         r"must have a width that holds them$"):
        problem_of(program, table, {name: [0.0] * 2 for name in layers}, {name: [0.0] for name in tensors}, {})
