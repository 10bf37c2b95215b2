"""Reconstruction that was stopped goes on, and a file of another run is refused."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, fx, nn

from quant.data.split import Split
from quant.ptq.reconstruct import Moment, Reconstruction, UnitReport, reconstruct
from sim.errors import InputError

Quantize = Callable[[nn.Module, Tensor, str, int], fx.GraphModule]
HOW = Reconstruction(iterations=3, batch=8)


class Stopped(Exception):
    pass


@pytest.mark.trains
@pytest.mark.usefixtures("one_thread")
def test_a_stopped_reconstruction_ends_with_the_same_bits(
        float_net: nn.Module, splits: tuple[Split, Split], as_digits: Quantize, tmp_path: Path) -> None:
    """Stopped inside the third unit and resumed, it learns only that unit and the last one again, and all weights,
    steps and distances are those of one run."""
    images = splits[0].first(64).images
    start = as_digits(float_net, images, "power_of_two", 3)
    whole, parts, resumed = (deepcopy(start) for _ in range(3))
    expected = reconstruct(whole, float_net, images, HOW)
    learnt: list[str] = []

    def stop(moment: Moment) -> None:
        if (moment.number, moment.iteration) == (3, 2):
            raise Stopped

    with pytest.raises(Stopped):
        reconstruct(parts, float_net, images, HOW, during=stop, checkpoint=tmp_path / "state")
    found = reconstruct(resumed, float_net, images, HOW, checkpoint=tmp_path / "state",
                        progress=lambda unit: learnt.append(unit.name))
    assert learnt == [unit.name for unit in expected[2:]]
    assert [(unit.before, unit.after) for unit in found] == [(unit.before, unit.after) for unit in expected]
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


@pytest.mark.trains
def test_another_run_is_refused(
        float_net: nn.Module, splits: tuple[Split, Split], as_digits: Quantize, tmp_path: Path) -> None:
    """A checkpoint belongs to its options; the message names the first that differs."""
    images, place = splits[0].first(32).images, tmp_path / "state"
    reconstruct(as_digits(float_net, images, "uniform", 4), float_net, images, HOW, checkpoint=place)
    with pytest.raises(InputError, match=rf"^checkpoint '{place}' is of another run: its batch is 8, not 4; "
                                         r"give another place or remove it$"):
        reconstruct(as_digits(float_net, images, "uniform", 4), float_net, images, replace(HOW, batch=4),
                    checkpoint=place)


@pytest.mark.trains
def test_progress_counts_every_iteration(
        float_net: nn.Module, splits: tuple[Split, Split], as_digits: Quantize) -> None:
    """Every iteration of every unit is told, in order; no time is left in the end."""
    images, moments, units = splits[0].first(32).images, list[Moment](), list[UnitReport]()
    found = reconstruct(as_digits(float_net, images, "uniform", 4), float_net, images, HOW, progress=units.append,
                        during=moments.append)
    assert found == units
    assert [(moment.number, moment.iteration) for moment in moments] == [
        (number, iteration) for number in range(1, len(units) + 1) for iteration in range(1, 4)]
    assert moments[-1].seconds_left == pytest.approx(0, abs=1e-6)
    assert moments[0].seconds_left > 0
