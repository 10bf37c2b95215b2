"""Folders of images."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from quant.data.folder import check_same_classes, image_folder, random_box
from quant.data.images import Images
from quant.data.registry import load_data
from sim.errors import InputError


def write(root: Path, part: str, count: int = 3, classes: tuple[str, ...] = ("cat", "dog")) -> None:
    """Images of one colour, another one for each class."""
    for number, name in enumerate(classes):
        folder = root / part / name
        folder.mkdir(parents=True)
        for index in range(count):
            Image.new("RGB", (40, 30), (60 * number + 10, 100, 200)).save(folder / f"{index}.png")


def test_values_are_normalised_codes(tmp_path: Path) -> None:
    """(pixel / 255 - mean) / deviation of ImageNet, rounded to a code of 8 signed bits and 2**-5."""
    write(tmp_path, "train")
    data: Images = image_folder(tmp_path, "train", 24, 20)
    assert (len(data), data.labels.tolist()) == (6, [0, 0, 0, 1, 1, 1])
    values = data.values(torch.tensor([0, 5]))
    assert values.shape == (2, 3, 20, 20)
    for row, red in zip(values, (10, 70), strict=True):
        for channel, (pixel, mean, deviation) in enumerate(((red, 0.485, 0.229), (100, 0.456, 0.224),
                                                            (200, 0.406, 0.225))):
            real = (pixel / 255 - mean) / deviation
            assert row[channel].unique().tolist() == [float(np.floor(real * 32 + 0.5) / 32)]


def test_images_are_drawn_with_a_seed(tmp_path: Path) -> None:
    """Random crops and mirrors depend on the generator alone, and differ from the middle."""
    folder = tmp_path / "train" / "noise"
    folder.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (50, 60, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "a.png")
    data, which = image_folder(tmp_path, "train", 36, 32), torch.tensor([0])
    first, again, other = (data.drawn(which, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert first.shape == (1, 3, 32, 32)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(data.values(which), data.values(slice(0, 1)))


def test_random_boxes_lie_inside() -> None:
    """Of 8 to 100 % of the area, within the image, at the ratios of the published recipe."""
    from random import Random
    random = Random(0)
    for _ in range(300):
        left, top, right, bottom = random_box(64, 48, random)
        assert 0 <= left < right <= 64
        assert 0 <= top < bottom <= 48
        assert (right - left) * (bottom - top) >= 0.07 * 64 * 48


def test_wrong_folders_are_named(tmp_path: Path) -> None:
    """No folder, no classes, no images, an image that is none, classes that differ."""
    with pytest.raises(InputError, match=re.escape(str(tmp_path / "train"))):
        image_folder(tmp_path, "train", 24, 20)
    (tmp_path / "train").mkdir()
    with pytest.raises(InputError, match=re.escape(str(tmp_path / "train"))):
        image_folder(tmp_path, "train", 24, 20)
    (tmp_path / "train" / "cat").mkdir()
    with pytest.raises(InputError, match=r"cat"):
        image_folder(tmp_path, "train", 24, 20)
    (tmp_path / "train" / "cat" / "0.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"0\.png"):
        image_folder(tmp_path, "train", 24, 20).values(torch.tensor([0]))
    write(tmp_path, "val", classes=("cat", "cow"))
    train, val = (image_folder(tmp_path, part, 24, 20) for part in ("train", "val"))
    with pytest.raises(InputError, match="cow"):
        check_same_classes(train, val, ("train", "val"))


def test_a_folder_is_a_data_set(tmp_path: Path) -> None:
    """By its path: train and val, and val to test with."""
    write(tmp_path, "train", 4)
    write(tmp_path, "val", 2)
    data = load_data(str(tmp_path), size=28)
    assert (data.classes, data.channels, data.size) == (2, 3, 28)
    assert (len(data.train), len(data.validation), len(data.test), data.held_out) == (8, 4, 4, None)
    assert data.train.values(torch.tensor([1])).shape == (1, 3, 28, 28)
