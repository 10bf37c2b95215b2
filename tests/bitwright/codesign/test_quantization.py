"""How reconstruction is chosen on the command line."""

from typing import Literal, get_args

import pytest

from bitwright.codesign.quantization import reconstruction_for, scheme_for
from quant.calibration.options import Ranges
from sim.errors import InputError


def test_presets() -> None:
    """The thorough one learns for as many iterations as are asked for, the fast one not at all, and 0 is neither."""
    thorough = reconstruction_for("thorough", iterations=7, rate=0.2, exponents=False, seed=3, downscale=2)
    fast = reconstruction_for("fast", iterations=None, rate=0.1, exponents=True, seed=3)
    assert thorough is not None
    assert fast is not None
    assert (thorough.downscale, fast.downscale) == (2, 1)
    assert (thorough.rounding, thorough.iterations, thorough.rate, thorough.exponents) == ("learnt", 7, 0.2, False)
    assert (fast.rounding, fast.exponents, fast.seed) == ("together", True, 3)
    assert reconstruction_for("fast", iterations=0, rate=0.1, exponents=True, seed=3) is None
    with pytest.raises(InputError, match=r"^the fast preset learns nothing, so it takes no iterations, not 20$"):
        reconstruction_for("fast", iterations=20, rate=0.1, exponents=True, seed=3)


@pytest.mark.parametrize("name", ["power_of_two", "uniform", "lsq", "qil"])
@pytest.mark.parametrize("ranges", get_args(Ranges))
def test_every_scheme_takes_all_ways_to_choose_ranges(name: Literal["power_of_two", "uniform", "lsq", "qil"],
                                                      ranges: Ranges) -> None:
    """What is asked for is what calibration does."""
    assert scheme_for(name, asymmetric=False, ranges=ranges).calibration.ranges == ranges
