"""From wide bits to narrow ones."""

import re
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import fx, nn

from quant.convert import quantize
from quant.data.digits import DIGITS_EXPONENT, DIGITS_FORMAT
from quant.data.split import Split
from quant.layers.quantized import QuantConv2d, QuantLinear
from quant.quantizers.base import ActivationQuantizer
from quant.quantizers.qil import QILActivation, QILWeight
from quant.stages.stages import stages
from quant.training.evaluate import accuracy
from quant.training.progressive import narrow
from sim.errors import InputError


def widths(model: fx.GraphModule) -> dict[str, int]:
    """Bits of the weights of every layer and of every stored tensor."""
    found = {name: module.weight_quantizer.bits for name, module in model.named_modules()
             if isinstance(module, QuantConv2d | QuantLinear)}
    for stage in stages(model):
        if stage.quantizer is not None:
            quantizer = model.get_submodule(stage.quantizer)
            assert isinstance(quantizer, ActivationQuantizer)
            found[f"of {stage.name}"] = quantizer.bits
    return found


def test_only_the_old_width_is_narrowed(trained_qil: fx.GraphModule, splits: tuple[Split, Split]) -> None:
    """Quantizers of 4 bits have 3, those of other widths stay: the input and a shortcut without a ReLU."""
    model, before = deepcopy(trained_qil), widths(trained_qil)
    narrow(model, splits[0].images[:256], (4, 4), (3, 2))
    assert not model.training
    for name, bits in widths(model).items():
        assert bits == ((2 if name.startswith("of ") else 3) if before[name] == 4 else before[name]), name


@pytest.mark.parametrize("first_last_bits", [None, 4, 8])
def test_widths_are_those_of_a_network_that_is_quantized_to_them(
        float_net: nn.Module, splits: tuple[Split, Split], first_last_bits: int | None) -> None:
    """First and last layers keep their own bits, also where all others had as many, and so do 8-bit shortcuts."""
    found = []
    for bits in (8, 4, 3):
        model = quantize(float_net, splits[0].images[:32], scheme="lsq", weight_bits=bits, activation_bits=bits,
                         first_last_bits=first_last_bits, input_format=DIGITS_FORMAT, input_exponent=DIGITS_EXPONENT)
        found.append(widths(model))
        if bits > 3:
            narrow(model, splits[0].images[:32], (bits, bits), (3, 3), first_last_bits=first_last_bits)
            found.append(widths(model))
    assert found[1] == found[3] == found[4]
    assert found[0] != found[4] != found[2]


def test_the_trained_network_stays(trained_qil: fx.GraphModule, splits: tuple[Split, Split]) -> None:
    """The real weights are those that were trained, and steps change with their width, so that the network at 5 bits
    knows what it knew at 4, but for 15 points; one that starts from nothing has 10 % in all."""
    model = deepcopy(trained_qil)
    narrow(model, splits[0].images, (4, 4), (5, 5))
    assert accuracy(model, splits[1]) > accuracy(trained_qil, splits[1]) - 0.15
    for name, parameter in trained_qil.named_parameters():
        if parameter.ndim > 1:
            assert torch.equal(parameter, model.get_parameter(name))


def test_what_was_learnt_goes_on(trained_qil: fx.GraphModule, splits: tuple[Split, Split]) -> None:
    """Ends of intervals and amplitudes keep their ratios to the best interval of their width, and so to each other;
    a width that does not change changes nothing."""
    model, same = deepcopy(trained_qil), deepcopy(trained_qil)
    narrow(model, splits[0].images[:256], (4, 4), (3, 3))
    narrow(same, splits[0].images[:256], (4, 4), (4, 4))
    found = 0
    for name, quantizer in trained_qil.named_modules():
        if not isinstance(quantizer, QILWeight | QILActivation) or quantizer.bits != 4:
            continue
        narrowed, kept = model.get_submodule(name), same.get_submodule(name)
        assert isinstance(narrowed, QILWeight | QILActivation)
        assert isinstance(kept, QILWeight | QILActivation)
        for other in (narrowed, kept):
            for end in ("low", "amplitude"):
                ratios = [float(getattr(q, end).detach() / q.high.detach()) for q in (quantizer, other)]
                assert ratios[1] == pytest.approx(ratios[0], rel=1e-4, abs=1e-6)
        for end in ("low", "high", "amplitude"):
            values = [float(getattr(q, end).detach()) for q in (quantizer, kept)]
            assert values[1] == pytest.approx(values[0], rel=1e-4)
        if isinstance(quantizer, QILWeight):
            assert isinstance(narrowed, QILWeight)
            assert torch.equal(narrowed.log_gamma, quantizer.log_gamma)
        found += float(quantizer.low.detach()) > 0
    assert found > 0


def test_nothing_to_narrow_is_an_error(trained_qil: fx.GraphModule, splits: tuple[Split, Split]) -> None:
    """A width that no quantizer has is named."""
    with pytest.raises(InputError, match=r"^no quantizers have 7 bits for weights and 7 for activations$"):
        narrow(trained_qil, splits[0].images[:8], (7, 7), (6, 6))


@pytest.mark.parametrize(("old", "new", "first_last_bits", "text"), [
    ((4, 4), (3, 3), 99, "first_last_bits must be in 1..8, not 99"),
    ((4, 4), (9, 3), None, "bits must be in 1..8, not 9"),
    ((4, 4), (3, 0), None, "bits must be in 1..8, not 0"),
    ((4, 4), (2,), None, "new must be the bits of weights and of activations, not (2,)"),
    ((4, 4, 4), (2, 2), None, "old must be the bits of weights and of activations, not (4, 4, 4)"),
    ((4, 4), 2, None, "new must be the bits of weights and of activations, not 2")])
def test_widths_that_are_none_change_nothing(trained_qil: fx.GraphModule, splits: tuple[Split, Split], old: Any,
                                             new: Any, first_last_bits: int | None, text: str) -> None:
    """A width out of range and anything but two of them are named before any quantizer changes."""
    before = widths(trained_qil)
    with pytest.raises(InputError, match=rf"^{re.escape(text)}$"):
        narrow(trained_qil, splits[0].images[:8], old, new, first_last_bits=first_last_bits)
    assert widths(trained_qil) == before
