"""What the commands that make networks share."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from bitwright.codesign.networks import calibration_images, few_pixels
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
