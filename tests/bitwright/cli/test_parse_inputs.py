"""Codes from files and random ones."""

import io
import re
import struct
import tracemalloc
import warnings
import zipfile
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest

from bitwright.cli.parse_inputs import load_codes, random_codes
from sim.errors import InputError
from sim.ir.formats import Format
from sim.ir.ops import Tensor
from sim.ir.program import Program

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


def refused(path: Path, reason: str) -> AbstractContextManager[pytest.ExceptionInfo[InputError]]:
    """Expect that a file is refused by name, for a reason that matches."""
    return pytest.raises(InputError, match=f"^cannot read input codes '{re.escape(str(path))}': {reason}$")


NO_ARRAY = r"it is no \.npz or \.npy file of integer arrays: .+"


def npy(shape: tuple[int, ...], data: bytes, dtype: str = "|i1", version: bytes = b"\1\0") -> bytes:
    """A .npy whose header says what it likes."""
    text = f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape!r}}}\n".encode()
    length = struct.pack("<H" if version == b"\1\0" else "<I", len(text))
    return b"\x93NUMPY" + version + length + text + data


def npz(members: list[tuple[str, bytes]], path: Path) -> Path:
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


RIGHT = npy((2, 1, 2, 3), bytes(12))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """What is missing, and where it was looked for."""
    with pytest.raises(InputError, match=f"^no input codes '{re.escape(str(tmp_path))}/x.npy'$"):
        load_codes(tmp_path / "x.npy", PROGRAM)


def test_arrays_in_every_order_and_type_are_the_same_codes(tmp_path: Path) -> None:
    """Fortran's order, other ends of bytes, wider types, version 2 of the format: the codes are what counts."""
    codes = np.arange(-4, 2).reshape(1, 1, 2, 3)
    for dtype in ("i1", ">i2", "<i4", ">i8"):
        np.save(tmp_path / "x.npy", np.asfortranarray(codes.astype(dtype)))
        np.testing.assert_array_equal(load_codes(tmp_path / "x.npy", PROGRAM)["x"], codes)
    (tmp_path / "x.npy").write_bytes(npy((2, 1, 2, 3), bytes(12), version=b"\2\0"))
    assert not load_codes(tmp_path / "x.npy", PROGRAM)["x"].any()


DAMAGED = [
    b"", b"nonsense", b"\x93NUMPY\x01\x00", b"PK\x03\x04broken", b"PK",
    b"\x93NUMPY\x01\x00\x0a\x00{'descr': (  ", b"\x93NUMPY\x02\x00\xff\xff\xff\xff{",
    RIGHT[:-1], RIGHT + b"\0", npy((2, 1, 2, 3), bytes(12), "nonsense"), npy((2, 1, 2, 3), bytes(12), version=b"\3\0"),
    npy((-1, 1, 2, 3), b"")[:40], b"\x93NUMPY\x01\x00\xff\x7f" + b"(" * 0x7fff,
]


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes) -> None:
    """Whatever is wrong inside, alone or in an archive, the answer is one sentence with the path."""
    (tmp_path / "x.npy").write_bytes(content)
    with refused(tmp_path / "x.npy", NO_ARRAY):
        load_codes(tmp_path / "x.npy", PROGRAM)
    with refused(tmp_path / "x.npz", NO_ARRAY):
        load_codes(npz([("x.npy", content)], tmp_path / "x.npz"), PROGRAM)


def test_pickles_are_never_opened(tmp_path: Path) -> None:
    """An object array would run code on loading; it is refused by its header."""
    objects = io.BytesIO()
    np.save(objects, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    (tmp_path / "x.npy").write_bytes(objects.getvalue())
    for path in (tmp_path / "x.npy", npz([("x.npy", objects.getvalue())], tmp_path / "x.npz")):
        with refused(path, "codes of 'x' must be integers, not object"):
            load_codes(path, PROGRAM)


@pytest.mark.parametrize("dtype", ["<f8", "|b1", "<m8[s]", "<M8[s]", "<c8", "<U4", "|V3"])
def test_what_is_no_integer_is_refused(tmp_path: Path, dtype: str) -> None:
    """Floats have been rounded somewhere; times and truth values are no codes either."""
    path = tmp_path / "x.npy"
    path.write_bytes(npy((2, 1, 2, 3), bytes(12), dtype))
    with refused(path, f"codes of 'x' must be integers, not {re.escape(str(np.dtype(dtype)))}"):
        load_codes(path, PROGRAM)


TOO_MANY = "10000000000 images take 60000000000 codes in all tensors, and at most 1073741824 are held at a time"


@pytest.mark.parametrize(("members", "reason"), [
    ([("x.npy", RIGHT), ("README.txt", b"text")], r"member 'README\.txt' is no array"),
    ([("x", RIGHT)], "member 'x' is no array"),
    ([("x.npy", RIGHT), ("x.npy", RIGHT)], r"member 'x\.npy' is there twice"),
    ([("../x.npy", RIGHT)], r"inputs must be 'x', not '\.\./x'"),
    ([("x.npy", RIGHT), ("y\x1b[2J.npy", RIGHT)], r"inputs must be 'x', not 'x', 'y\\x1b\[2J'"),
    ([], "inputs must be 'x', not none"),
    ([("x.npy", npy((), b"\0"))], r"input 'x' must have shape \(N, 1, 2, 3\), not \(\)"),
    ([("x.npy", npy((2, 1, 2, 4), bytes(16)))], r"input 'x' must have shape \(N, 1, 2, 3\), not \(2, 1, 2, 4\)"),
    ([("x.npy", npy((0, 1, 2, 3), b""))], "it must hold at least one image, not 0"),
    ([("x.npy", npy((-1, 1, 2, 3), b""))], "it must hold at least one image, not -1"),
    ([("x.npy", npy((10**10, 1, 2, 3), b""))], TOO_MANY),
])
def test_arrays_that_are_not_the_inputs_are_refused(tmp_path: Path, members: list[tuple[str, bytes]],
                                                    reason: str) -> None:
    """Other names, shapes and amounts: each has its sentence."""
    with refused(tmp_path / "x.npz", reason):
        load_codes(npz(members, tmp_path / "x.npz"), PROGRAM)


def test_a_bomb_is_refused_by_its_header(tmp_path: Path) -> None:
    """Of 32 MB that 33 kB unpack to, nothing but the header is read when shape or name are wrong."""
    content = npy((1, 1, 2, 2**24), bytes(2**25))
    for name, reason in (("x", r"input 'x' must have shape .*"), ("y", "inputs must be 'x', not 'y'")):
        path = npz([(f"{name}.npy", content)], tmp_path / "x.npz")
        tracemalloc.start()
        with refused(path, reason):
            load_codes(path, PROGRAM)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 2**22


def test_a_wrong_checksum_is_found(tmp_path: Path) -> None:
    """Codes that changed in the archive are not run."""
    path = npz([], tmp_path / "x.npz")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("x.npy", RIGHT)
    content = bytearray(path.read_bytes())
    content[content.index(RIGHT) + len(RIGHT) - 1] ^= 1
    path.write_bytes(content)
    with refused(path, NO_ARRAY + "CRC.*"):
        load_codes(path, PROGRAM)


@pytest.mark.parametrize("images", [10**9, 10**12, 10**30])
def test_more_random_images_than_fit_are_refused(images: int) -> None:
    """Before anything is allocated."""
    with pytest.raises(InputError, match=rf"^{images} images take {6 * images} codes in all tensors, and at most "
                                         "1073741824 are held at a time$"):
        random_codes(PROGRAM, images, 0)
