"""Networks that read several tensors."""

import re
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, fx, nn

from quant.analysis.layers import layer_qualities
from quant.bits.sensitivities import Measurement
from quant.bits.with_bits import with_bits
from quant.convert import quantize
from quant.data.pixels import Pixels
from quant.lowering.lower import lower_with_report
from quant.lowering.strict import check_powers_of_two
from quant.ptq.network import move_exponents
from quant.ptq.reconstruct import Reconstruction, reconstruct
from quant.reference import run_reference
from quant.trace.inputs import Inputs
from sim.errors import InputError
from sim.functional.engine.simulator import Simulator
from sim.ir.formats import Format


class Two(nn.Module):
    """An image and a row of numbers: each has layers of its own, which meet in an add and a concatenation."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.deep = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 1)
        self.inner, self.last = nn.Linear(5, 4), nn.Linear(8, 3)

    def forward(self, image: Tensor, numbers: Tensor, scale: float = 1.0) -> Tensor:
        numbers = torch.relu(self.inner(numbers))
        found = self.deep(torch.relu(self.conv(image))).mean((2, 3))
        return self.last(torch.cat((found + numbers, numbers), 1))


IMAGE = torch.randint(0, 256, (32, 3, 8, 8), generator=torch.Generator().manual_seed(1))
ROW = torch.randint(-16, 16, (32, 5), generator=torch.Generator().manual_seed(2))
VALUES = IMAGE / 256, ROW / 8
FORMATS: dict[str, Any] = {"input_format": {"image": Format(8, "unsigned"), "numbers": Format(5, "signed")},
                           "input_exponent": {"image": -8, "numbers": -3}}


def two() -> nn.Module:
    """The network with random weights."""
    torch.manual_seed(0)
    return Two().eval()


def strict(data: Any, **given: Any) -> fx.GraphModule:
    """The network with steps of powers of two."""
    return quantize(two(), data, scheme="power_of_two", **(FORMATS | given))


def test_each_input_has_a_tensor_of_its_own() -> None:
    """The Program has both inputs by the arguments' names, in their formats, and the model's logits exactly."""
    model = strict(VALUES)
    lowered = lower_with_report(model, Inputs(VALUES)[:1])
    check_powers_of_two(lowered)
    assert {tensor.name: (tensor.shape, tensor.format) for tensor in lowered.program.inputs} == {
        "image": ((3, 8, 8), Format(8, "unsigned")), "numbers": ((5, 1, 1), Format(5, "signed"))}
    codes = lowered.prepare_all({"numbers": ROW.numpy(), "image": IMAGE.numpy()})
    found = run_reference(lowered.program, codes)["last"]
    np.testing.assert_array_equal(Simulator(lowered.program).run(codes)["last"], found)
    with torch.no_grad():
        logits = deepcopy(model).double()(*(values.double() for values in VALUES))
    assert torch.equal(torch.from_numpy(found[:, :, 0, 0]).double() * lowered.scales["last"], logits)


def test_batches_hold_the_inputs_first() -> None:
    """A dict, batches of tuples with labels after the inputs, and batches of dicts give the same steps as a tuple."""
    wanted = strict(VALUES).state_dict()
    image, numbers = VALUES
    halves = [slice(16), slice(16, 32)]
    for data in ({"numbers": numbers, "image": image}, [(image[half], numbers[half], [0, 1]) for half in halves],
                 [{"image": image[half], "numbers": numbers[half]} for half in halves]):
        found = strict(data).state_dict()
        assert all(torch.equal(found[name], value) for name, value in wanted.items())


def test_one_input_of_pixels() -> None:
    """Mean and deviation of pixels are folded into what reads them; the other input stays as it is."""
    pixels = Pixels((0.5, 0.25, 0.5), (0.25, 0.25, 0.5))
    data = pixels.values(IMAGE.to(torch.uint8)), VALUES[1]
    model = quantize(two(), (IMAGE.to(torch.uint8), VALUES[1]), scheme="uniform", weight_bits=8, activation_bits=8,
                     pixels={"image": pixels}, input_format={"numbers": Format(5, "signed")},
                     input_exponent={"numbers": -3})
    assert torch.allclose(model(*data), two()(*data), atol=0.02)
    lowered = lower_with_report(model, Inputs(data)[:1])
    assert lowered.padding is not None
    found = run_reference(lowered.program, lowered.prepare_all({"image": IMAGE.numpy(), "numbers": ROW.numpy()}))
    logits = torch.from_numpy(found["last"][:, :, 0, 0]) * lowered.scales["last"]
    assert torch.allclose(logits.float(), two()(*data), atol=0.02)


@pytest.mark.trains
def test_everything_else_takes_several_inputs() -> None:
    """Layers are compared, losses measured, widths changed, weights reconstructed and exponents moved."""
    model, data = strict(VALUES), Inputs(VALUES)
    layers = layer_qualities(model, two(), data)
    assert {"image", "numbers", "cat"} < {layer.name for layer in layers}
    weights, _ = Measurement(model, VALUES, bits=(2, 8)).run()
    assert {*weights} == {"conv", "deep", "inner", "last"}
    widths = {conv.name: (3, 4 if conv.input not in ("image", "numbers") else 8)
              for conv in lower_with_report(model, data[:1]).program.convs}
    assert with_bits(model, widths, VALUES).conv.weight_quantizer.bits == 3
    reports = reconstruct(model, two(), VALUES, Reconstruction(iterations=1))
    assert all(report.after <= report.before for report in reports)
    move_exponents(model, two(), VALUES, trials=1)


@pytest.mark.parametrize(("data", "given", "reason"), [
    (VALUES[0], {}, "data must be a tuple of 2 tensors, for image, numbers, or a dict of them, not Tensor"),
    (VALUES[:1], {}, "data must be a tuple of 2 tensors, for image, numbers, or a dict of them, not 1 of them"),
    ({"image": VALUES[0]}, {}, "data must have a tensor for image, numbers, which the model reads, not for image"),
    ((VALUES[0], VALUES[1][:8]), {}, "the inputs of data must have equally many images, not 32 and 8"),
    ((VALUES[0], VALUES[1] * torch.nan), {}, "'numbers' of data must be finite, but image 0 is not"),
    (VALUES, {"input_exponent": {"image": -8, "row": 1}}, "the model has no input row; its inputs are image, numbers"),
    (VALUES, {"input_exponent": {"image": -8}}, "input_format and input_exponent must be given together"),
])
def test_refuses_what_is_no_data_for_both(data: Any, given: dict[str, Any], reason: str) -> None:
    """Every input needs its tensor and its format."""
    with pytest.raises(InputError, match=f"^{re.escape(reason)}$"):
        strict(data, **given)


def test_one_array_is_not_enough() -> None:
    """`prepare` is for one input."""
    lowered = lower_with_report(strict(VALUES), Inputs(VALUES)[:1])
    with pytest.raises(InputError, match=r"^the Program has 2 inputs: prepare_all takes codes for each$"):
        lowered.prepare(IMAGE.numpy())
