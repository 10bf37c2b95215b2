"""Training that is stopped and goes on; weights on disk."""

import re
import signal
import subprocess
import sys
import time
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.utils.data import Dataset

from quant.data.datasets import DatasetImages
from quant.data.image_options import ImageOptions
from quant.data.split import Split
from quant.networks import DigitsNet
from quant.training.checkpoint import load_weights, save_weights
from quant.training.loop import train
from quant.training.recipe import Recipe
from sim.errors import InputError

pytestmark = [pytest.mark.trains, pytest.mark.usefixtures("one_thread")]


class Killed(Exception):
    """Stands for whatever ends a process."""


class Stop:
    """Ends the training at a step."""

    def __init__(self, step: int) -> None:
        self.at = step

    def __call__(self, step: int, optimizer: torch.optim.Optimizer) -> None:
        if step == self.at:
            raise Killed


class Noisy(nn.Module):
    """With BatchNorm and dropout: two kinds of state that are easily forgotten."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.dropout = DigitsNet(4), nn.Dropout(0.3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(self.dropout(x))


def state(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.mark.parametrize("stop", [1, 7, 12])
def test_an_interrupted_training_ends_the_same(splits: tuple[Split, Split], tmp_path: Path, stop: int) -> None:
    """Stopped in any epoch and started again, on one thread, it gives every weight and statistic of an unbroken run,
    bit for bit."""
    torch.manual_seed(0)
    start, data, recipe = Noisy(), splits[0].first(160), Recipe(epochs=4, batch=32, seed=3)
    whole = deepcopy(start)
    train(whole, data, recipe)
    broken, place = deepcopy(start), tmp_path / "run.safetensors"
    with pytest.raises(Killed):
        train(broken, data, recipe, checkpoint=place, after_step=Stop(stop))
    fresh = deepcopy(start)
    torch.manual_seed(99)
    train(fresh, data, recipe, checkpoint=place)
    assert all(torch.equal(value, state(whole)[name]) for name, value in state(fresh).items())
    again = deepcopy(start)
    train(again, data, recipe, checkpoint=place)
    assert all(torch.equal(value, state(whole)[name]) for name, value in state(again).items())


@pytest.mark.parametrize(("change", "message"), [
    ({"rate": 0.05}, r"its rate is 0\.1, not 0\.05"), ({"epochs": 3}, "its epochs is 2, not 3")])
def test_another_run_does_not_go_on(splits: tuple[Split, Split], tmp_path: Path, change: dict[str, float],
                                    message: str) -> None:
    """A checkpoint of another recipe, other images or another model is refused, by what differs."""
    place, data = tmp_path / "run.safetensors", splits[0].first(64)
    train(DigitsNet(4), data, Recipe(epochs=2, batch=32), checkpoint=place)
    with pytest.raises(InputError, match=f"{message}; give another place or remove it$"):
        train(DigitsNet(4), data, Recipe(**{"epochs": 2, "batch": 32} | change), checkpoint=place)
    with pytest.raises(InputError, match="its images is 64, not 96"):
        train(DigitsNet(4), splits[0].first(96), Recipe(epochs=2, batch=32), checkpoint=place)
    for other in (replace(data, stored=data.stored.flip(3)), replace(data, exponent=-3), replace(data, mirrored=True)):
        with pytest.raises(InputError, match="is of another run: its values is"):
            train(DigitsNet(4), other, Recipe(epochs=2, batch=32), checkpoint=place)
    with pytest.raises(InputError, match="is of another run: its half is False, not True"):
        train(DigitsNet(4), data, Recipe(epochs=2, batch=32), half=True, checkpoint=place)
    with pytest.raises(InputError, match="is of another run: its teacher is None, not "):
        train(DigitsNet(4), data, Recipe(epochs=2, batch=32), teacher=DigitsNet(4).eval(), checkpoint=place)
    with pytest.raises(InputError, match="is of another run: its model is"):
        train(DigitsNet(8), data, Recipe(epochs=2, batch=32), checkpoint=place)


class Drawn(Dataset[tuple[torch.Tensor, int]]):
    """Images that are others whenever they are taken."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)

    def __len__(self) -> int:
        return 32

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return torch.from_numpy(self.rng.integers(0, 256, (1, 8, 8), np.uint8)), index % 10


def test_images_that_are_drawn_anew_do_not_stop_a_run_from_going_on(tmp_path: Path) -> None:
    """Nothing of them can be compared."""
    place, recipe = tmp_path / "run.safetensors", Recipe(epochs=2, batch=32, shift=0)
    data = DatasetImages(Drawn(), ImageOptions())
    torch.manual_seed(0)
    model, other = DigitsNet(4), DigitsNet(4)
    other.load_state_dict(model.state_dict())
    history = train(model, data, recipe, checkpoint=place)
    assert train(other, data, recipe, checkpoint=place) == history


def test_damaged_checkpoints_are_named(splits: tuple[Split, Split], tmp_path: Path) -> None:
    """A file that is cut short, and one that is no checkpoint."""
    place, data, recipe = tmp_path / "run.safetensors", splits[0].first(64), Recipe(epochs=1, batch=32)
    train(DigitsNet(4), data, recipe, checkpoint=place)
    place.write_bytes(place.read_bytes()[:-10])
    with pytest.raises(InputError, match=f"^checkpoint '{re.escape(str(place))}': not a whole safetensors file "):
        train(DigitsNet(4), data, recipe, checkpoint=place)
    save_weights(DigitsNet(4), place)
    with pytest.raises(InputError, match=f"^checkpoint '{re.escape(str(place))}' is no checkpoint of a training$"):
        train(DigitsNet(4), data, recipe, checkpoint=place)


def test_weights_come_back(tmp_path: Path) -> None:
    """What was saved loads into another network of the same shape, every buffer too."""
    model, other, place = DigitsNet(4), DigitsNet(4), tmp_path / "w.safetensors"
    save_weights(model, place)
    load_weights(other, place)
    assert all(torch.equal(value, state(other)[name]) for name, value in state(model).items())
    assert [path.name for path in tmp_path.iterdir()] == ["w.safetensors"]


def test_counters_of_batches_may_be_missing(tmp_path: Path) -> None:
    """Files of old versions of PyTorch do not have them; they count nothing that a network computes with."""
    model, other, place = DigitsNet(4), DigitsNet(4), tmp_path / "w.safetensors"
    save_file({name: value for name, value in state(model).items() if not name.endswith("num_batches_tracked")}, place)
    load_weights(other, place)
    assert all(torch.equal(value, state(other)[name]) for name, value in state(model).items())


def test_wrong_weights_are_named(tmp_path: Path) -> None:
    """Missing and surplus keys, other shapes, NaN, no file: each says what and where."""
    place, model = tmp_path / "w.safetensors", DigitsNet(4)
    good = {name: value.clone() for name, value in model.state_dict().items()}

    def refused(tensors: dict[str, torch.Tensor], message: str) -> None:
        save_file(tensors, place)
        with pytest.raises(InputError, match=message):
            load_weights(model, place)

    refused({name: value for name, value in good.items() if not name.startswith("block1.conv")},
            r"w\.safetensors' misses block1\.conv1\.weight, block1\.conv2\.weight$")
    rest = {name: value for name, value in good.items() if not name.startswith("block")}
    missing = [name for name in good if name not in rest and not name.endswith("num_batches_tracked")]
    refused(rest, rf"' misses block1\.conv1\.weight, .*, \.\.\. \({len(missing)} in all\)$")
    refused(good | {"head.bias": torch.zeros(3)}, r"has a surplus head\.bias$")
    refused(good | {"classifier.bias": torch.zeros(3)}, r"'classifier\.bias' must have shape \(10,\), not \(3,\)$")
    refused(good | {"classifier.bias": torch.full((10,), float("nan"))}, r"'classifier\.bias' must be finite$")
    with pytest.raises(InputError, match=f"^no weights '{re.escape(str(tmp_path / 'none.safetensors'))}'$"):
        load_weights(model, tmp_path / "none.safetensors")


SCRIPT = """\
import sys
from pathlib import Path
import torch
from quant.data.digits import digits
from quant.networks import DigitsNet
from quant.training.checkpoint import save_weights
from quant.training.loop import train
from quant.training.recipe import Recipe
torch.set_num_threads(1)
torch.manual_seed(0)
model = DigitsNet()
train(model, digits()[0], Recipe(epochs=6), checkpoint=Path(sys.argv[1]),
      progress=lambda *_: print("epoch", flush=True))
save_weights(model, sys.argv[2])
"""


@pytest.mark.nightly
def test_a_killed_process_goes_on(tmp_path: Path) -> None:
    """A process that is killed without warning, twice, ends with the weights of one that never was."""
    def start(name: str) -> subprocess.Popen[str]:
        return subprocess.Popen([sys.executable, "-c", SCRIPT, str(tmp_path / f"{name}.checkpoint"),
                                 str(tmp_path / f"{name}.safetensors")], stdout=subprocess.PIPE, text=True)

    for epochs in (1, 2):
        with start("killed") as process:
            assert process.stdout is not None
            for _ in range(epochs):
                assert process.stdout.readline() == "epoch\n"
            time.sleep(0.2)
            process.send_signal(signal.SIGKILL)
    for name in ("whole", "killed"):
        with start(name) as process:
            process.communicate()
        assert process.returncode == 0
    assert (tmp_path / "whole.safetensors").read_bytes() == (tmp_path / "killed.safetensors").read_bytes()
