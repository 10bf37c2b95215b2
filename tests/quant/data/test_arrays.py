"""Images and labels in arrays, in files or in memory."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from quant.data.arrays import split_of
from quant.data.image_options import ImageOptions
from quant.data.registry import load_data
from sim.errors import InputError

RNG = np.random.default_rng(0)
IMAGES, LABELS = RNG.integers(0, 256, (6, 5, 7, 3), np.uint8), np.array([2, 0, 1, 1, 0, 4])


@pytest.mark.parametrize("names", [("x_{}", "y_{}"), ("{}_images", "{}_labels")])
@pytest.mark.parametrize("form", ["last", "first", "grey"])
def test_a_file_holds_all_parts(tmp_path: Path, names: tuple[str, str], form: str) -> None:
    """Under the names of Keras or of MedMNIST, channels on either side or none; codes are the pixels."""
    images = {"last": IMAGES, "first": IMAGES.transpose(0, 3, 1, 2), "grey": IMAGES[..., 0]}[form]
    expected = IMAGES.transpose(0, 3, 1, 2)[:, :1 if form == "grey" else 3]
    image, label = names
    arrays = {"other": np.zeros(3), image.format("train"): images, label.format("train"): LABELS,
              image.format("val"): images[:2], label.format("val"): LABELS[:2, None],
              image.format("test"): images[2:4], label.format("test"): LABELS[2:4]}
    np.savez_compressed(tmp_path / "all.npz", **arrays)
    data = load_data(tmp_path / "all.npz")
    assert (data.classes, data.channels, data.size, data.test_is_validation) == (5, expected.shape[1], 7, False)
    for part, which in ((data.train, slice(0, 6)), (data.validation, slice(0, 2)), (data.test, slice(2, 4))):
        np.testing.assert_array_equal(part.codes(slice(None)), expected[which])
        assert part.labels.tolist() == LABELS[which].tolist()
    mean, deviation = ((0.5, 0.5) if form == "grey" else (0.485, 0.229))
    assert data.train.values(slice(0, 1))[0, 0, 2, 3] == pytest.approx(
        (expected[0, 0, 2, 3] / 255 - mean) / deviation, abs=1e-6)


def test_a_folder_holds_a_file_for_each_part(tmp_path: Path) -> None:
    """Without images to judge with, those to choose by do; the numbers of normalisation are as given."""
    np.savez(tmp_path / "train.npz", x=IMAGES, y=LABELS)
    np.savez(tmp_path / "val.npz", images=IMAGES[1:3], labels=LABELS[1:3])
    data = load_data(tmp_path, ImageOptions(mean=(0.25,), deviation=(0.1, 0.2, 0.5)))
    assert data.test_is_validation
    assert len(data.test) == 2
    assert data.train.values(slice(0, 1))[0, :, 0, 0].tolist() == pytest.approx(
        [(pixel / 255 - 0.25) / deviation for pixel, deviation in zip(IMAGES[0, 0, 0], (0.1, 0.2, 0.5), strict=True)])


def test_half_of_the_coloured_training_images_are_mirrored() -> None:
    """By the generator alone; grey ones are not, unless it is asked for."""
    which, generator = torch.arange(6).repeat(20), torch.Generator()
    colour, grey = (split_of(images, LABELS, ImageOptions()) for images in (IMAGES, IMAGES[..., 0]))
    drawn = colour.drawn(which, generator.manual_seed(3))
    assert torch.equal(drawn, colour.drawn(which, generator.manual_seed(3)))
    same = (drawn == colour.values(which)).flatten(1).all(1)
    turned = (drawn == colour.values(which).flip(3)).flatten(1).all(1)
    assert bool((same ^ turned).all())
    assert 40 < int(turned.sum()) < 80
    assert torch.equal(grey.drawn(which, generator), grey.values(which))
    other = split_of(IMAGES[..., 0], LABELS, ImageOptions(mirrored=True))
    assert not torch.equal(other.drawn(which, generator), other.values(which))


GOOD: dict[str, Any] = {"x_train": IMAGES, "y_train": LABELS, "x_test": IMAGES, "y_test": LABELS}


@pytest.mark.parametrize(("change", "reason"), [
    ({"x_train": IMAGES / 255}, "images must be pixels, uint8, not float64; they are normalised later"),
    ({"x_train": IMAGES[0, 0]}, r"images must have shape \(n, H, W\), \(n, H, W, C\) or .* without a 0, not \(7, 3\)"),
    ({"x_train": IMAGES[:0], "y_train": LABELS[:0]}, r"images must have shape .* without a 0, not \(0, 5, 7, 3\)"),
    ({"x_test": IMAGES.repeat(2, 3)}, (r"images must have 1 to 4 channels on their first or their last axis alone, not "
                                      r"shape \(6, 5, 7, 6\)")),
    ({"x_test": IMAGES[:, :3]}, (r"images must have 1 to 4 channels on their first or their last axis alone, not "
                                r"shape \(6, 3, 7, 3\)")),
    ({"y_train": LABELS[:5]}, r"labels must have shape \(6,\), one for each image, not \(5,\)"),
    ({"y_train": LABELS / 2}, "labels must be whole numbers, not float64"),
    ({"y_train": -LABELS}, r"labels must be in 0\.\.99999, not -2"),
    ({"y_train": LABELS.astype(object)}, "labels must be whole numbers, not object"),
    ({"y_train": None}, "it holds 'x_train' without 'y_train', beside x_test, x_train, y_test"),
    ({"y_train": None, "x_train": None}, "it must hold x_train and y_train, or train_images and train_labels")])
def test_arrays_that_are_no_images_are_refused(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    """One sentence with the file; nothing is unpickled."""
    path = tmp_path / "a.npz"
    np.savez(path, **{name: value for name, value in (GOOD | change).items() if value is not None})
    with pytest.raises(InputError, match=f"^cannot read data '{re.escape(str(path))}': {reason}$"):
        load_data(path)


@pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\3\4broken"])
def test_files_that_are_no_archives_are_refused(tmp_path: Path, content: bytes) -> None:
    """Whatever is wrong inside."""
    path = tmp_path / "a.npz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"^cannot read data '{re.escape(str(path))}': it is no .npz file of .+$"):
        load_data(path)


@pytest.mark.parametrize(("source", "options", "message"), [
    ("digits", ImageOptions(mean=(0.5,)), "mean has no meaning for 'digits', whose images are taken as they are"),
    ("all.npz", ImageOptions(size=32), "size has no meaning for arrays, whose images are taken as they are"),
    ("all.npz", ImageOptions(mean=(0.5, 0.5)),
     "cannot read data 'all.npz': mean must have 1 or 3 numbers for images of 3 channels, not 2"),
    ("all.npz", ImageOptions(deviation=(0.0,)),
     r"cannot read data 'all.npz': deviation must be in 0\.001\.\.1000, not 0"),
    ("none.npz", None, "no data 'none.npz'"),
    ("two.npz", None, r"images of test must have the shape of those of train, \(3, 5, 7\), not \(1, 5, 7\)"),
    ("one.npz", None, "a data set must have the parts train, and val or test or both, not train"),
    ({"train": 3, "validation": 4}, None,
     "a data set must have the parts train, and val or test or both, not train, validation"),
    (3, None, "data must be a name, a path, a DataSet or a mapping with train, and val or test or both, not int")])
def test_what_does_not_make_a_data_set_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: Any,
                                                  options: ImageOptions | None, message: str) -> None:
    """Options without meaning, missing parts, images of two shapes."""
    monkeypatch.chdir(tmp_path)
    np.savez("all.npz", **GOOD)
    np.savez("one.npz", x_train=IMAGES, y_train=LABELS)
    np.savez("two.npz", **(GOOD | {"x_test": IMAGES[..., 0]}))
    with pytest.raises(InputError, match=f"^{message}$"):
        load_data(source, options)
