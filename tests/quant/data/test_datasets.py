"""Data sets of PyTorch as labelled images."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, TensorDataset

from quant.data.datasets import images_of
from quant.data.image_options import ImageOptions
from quant.data.registry import load_data
from sim.errors import InputError

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 6, 8, 3), np.uint8)
LABELS = [3, 0, 1, 1, 2]
MEAN, DEVIATION = (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)
FLOATS = torch.from_numpy(PIXELS).permute(0, 3, 1, 2) / 255


class Items(Dataset):
    """Any images with LABELS."""

    def __init__(self, images: Any) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self.images[index], LABELS[index]


@pytest.mark.parametrize("images", [
    [Image.fromarray(image) for image in PIXELS], PIXELS, torch.from_numpy(PIXELS).permute(0, 3, 1, 2)])
def test_pixels_are_codes_as_they_are(images: Any) -> None:
    """Of PIL images and of arrays with channels on either side; normalised by what is said, else as ImageNet."""
    own = ImageOptions(mean=MEAN, deviation=DEVIATION)
    for options, mean, deviation in ((ImageOptions(), 0.485, 0.229), (own, 0.4, 0.2)):
        found = images_of(Items(images), options)
        np.testing.assert_array_equal(found.codes(torch.tensor([4, 1])), PIXELS[[4, 1]].transpose(0, 3, 1, 2))
        assert found.labels.tolist() == LABELS
        assert found.values(slice(0, 1))[0, 0, 0, 0] == pytest.approx((PIXELS[0, 0, 0, 0] / 255 - mean) / deviation)
        assert torch.equal(found.values(slice(0, 2)), found.drawn(torch.tensor([0, 1]), torch.Generator()))


def test_floats_are_what_the_network_reads() -> None:
    """Pixels come back from floats, also through a DataLoader; the network reads the same floats as before."""
    normalised = (FLOATS - torch.tensor(MEAN)[:, None, None]) / torch.tensor(DEVIATION)[:, None, None]
    for floats, options in ((FLOATS, ImageOptions()), (normalised, ImageOptions(mean=MEAN, deviation=DEVIATION))):
        dataset = TensorDataset(floats, torch.tensor(LABELS))
        for found in (images_of(dataset, options), images_of(DataLoader(dataset, batch_size=2), options)):
            np.testing.assert_array_equal(found.codes(slice(None)), PIXELS.transpose(0, 3, 1, 2))
            torch.testing.assert_close(found.values(slice(None)), floats, rtol=1e-6, atol=1e-6)


def test_a_list_of_labels_is_believed_if_it_is_right() -> None:
    """The items are not all read for their labels then; a list of something else is passed over."""
    class Counted(Items):
        read = 0
        targets = LABELS * 40

        def __len__(self) -> int:
            return 200

        def __getitem__(self, index: int) -> tuple[Any, int]:
            type(self).read += 1
            return PIXELS[index % 5], LABELS[index % 5]

    assert images_of(Counted(None), ImageOptions()).labels.tolist() == LABELS * 40
    assert Counted.read < 30
    Counted.targets = [9] * 200
    assert images_of(Counted(None), ImageOptions()).labels.tolist() == LABELS * 40
    assert Counted.read > 200


def test_parts_of_any_form_make_a_data_set() -> None:
    """A data set to train with, arrays to test with."""
    data = load_data({"train": Items(PIXELS), "test": (PIXELS[:2], np.array(LABELS[:2]))})
    assert (data.classes, data.channels, data.size, len(data.train), len(data.test)) == (4, 3, 8, 5, 2)
    again = load_data({"train": data.train, "val": data.test})
    assert again.train is data.train
    assert load_data(again) is again


class Failing(Items):
    """The user's own code fails."""

    def __getitem__(self, index: int) -> tuple[Any, int]:
        raise KeyError(f"no {index}")


@pytest.mark.parametrize(("found", "message"), [
    (3, "images must be a data set of PyTorch with a length and items, a DataLoader of one, or a pair .* not int"),
    (iter([]), "images must be a data set .* not list_iterator"),
    (Items([]), "a data set must have at least one item, not 0"),
    (Failing(PIXELS), "item 0 of the data set raised KeyError: 'no 0'"),
    (TensorDataset(FLOATS), "item 0 must be an image and its class, not tuple"),
    (TensorDataset(FLOATS, FLOATS), "the label of item 0 must be a whole number from 0, not tensor.*"),
    (TensorDataset(FLOATS, -torch.tensor(LABELS)), r"the label of item 0 must be .*, not tensor\(-3\)"),
    (Items(["a", "b"]), r"the image of item 0 must be a PIL image, or uint8 or floats of shape \(C, H, W\), not str"),
    (Items(PIXELS.astype(np.int64)), "the image of item 0 must be .* not torch.int64 of shape .*")])
def test_what_holds_no_images_is_refused(found: Any, message: str) -> None:
    """With the item at fault."""
    with pytest.raises(InputError, match=f"^{message}$"):
        images_of(found, ImageOptions())


def test_floats_that_are_no_pixels_are_refused() -> None:
    """They were normalised by other numbers than those that are given."""
    found = images_of(TensorDataset(FLOATS * 4 - 2, torch.tensor(LABELS)), ImageOptions())
    with pytest.raises(InputError, match=r"^the image of item 1 has floats in -[12].*, which are no pixels of "
                                         r"0\.\.1 with mean \(0\.0, 0\.0, 0\.0\) and deviation \(1\.0, .*\): "
                                         "give those that it was normalised with$"):
        found.codes(torch.tensor([1]))


def test_images_of_two_shapes_are_refused() -> None:
    """All have that of the first."""
    found = images_of(Items([PIXELS[0], PIXELS[1, :5]]), ImageOptions())
    with pytest.raises(InputError, match=r"^the image of item 1 must have shape \(3, 6, 8\), as that of item 0, not "
                                         r"\(3, 5, 8\)$"):
        found.codes(slice(None))
