"""Codes from files and random ones."""

import re
from pathlib import Path

import numpy as np
import pytest

from bitwright.inputs import load_codes, random_codes
from sim.errors import InputError
from sim.formats import Format
from sim.program import Program, Tensor

PROGRAM = Program((Tensor("x", 2, 3, (1,), Format(3, "signed")),), ())


def test_npy_and_npz_hold_the_same_codes(tmp_path: Path) -> None:
    """A single array stands for the only input; an archive names its inputs."""
    codes = np.arange(-3, 3, dtype=np.int8).reshape(1, 1, 2, 3)
    np.save(tmp_path / "x.npy", codes)
    np.savez(tmp_path / "x.npz", x=codes)
    for name in ("x.npy", "x.npz"):
        np.testing.assert_array_equal(load_codes(tmp_path / name, PROGRAM)["x"], codes)


def test_random_codes_reach_both_ends_and_repeat(tmp_path: Path) -> None:
    """The same seed gives the same codes; the whole range of the format occurs."""
    codes = random_codes(PROGRAM, 100, 1)["x"]
    assert (codes.min(), codes.max(), codes.shape) == (-4, 3, (100, 1, 2, 3))
    np.testing.assert_array_equal(codes, random_codes(PROGRAM, 100, 1)["x"])


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """What is missing, and where it was looked for."""
    with pytest.raises(InputError, match=f"^no file '{re.escape(str(tmp_path))}/x.npy' with input codes$"):
        load_codes(tmp_path / "x.npy", PROGRAM)


DAMAGED = [
    b"", b"nonsense", b"\x93NUMPY\x01\x00", b"PK\x03\x04broken",
    b"\x93NUMPY\x01\x00\x0a\x00{'descr': (  ",
]


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes) -> None:
    """Whatever is wrong inside, the answer is one sentence with the path."""
    (tmp_path / "x.npy").write_bytes(content)
    with pytest.raises(InputError, match=f"^'{re.escape(str(tmp_path))}/x.npy' is not a .npz or .npy file"):
        load_codes(tmp_path / "x.npy", PROGRAM)


def test_pickles_are_never_opened(tmp_path: Path) -> None:
    """An object array would run code on loading; it is refused."""
    np.save(tmp_path / "x.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match=r"is not a \.npz or \.npy file of integer arrays"):
        load_codes(tmp_path / "x.npy", PROGRAM)


def test_floats_are_refused(tmp_path: Path) -> None:
    """A float has already been rounded somewhere."""
    np.save(tmp_path / "x.npy", np.zeros((1, 1, 2, 3)))
    with pytest.raises(InputError, match=r"codes of 'x' must be integers, not float64$"):
        load_codes(tmp_path / "x.npy", PROGRAM)


@pytest.mark.parametrize(("arrays", "message"), [
    ({"x": np.zeros((0, 1, 2, 3), np.int8)}, "'{path}' must hold at least one image, not 0"),
    ({"x": np.int8(1)}, "input 'x' must have shape (N, 1, 2, 3), not ()"),
    ({}, "inputs must be 'x', not none"),
])
def test_files_without_an_image_are_refused(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    """No image, no axis of images, or no array at all: each has its sentence."""
    path = tmp_path / "x.npz"
    np.savez(path, **arrays)
    with pytest.raises(InputError, match=f"^{re.escape(message.format(path=path))}$"):
        load_codes(path, PROGRAM)
