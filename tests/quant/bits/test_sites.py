"""Where the bits of a model live."""

import pytest
from torch import fx, nn

from quant.bits.sites import sites
from sim.errors import InputError
from sim.ir.program import Program


def test_sites_are_the_layers_and_their_tensors(wide: fx.GraphModule, lowered_digits: Program) -> None:
    """In the Program's order; the pool has no weights to choose, the first layer no activation bits."""
    found = sites(wide, lowered_digits)
    assert [site.layer for site in found] == [conv.name for conv in lowered_digits.convs]
    assert [site.tensor for site in found] == [conv.input for conv in lowered_digits.convs]
    assert [site.layer for site in found if site.module is None] == ["pool"]
    assert [site.layer for site in found if site.is_input] == ["stem"]
    assert all(site.activation is wide.get_submodule(f"{site.tensor}_quantizer") for site in found)


def test_refuses_the_program_of_another_model(
        wide: fx.GraphModule, float_net: nn.Module, lowered_digits: Program) -> None:
    """A missing quantizer is named, and so is a layer that is something else."""
    with pytest.raises(InputError, match=r"^the program is not a lowering of this model, which has no 'x_quantizer'$"):
        sites(float_net, lowered_digits)
    wide.set_submodule("block1.conv1", nn.Identity())
    with pytest.raises(InputError, match=r"^the program is not a lowering of this model: they differ at "
                                         r"'block1\.conv1'$"):
        sites(wide, lowered_digits)
