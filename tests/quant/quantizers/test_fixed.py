"""Quantizers of another tool's tensors give its codes, and refuse what they are not."""

import re

import pytest
import torch

from quant.quantizers.fixed import FixedActivation
from sim.errors import InputError
from sim.ir.formats import Format


def test_halves_go_where_the_other_tool_sends_them() -> None:
    """Halves go to even codes before an odd zero point is added, or upwards."""
    x = torch.tensor([0.25, 0.75, -0.25])
    assert FixedActivation(Format(8, "unsigned", 3), 0.5).codes(x).tolist() == [3, 5, 3]
    assert FixedActivation(Format(8, "unsigned", 3), 0.5, halves="up").codes(x).tolist() == [4, 5, 3]


def test_an_input_may_be_another_map_than_its_values() -> None:
    """The host multiplies and adds before it rounds; values are those of the codes."""
    quantizer = FixedActivation(Format(2, "signed"), 1.0, gain=2.0, bias=-1.0)
    assert quantizer.codes(torch.tensor([0.0, 0.5, 1.0])).tolist() == [-1, 0, 1]
    assert quantizer(torch.tensor([0.0, 9.0])).tolist() == [-1.0, 1.0]


@pytest.mark.parametrize(("options", "sentence"), [
    ({"fmt": Format(4, "signed"), "scale": 0.0}, "the scale of a tensor must be finite and above 0, not 0.0"),
    ({"fmt": Format(4, "signed"), "scale": 1.0, "gain": -1.0},
     "the gain of a tensor must be finite and above 0, not -1.0"),
    ({"fmt": Format(2, "unsigned"), "scale": 1.0, "bipolar": True},
     "two values -s and s have unsigned codes of 1 bit, not unsigned2"),
])
def test_what_cannot_be_is_refused(options: dict[str, object], sentence: str) -> None:
    """Each refusal is one sentence."""
    with pytest.raises(InputError, match=f"^{re.escape(sentence)}$"):
        FixedActivation(**options)  # type: ignore[arg-type]


def test_other_widths_are_refused() -> None:
    """The width is the other tool's."""
    quantizer = FixedActivation(Format(4, "signed"), 1.0)
    quantizer.set_bits(4, torch.zeros(1))
    with pytest.raises(InputError, match=r"^a tensor of another tool has its 4 bits, not 3$"):
        quantizer.set_bits(3, torch.zeros(1))
