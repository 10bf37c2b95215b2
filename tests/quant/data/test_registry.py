"""Data sets and networks by name."""

import pytest
import torch

from quant.data.registry import load_data
from quant.networks.registry import LARGE, NETWORKS, make_network
from sim.errors import InputError


def test_digits_keep_some_for_validation() -> None:
    """No image is in two splits; the test images are the same as ever."""
    data = load_data("digits")
    assert (len(data.train), len(data.validation), len(data.test)) == (1097, 200, 500)
    assert (data.classes, data.channels, data.size, data.held_out) == (10, 1, 8, None)


@pytest.mark.parametrize("name", ["mnist", "/no/such/folder"])
def test_unknown_data_is_named(name: str) -> None:
    """With what there is."""
    with pytest.raises(InputError, match=f"^no data '{name}': give one of digits, glyphs, an .npz file, or "):
        load_data(name)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_is_made(name: str) -> None:
    """By its name, for the images it is meant for."""
    channels, classes = (1, 10) if name == "digits" else (3, 7)
    size = 8 if name == "digits" else 64 if name in LARGE else 32
    model = make_network(name, classes, channels).eval()
    with torch.no_grad():
        assert model(torch.zeros(1, channels, size, size)).shape == (1, classes)


def test_networks_for_other_images_are_refused() -> None:
    """Large networks read colour; the digits network has ten outputs; other names are no networks."""
    with pytest.raises(InputError, match=r"^network 'resnet18' reads images of 3 channels, not 1 channels and 5 "):
        make_network("resnet18", 5, 1)
    with pytest.raises(InputError, match=r"^network 'digits' reads images of 1 channels and has 10 outputs, not 1 "):
        make_network("digits", 5, 1)
    with pytest.raises(InputError, match=r"^no network 'vgg': give one of digits, resnet8, "):
        make_network("vgg", 5, 1)
