"""The discount of weights, from short runs."""

import re

import pytest

from quant.bits.discount import WEIGHT_DISCOUNT, ShortRun, weight_discount
from sim.errors import InputError

AT_2_2, AT_2_3, AT_3_2 = ShortRun(3.0, 0.5, 0.4), ShortRun(1.0, 0.5, 0.2), ShortRun(2.5, 0.25, 0.4)

DIFFER = "short runs must differ in the bits of weights and of activations, and be 3 at least, not"
RISE = "the losses of short runs must rise with what is foreseen for weights and for activations, not by"


def test_three_runs_give_the_ratio_of_what_their_losses_cost() -> None:
    """Weights: 0.5 for 0.25 foreseen; activations: 2 for 0.2; the first cost a fifth of the second."""
    assert weight_discount([AT_2_2, AT_2_3, AT_3_2]) == pytest.approx(0.2, rel=1e-12)


def test_more_runs_are_fitted_together() -> None:
    """Seeds that differ by chance meet in the middle."""
    other = [ShortRun(run.loss + chance, run.weights, run.activations)
             for run, chance in zip([AT_2_2, AT_2_3, AT_3_2] * 2, [0.1, 0, 0, -0.1, 0, 0], strict=True)]
    assert weight_discount(other) == pytest.approx(0.2, rel=1e-12)


def test_the_default_is_what_the_measured_runs_give() -> None:
    """Errors at 2/2, 2/3 and 3/2 bits in docs/accuracy.md, and the losses that sensitivities foresaw."""
    runs = [ShortRun(100 - 91.67, 0.091, 0.043), ShortRun(100 - 93.84, 0.091, 0.013),
            ShortRun(100 - 92.58, 0.029, 0.043)]
    assert weight_discount(runs) == pytest.approx(WEIGHT_DISCOUNT, rel=0.05)


@pytest.mark.parametrize(("runs", "text"), [
    ([AT_2_2, AT_2_3], f"{DIFFER} 2"), ([AT_2_2, AT_2_2, AT_2_3], f"{DIFFER} 3"), ([], f"{DIFFER} 0"),
    ([AT_2_2, ShortRun(3.5, 0.5, 0.2), AT_3_2], f"{RISE} 2 and -2.5 per unit: train longer or with more seeds"),
])
def test_refuses_runs_that_do_not_tell(runs: list[ShortRun], text: str) -> None:
    """Runs that leave a side open, or whose losses contradict what was foreseen."""
    with pytest.raises(InputError, match=f"^{re.escape(text)}$"):
        weight_discount(runs)
