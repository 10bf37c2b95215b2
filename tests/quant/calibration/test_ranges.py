"""Ways to choose the range of a tensor."""

import pytest
import torch
from torch import Tensor

from quant.calibration.entropy import entropy_limit
from quant.calibration.options import Calibration
from quant.calibration.ranges import fit_range
from quant.quantizers.base import ActivationQuantizer
from quant.quantizers.lsq import LSQActivation
from quant.quantizers.power_of_two import PowerOfTwoActivation
from quant.quantizers.qil import QILActivation
from sim.errors import InputError

KINDS = {
    "lsq": lambda: LSQActivation(4, signed=False), "lsq_signed": lambda: LSQActivation(4, signed=True),
    "power_of_two": lambda: PowerOfTwoActivation(4, signed=False),
    "power_of_two_signed": lambda: PowerOfTwoActivation(4, signed=True),
    "lsq_asymmetric": lambda: LSQActivation(4, signed=True, asymmetric=True),
    "power_of_two_asymmetric": lambda: PowerOfTwoActivation(4, signed=True, asymmetric=True),
    "qil": lambda: QILActivation(4),
}
VALUES = torch.randn(4000, 5, generator=torch.Generator().manual_seed(0))


def fitted(kind: str, ranges: str, values: Tensor = VALUES, percentile: float = 99.9,
           weights: Tensor | None = None) -> ActivationQuantizer:
    quantizer: ActivationQuantizer = KINDS[kind]()
    values = values if quantizer.signed else values.relu()
    fit_range(quantizer, values, Calibration(ranges=ranges, percentile=percentile),  # type: ignore[arg-type]
              ends=lambda: torch.stack([values.min(), values.max()]),
              weights=lambda: torch.ones(5) if weights is None else weights)
    return quantizer


def clipped(quantizer: ActivationQuantizer, values: Tensor = VALUES) -> float:
    """Return the share of the values that the codes miss by more than rounding does, with that of a zero point."""
    values = values if quantizer.signed else values.relu()
    reach = quantizer.values(torch.tensor([quantizer.format.low, quantizer.format.high]))
    slack = float(quantizer.scale.detach()) * (0.5 if quantizer.asymmetric else 1e-6)
    beyond = (values < reach[0] - slack) | (values > reach[1] + slack)
    return float(beyond.float().mean())


@pytest.mark.parametrize("kind", KINDS)
def test_each_way_clips_what_it_says(kind: str) -> None:
    """`range` nothing, `percentile` at most its share at each end, squared error more than either, at 4 bits."""
    assert clipped(fitted(kind, "range")) == 0
    assert clipped(fitted(kind, "percentile")) <= 0.002 + 1e-4
    strict = kind.startswith("power_of_two")
    assert strict or 0 < clipped(fitted(kind, "percentile"))
    assert strict or clipped(fitted(kind, "mse")) > clipped(fitted(kind, "percentile"))
    assert strict or 0 < clipped(fitted(kind, "kl")) < 0.1


def test_zeros_do_not_count_in_entropy() -> None:
    """After a ReLU most values are 0, which have a code of their own: they say nothing of where to clip the others."""
    values = VALUES.abs().flatten()
    assert entropy_limit(torch.cat([values, torch.zeros(2 * len(values))]), 256) == entropy_limit(values, 256)
    assert entropy_limit(torch.zeros(3), 256) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_an_outlier_moves_only_the_range(kind: str) -> None:
    """One value of 100 among 20000 near 1 is left out by percentile and entropy, and covered by `range`."""
    values = VALUES.clone()
    values[7, 3] = 100.0
    for ranges in ("percentile", "kl"):
        assert float(fitted(kind, ranges, values).scale.detach()) * 15 < 20
    quantizer = fitted(kind, "range", values)
    assert float(quantizer.scale.detach()) * quantizer.format.high >= 99.99


@pytest.mark.parametrize("kind", KINDS)
def test_output_follows_the_channels_that_readers_weigh(kind: str) -> None:
    """Where only a channel of small values matters to what reads the tensor, the step becomes small."""
    values = VALUES * torch.tensor([0.1, 1.0, 1.0, 1.0, 1.0])
    alike, first = (fitted(kind, "output", values, weights=weights)
                    for weights in (torch.ones(5), torch.tensor([1.0, 0, 0, 0, 0])))
    assert float(first.scale.detach()) <= float(alike.scale.detach()) / 2


@pytest.mark.parametrize(("given", "text"), [
    ({"ranges": "minmax"}, "ranges must be one of mse, range, percentile, kl, output, not minmax"),
    ({"weight_steps": "best"}, "weight_steps must be one of output, weight, not best"),
    ({"percentile": 50}, "percentile must be above 50 and at most 100, not 50"),
    ({"percentile": 100.1}, "percentile must be above 50 and at most 100, not 100.1")])
def test_refuses_what_there_is_not(given: dict[str, object], text: str) -> None:
    """Each message names the limits."""
    with pytest.raises(InputError, match=f"^{text}$"):
        Calibration(**given)  # type: ignore[arg-type]
