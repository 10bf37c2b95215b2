"""Folders of images."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from quant.data.folder import FolderImages, check_same_classes, image_folder, random_box
from quant.data.image_options import ImageOptions
from quant.data.images import Images
from quant.data.pictures import EXTENSIONS
from quant.data.registry import load_data
from sim.errors import InputError

SMALL = ImageOptions(size=20, resize=24)


def write(root: Path, part: str, count: int = 3, classes: tuple[str, ...] = ("cat", "dog")) -> None:
    """Images of one colour, another one for each class."""
    for number, name in enumerate(classes):
        folder = root / part / name
        folder.mkdir(parents=True)
        for index in range(count):
            Image.new("RGB", (40, 30), (60 * number + 10, 100, 200)).save(folder / f"{index}.png")


@pytest.mark.parametrize(("options", "mean", "deviation"), [
    (SMALL, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    (ImageOptions(20, 24, mean=(0.1, 0.2, 0.3), deviation=(0.5,)), (0.1, 0.2, 0.3), (0.5,) * 3)])
def test_values_are_normalised_pixels(tmp_path: Path, options: ImageOptions, mean: tuple[float, ...],
                                      deviation: tuple[float, ...]) -> None:
    """(pixel / 255 - mean) / deviation, by default those of ImageNet; codes are the pixels themselves."""
    write(tmp_path, "train")
    data: Images = image_folder(tmp_path, "train", options)
    assert (len(data), data.labels.tolist()) == (6, [0, 0, 0, 1, 1, 1])
    values = data.values(torch.tensor([0, 5]))
    assert values.shape == (2, 3, 20, 20)
    assert data.codes(torch.tensor([0, 5]))[:, :, 3, 7].tolist() == [[10, 100, 200], [70, 100, 200]]
    for row, red in zip(values, (10, 70), strict=True):
        real = [(pixel / 255 - m) / d for pixel, m, d in zip((red, 100, 200), mean, deviation, strict=True)]
        assert row.amin((1, 2)).tolist() == row.amax((1, 2)).tolist() == pytest.approx(real, rel=1e-6)


def test_images_of_the_right_size_stay_as_they_are(tmp_path: Path) -> None:
    """Unless another length is asked for; then only mirrors are drawn, if they are wanted."""
    folder = tmp_path / "train" / "noise"
    folder.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "a.png")
    which = torch.tensor([0] * 16)

    def drawn(options: ImageOptions) -> list[np.ndarray]:
        data = image_folder(tmp_path, "train", options)
        np.testing.assert_array_equal(data.codes(which)[0].permute(1, 2, 0), pixels)
        return [*data.pixels.codes(data.drawn(which, torch.Generator().manual_seed(0))).permute(0, 2, 3, 1).numpy()]

    assert {image.tobytes() for image in drawn(ImageOptions(32))} == {pixels.tobytes(), pixels[:, ::-1].tobytes()}
    assert {image.tobytes() for image in drawn(ImageOptions(32, mirrored=False))} == {pixels.tobytes()}
    zoomed = image_folder(tmp_path, "train", ImageOptions(32, 37))
    assert not np.array_equal(zoomed.codes(which)[0].permute(1, 2, 0), pixels)


def test_images_are_drawn_with_a_seed(tmp_path: Path) -> None:
    """Random crops and mirrors depend on the generator alone, and differ from the middle."""
    folder = tmp_path / "train" / "noise"
    folder.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (50, 60, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "a.png")
    data, which = image_folder(tmp_path, "train", ImageOptions(32, 36)), torch.tensor([0])
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
    place = tmp_path / "train"

    def refused(message: str) -> Any:
        return pytest.raises(InputError, match=f"^{re.escape(message)}$")

    kept = f"images are kept as {place}/<class>/<image>.jpg"
    with refused(f"no folder {place}: {kept}"):
        image_folder(tmp_path, "train", SMALL)
    place.mkdir()
    with refused(f"{place} has no folders: {kept}"):
        image_folder(tmp_path, "train", SMALL)
    for number in range(10):
        (place / f"cat{number}").mkdir()
    shown = ", ".join(f"cat{number}" for number in range(8))
    with refused(f"{place}: no image in {shown}, ... (10 in all), that is, no file with one of the endings "
                 f"{', '.join(EXTENSIONS)}"):
        image_folder(tmp_path, "train", SMALL)
    for number in range(10):
        (place / f"cat{number}" / "0.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"^cannot read image '.*/cat0/0\.png': it is none of JPEG, "):
        image_folder(tmp_path, "train", SMALL).values(torch.tensor([0]))
    write(tmp_path, "val", classes=("cat0", "cow"))
    train, val = (image_folder(tmp_path, part, SMALL) for part in ("train", "val"))
    with refused("train and val must have the same classes: val misses cat1, cat2, cat3, cat4, cat5, cat6, cat7, cat8, "
                 "... (9 in all)"):
        check_same_classes(train, val, ("train", "val"))
    with refused("val and train must have the same classes: train misses cow"):
        check_same_classes(val, image_folder(tmp_path, "train", SMALL), ("val", "train"))


def test_a_folder_is_a_data_set(tmp_path: Path) -> None:
    """By its path: train and val, and val to test with."""
    write(tmp_path, "train", 4)
    write(tmp_path, "val", 2)
    data = load_data(str(tmp_path), ImageOptions(28))
    assert (data.classes, data.channels, data.size) == (2, 3, 28)
    assert (len(data.train), len(data.validation), len(data.test), data.held_out) == (8, 4, 4, None)
    assert data.train.values(torch.tensor([1])).shape == (1, 3, 28, 28)


MEASURE = """\
import resource, sys
import torch
from quant.data.folder import image_folder
from quant.data.image_options import ImageOptions
data = image_folder(sys.argv[1], "train", ImageOptions())
data.values(torch.tensor([0]))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for index in range(1, len(data)):
    data.values(torch.tensor([index]))
    data.drawn(torch.tensor([index]), torch.Generator().manual_seed(0))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_a_strip_takes_no_more_memory_than_its_pixels(tmp_path: Path) -> None:
    """Of a long, thin image only what stays is enlarged: one of 92 bytes took a gigabyte."""
    write(tmp_path, "train", 1, ("a",))
    (tmp_path / "train" / "b").mkdir()
    for width, height in ((4000, 1), (1, 4000), (65_000, 1), (3, 65_000)):
        Image.new("RGB", (width, height)).save(tmp_path / "train" / "b" / f"{width}.png")
    kib = subprocess.check_output([sys.executable, "-c", MEASURE, str(tmp_path)], text=True)
    assert int(kib) < 64 << 10


@pytest.mark.parametrize("size", [(900, 90), (90, 900), (300, 301)])
def test_the_middle_of_a_strip_is_that_of_the_enlarged_whole(size: tuple[int, int],
                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to the same square differ by no more than the rounding of a level."""
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    data = FolderImages((), torch.empty(0, dtype=torch.int64), (), ImageOptions(224, 256))
    whole = np.asarray(data._middle(Image.fromarray(pixels))).astype(int)
    monkeypatch.setattr("quant.data.folder.MOST_RESIZED", 0)
    assert abs(np.asarray(data._middle(Image.fromarray(pixels))) - whole).max() <= 1


HIDDEN_FOLDERS = [".ipynb_checkpoints", "__MACOSX", ".git", "@eaDir", "$RECYCLE.BIN"]


@pytest.mark.parametrize("name", HIDDEN_FOLDERS)
def test_hidden_folders_are_no_classes(tmp_path: Path, name: str) -> None:
    """Copies of images that tools leave behind, beside the classes and in them, are passed over."""
    write(tmp_path, "train", 2)
    for place in (tmp_path / "train" / name, tmp_path / "train" / "cat" / name):
        place.mkdir()
        Image.new("RGB", (40, 30)).save(place / "0.png")
    data = image_folder(tmp_path, "train", SMALL)
    assert (data.classes, data.labels.tolist()) == (("cat", "dog"), [0, 0, 1, 1])


@pytest.mark.parametrize("name", ["._0.png", ".hidden.jpg", ".DS_Store", "Thumbs.db", "desktop.ini", "notes.txt"])
def test_hidden_files_are_no_images(tmp_path: Path, name: str) -> None:
    """What a system keeps beside images is passed over, in a class and beside the classes."""
    write(tmp_path, "train", 2)
    for place in (tmp_path / "train", tmp_path / "train" / "cat"):
        (place / name).write_bytes(b"no image")
    assert len(image_folder(tmp_path, "train", SMALL)) == 4


def test_endings_may_be_large_letters(tmp_path: Path) -> None:
    """Cameras write .JPG and .PNG."""
    write(tmp_path, "train", 1)
    (tmp_path / "train" / "cat" / "0.png").rename(tmp_path / "train" / "cat" / "0.PnG")
    assert len(image_folder(tmp_path, "train", SMALL)) == 2


def test_links_that_lead_back_end(tmp_path: Path) -> None:
    """Each folder is read once, however often links lead to it; a link to another place is followed."""
    write(tmp_path, "train", 2)
    write(tmp_path, "elsewhere", 3, ("more",))
    cat, dog = tmp_path / "train" / "cat", tmp_path / "train" / "dog"
    (cat / "back").symlink_to(tmp_path / "train" / "cat")
    (cat / "up").symlink_to(tmp_path / "train")
    (dog / "linked").symlink_to(tmp_path / "elsewhere" / "more")
    (dog / "itself").symlink_to(dog / "itself")
    (dog / "nowhere").symlink_to(tmp_path / "none")
    data = image_folder(tmp_path, "train", SMALL)
    assert data.labels.bincount().tolist() == [2 + 2 + 3, 2 + 3]


@pytest.mark.parametrize("kind", ["link to nowhere", "link to itself", "pipe"])
def test_what_is_called_like_an_image_is_one(tmp_path: Path, kind: str) -> None:
    """An image that is not there is no smaller data set but an error."""
    write(tmp_path, "train")
    odd = tmp_path / "train" / "cat" / "x.png"
    if kind == "pipe":
        os.mkfifo(odd)
    else:
        odd.symlink_to(odd if kind == "link to itself" else tmp_path / "none")
    with pytest.raises(InputError, match=f"^image '{re.escape(str(odd))}' is not a regular file$"):
        image_folder(tmp_path, "train", SMALL)


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its images are not left out in silence."""
    write(tmp_path, "train")

    def refuse(place: str) -> None:
        raise PermissionError(13, "Permission denied", place)

    monkeypatch.setattr("os.scandir", refuse)
    with pytest.raises(InputError, match=f"^cannot read folder '{re.escape(str(tmp_path))}.*': Permission denied$"):
        image_folder(tmp_path, "train", SMALL)


@pytest.mark.parametrize("name", ["", "none", "a\nb", "n" * 5000, "a\0b", "/dev/zero"])
def test_data_that_is_not_there_is_named(name: str) -> None:
    """Whatever was given for a folder, the answer is one printable line."""
    with pytest.raises(InputError, match=r"^no data '.*': give one of digits, glyphs, an \.npz file, or a folder with "
                       "train/ and val/$") as caught:
        load_data(name)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("size", [0, -1, 4097, 10**400])
def test_sizes_have_bounds(size: int) -> None:
    """Before anything is allocated."""
    with pytest.raises(InputError, match=r"^size must be in 1\.\.4096, not .+$"):
        ImageOptions(size)
    with pytest.raises(InputError, match=r"^resize must be in 224\.\.4096, not .+$"):
        ImageOptions(resize=size)
