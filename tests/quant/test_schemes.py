"""Schemes: which quantizers a name or an option stands for."""

import re
from collections.abc import Callable

import pytest
import torch

from quant.quantizers.base import ActivationQuantizer, Quantizer
from quant.quantizers.lsq import LSQActivation, LSQWeight
from quant.quantizers.power_of_two import PowerOfTwoActivation, PowerOfTwoWeight
from quant.quantizers.qil import QILActivation, QILOptions, QILWeight
from quant.quantizers.uniform import UniformWeight
from quant.schemes import SCHEMES, Scheme, WeightedLayer, lsq, power_of_two, qil, scheme_of, uniform
from sim.errors import InputError

KINDS: dict[str, tuple[type[Quantizer], type[ActivationQuantizer], type[ActivationQuantizer]]] = {
    "qil": (QILWeight, QILActivation, LSQActivation), "lsq": (LSQWeight, LSQActivation, LSQActivation),
    "power_of_two": (PowerOfTwoWeight, PowerOfTwoActivation, PowerOfTwoActivation),
    "uniform": (UniformWeight, LSQActivation, LSQActivation)}


@pytest.mark.parametrize("name", SCHEMES)
def test_names_stand_for_quantizers(name: str) -> None:
    """Weights, unsigned and signed tensors, at the width asked for; norms stay where training follows."""
    scheme, (weight, unsigned, signed) = scheme_of(name), KINDS[name]
    made = scheme.weight(3, WeightedLayer(5)), scheme.tensor(4, False), scheme.tensor(5, True)
    assert [type(quantizer) for quantizer in made] == [weight, unsigned, signed]
    assert [(quantizer.bits, quantizer.signed) for quantizer in made] == [(3, True), (4, False), (5, True)]
    assert scheme.folds == (name in ("power_of_two", "uniform"))
    assert scheme.strict == (name == "power_of_two")


def test_refuses_other_names() -> None:
    """The names are listed."""
    text = "scheme must be one of qil, lsq, power_of_two, uniform, not n2uq"
    with pytest.raises(InputError, match=f"^{re.escape(text)}$"):
        scheme_of("n2uq")


@pytest.mark.parametrize(("make", "text"), [
    (lambda: scheme_of(["lsq"]), "scheme must be one of qil, lsq, power_of_two, uniform, not ['lsq']"),
    (lambda: power_of_two("lest"), "exponents must be one of best, nearest, not lest"),
    (lambda: uniform("mse"), "fit must be one of error, range, not mse"),
    (lambda: qil(percentile="99"), "percentile must be above 50 and at most 100, not '99'"),
])
def test_refuses_other_options(make: Callable[[], Scheme], text: str) -> None:
    """A name that is misspelt, or of another option, would else pass for the default."""
    with pytest.raises(InputError, match=f"^{re.escape(text)}$"):
        make()


def test_qil_learns_amplitudes_where_no_norm_follows() -> None:
    """A BatchNorm makes up for any scale of the weights; tensors have none behind them."""
    scheme = qil(QILOptions(gradients="plain"))
    weights = [scheme.weight(3, WeightedLayer(5, normed)) for normed in (True, False)]
    assert [dict(q.named_parameters())["amplitude"].requires_grad for q in weights] == [False, True]
    assert dict(scheme.tensor(3, False).named_parameters())["amplitude"].requires_grad
    assert all(isinstance(q, QILWeight) and q.options.gradients == "plain" for q in weights)


def test_options_of_the_schemes_without_training() -> None:
    """Steps by range or error, per channel or per tensor; exponents by either choice."""
    x = torch.linspace(-1, 7, 200).reshape(4, 50)
    for fit in ("error", "range"):
        scheme = uniform(fit, per_channel=False, mirrored=False)
        quantizer = scheme.weight(3, WeightedLayer(4))
        quantizer.initialise(x)
        assert quantizer.scale.shape == ()
        assert (float(quantizer.scale.detach()) == pytest.approx(7 / 3)) == (fit == "range")
        assert (scheme.calibration.ranges == "range") == (fit == "range")
    assert uniform().weight(3, WeightedLayer(4)).scale.shape == (4,)
    for quantizer in (power_of_two("nearest").weight(3, WeightedLayer(4)), power_of_two("nearest").tensor(3, True)):
        assert isinstance(quantizer, PowerOfTwoWeight | PowerOfTwoActivation)
        assert quantizer.choice == "nearest"


@pytest.mark.parametrize("make", [uniform, power_of_two, lsq])
def test_weights_may_be_mirrored_unless_told_otherwise(make: Callable[..., Scheme]) -> None:
    """A channel that reaches further to the positive side gets a negative scale, by default only."""
    x = torch.tensor([[2.0, 1.0, -1.0], [-2.0, -1.0, 1.0]])
    for mirrored, signs in ((True, [-1, 1]), (False, [1, 1])):
        for scheme in (make(mirrored=mirrored), *([make()] if mirrored else [])):
            quantizer = scheme.weight(2, WeightedLayer(2))
            quantizer.initialise(x)
            assert quantizer.scale.sign().tolist() == signs
