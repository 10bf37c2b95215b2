"""From wide bits to narrow ones."""

from copy import deepcopy

import pytest
import torch
from torch import fx

from quant.data.split import Split
from quant.quantizers.base import ActivationQuantizer
from quant.trace.layers import QuantConv2d, QuantLinear
from quant.trace.stages import stages
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


def test_the_trained_network_stays(trained_qil: fx.GraphModule, splits: tuple[Split, Split]) -> None:
    """The real weights are those that were trained; quantizers start anew on them and on what they read, so that the
    network at 5 bits knows what it knew at 4, but for 15 points; one that starts from nothing has 10 % in all."""
    model = deepcopy(trained_qil)
    narrow(model, splits[0].images, (4, 4), (5, 5))
    assert accuracy(model, splits[1]) > accuracy(trained_qil, splits[1]) - 0.15
    for name, parameter in trained_qil.named_parameters():
        if parameter.ndim > 1:
            assert torch.equal(parameter, model.get_parameter(name))


def test_nothing_to_narrow_is_an_error(trained_qil: fx.GraphModule, splits: tuple[Split, Split]) -> None:
    """A width that no quantizer has is named."""
    with pytest.raises(InputError, match=r"^no quantizers have 7 bits for weights and 7 for activations$"):
        narrow(trained_qil, splits[0].images[:8], (7, 7), (6, 6))
