"""What the commands that make networks share."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from bitwright.codesign.networks import (
    accuracies,
    calibration_images,
    few_pixels,
    lowered_for,
    write_network,
)
from bitwright.codesign.post_training import quantize_network
from quant.data.pixels import Pixels
from quant.data.registry import DataSet
from quant.data.split import Split
from quant.training.evaluate import accuracy
from sim.arch.machine import load_machine
from sim.ir.formats import Format


@dataclass(frozen=True)
class Sorted:
    """Images that are kept class by class, as folders are; every pixel is the class."""

    classes: int
    each: int
    exponent: int = 0

    @property
    def format(self) -> Format:
        return Format(8, "unsigned")

    @property
    def labels(self) -> Tensor:
        return torch.arange(self.classes).repeat_interleave(self.each)

    def __len__(self) -> int:
        return self.classes * self.each

    def values(self, which: Tensor | slice) -> Tensor:
        return self.labels[which].float()[:, None, None, None].expand(-1, 3, 2, 2)

    def drawn(self, which: Tensor, generator: torch.Generator) -> Tensor:
        return self.values(which)


@pytest.mark.parametrize(("classes", "each"), [(3, 1100), (1000, 13), (2, 10), (100, 5)])
def test_calibration_sees_all_classes_of_a_sorted_folder(classes: int, each: int) -> None:
    """1024 images or all of them, each class as often as the others to one image, in every batch as well."""
    images = calibration_images(Sorted(classes, each))
    assert len(images) == min(1024, classes * each)
    for part in (images, images[:64], images[-64:]):
        counts = torch.bincount(part[:, 0, 0, 0].long(), minlength=classes)
        assert int(counts.max() - counts.min()) <= 2
    counts = torch.bincount(images[:, 0, 0, 0].long(), minlength=classes)
    assert int(counts.max() - counts.min()) <= 1


@pytest.mark.parametrize(("size", "count"), [(8, 1024), (32, 1024), (64, 1024), (128, 256), (224, 83), (2048, 64)])
def test_large_images_are_fewer(size: int, count: int) -> None:
    """At most 2**22 pixels go through a network at once, but always 64 images; they are the first, not copied."""
    images = torch.zeros(1, 1, 1, 1).expand(1024, 3, size, size)
    few = few_pixels(images)
    assert few.shape == (count, 3, size, size)
    assert few.data_ptr() == images.data_ptr()


def test_accuracy_is_that_of_images_as_the_host_gives_them(tmp_path: Path) -> None:
    """Pixels are padded for the Program, whose accuracy is the model's; the summary says how they are padded."""
    torch.manual_seed(1)
    images = torch.randint(0, 256, (60, 3, 6, 6), dtype=torch.uint8)
    labels = (images.float().mean((2, 3)).argmax(1) == 0).long()
    split = Split(images, labels, pixels=Pixels((0.2, 0.5, 0.6), (0.3, 0.2, 0.1)))
    data = DataSet(split, split, split, None, 2, 3, 6)
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2)).eval()
    model = quantize_network(net, split, split.images, "power_of_two", (8, 8), 8)
    lowered = lowered_for(model, data, load_machine("tiny"))
    found = accuracies(lowered, data)
    assert found == {"test": accuracy(model, split)}
    assert 0 < found["test"] < 1
    files = write_network(tmp_path, model, lowered, {"accuracy": found})
    assert json.loads(files[-1].read_text()) == {
        "accuracy": found, "scales": lowered.scales,
        "host_padding": {"input": "input_1", "pads": [1, 1, 1, 1], "codes": [51, 128, 153]},
        "inputs": [{"name": "input_1", "input": "input_1", "image": [3, 6, 6], "shape": [3, 8, 8],
                    "format": "unsigned8", "scale": lowered.scales["input_1"]}]}
