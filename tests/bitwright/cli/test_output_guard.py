"""Every place of the command line that takes a file, crossed with everything that is no file for it."""

import json
import os
import re
import stat
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bitwright.cli.app import main
from sim.arch.machine import load_machine
from sim.ir.serialize import save_program
from sim.testing import random_program

PLACES = {
    "simulate PROGRAM": ["simulate", "FILE"],
    "simulate --input": ["simulate", "PROGRAM", "-i", "FILE"],
    "verify PROGRAM": ["verify", "FILE", "-m", "tiny"],
    "verify --input": ["verify", "PROGRAM", "-m", "tiny", "-i", "FILE"],
    "verify --machine": ["verify", "PROGRAM", "-m", "FILE"],
    "estimate PROGRAM": ["estimate", "FILE"],
    "estimate --machine": ["estimate", "PROGRAM", "-m", "FILE"],
    "estimate --technology": ["estimate", "PROGRAM", "--technology", "FILE"],
    "allocate PROGRAM": ["allocate", "FILE", "-s", "LOSSES", "-b", "energy_pj=1e9"],
    "allocate --sensitivities": ["allocate", "PROGRAM", "-s", "FILE", "-b", "energy_pj=1e9"],
    "allocate --machine": ["allocate", "PROGRAM", "-s", "LOSSES", "-b", "energy_pj=1e9", "-m", "FILE"],
    "assemble PROGRAM": ["assemble", "FILE", "-m", "tiny", "-o", "OUT"],
    "assemble --machine": ["assemble", "PROGRAM", "-m", "FILE", "-o", "OUT"],
    "disassemble IMAGE": ["disassemble", "FILE", "-m", "tiny"],
    "disassemble --machine": ["disassemble", "IMAGE", "-m", "FILE"],
    "generate --machine": ["generate", "-o", "OUT", "-m", "FILE"],
    "demo --machine": ["demo", "-o", "OUT", "-m", "FILE"],
    "train --data": ["train", "resnet8", "-o", "OUT", "-d", "FILE"],
    "train --weights": ["train", "digits", "-d", "digits", "-o", "OUT", "--scheme", "lsq", "--weights", "FILE"],
    "train --machine": ["train", "digits", "-d", "digits", "-o", "OUT", "-m", "FILE"],
    "quantize WEIGHTS": ["quantize", "digits", "FILE", "-d", "digits", "-o", "OUT"],
    "quantize --data": ["quantize", "digits", "WEIGHTS", "-d", "FILE", "-o", "OUT"],
    "quantize --machine": ["quantize", "digits", "WEIGHTS", "-d", "digits", "-o", "OUT", "-m", "FILE"],
}
KINDS = ["none", "pipe", "text", "sparse", "escapes", "unreadable"]
RARE_KINDS = ["folder", "socket", "/dev/zero", "/dev/null/x", "/proc/self/mem", "empty", "zeros", "png", "long name",
              "link loop", "not UTF-8"]
ENDLESS = ["/dev/zero", "/proc/self/mem", "sparse"]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Files that are right, for the places that are not tried."""
    folder = tmp_path_factory.mktemp("good")
    program = random_program(np.random.default_rng(11), load_machine("tiny"), layers=2)
    save_program(program, folder / "p")
    (folder / "losses").write_text(json.dumps({"bits": [2, 3], "weight": {}, "activation": {}}))
    return {"PROGRAM": str(folder / "p"), "LOSSES": str(folder / "losses"), "IMAGE": str(folder / "p"),
            "WEIGHTS": str(folder / "p"), "OUT": str(folder / "out")}


@pytest.fixture(params=[*KINDS, *(pytest.param(kind, marks=pytest.mark.nightly) for kind in RARE_KINDS)])
def file(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A path that no command can use."""
    kind, path = request.param, tmp_path / "x"
    if kind.startswith("/"):
        yield kind
        return
    match kind:
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "socket":
            os.mknod(path, stat.S_IFSOCK | 0o600)
        case "link loop":
            path.symlink_to(path)
        case "sparse":
            with path.open("wb") as stream:
                stream.truncate(1 << 40)
        case "long name":
            path = tmp_path / ("n" * 300)
        case "escapes":
            path = tmp_path / "[red]\x1b[2J\n\u202e"
            path.write_text("x")
        case "unreadable":
            path.write_text("x")
            _refuse(monkeypatch, str(path))
        case "none":
            pass
        case _:
            path.write_bytes({"empty": b"", "text": b"words: [of, text]\n", "zeros": bytes(1 << 16),
                              "not UTF-8": b"\xff\xfe\0", "png": b"\x89PNG\r\n\x1a\n" + bytes(100)}[kind])
    yield str(path)


def _refuse(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """Whoever runs the tests, even root, may not read this file."""
    real = os.open

    def guarded(name: str | Path, *arguments: int, **options: int | None) -> int:
        if os.fspath(name) == path:
            raise PermissionError(13, "Permission denied", path)
        return real(name, *arguments, **options)

    monkeypatch.setattr("os.open", guarded)


@pytest.mark.parametrize("place", PLACES)
def test_what_is_no_file_for_a_command_is_one_sentence(place: str, file: str, good: dict[str, str],
                                                       request: pytest.FixtureRequest,
                                                       capfd: pytest.CaptureFixture[str]) -> None:
    """Status 1, one printable line, nothing on stdout, nothing written, no wait, and no memory for what is not read."""
    words, peak_bytes = [file if word == "FILE" else good.get(word, word) for word in PLACES[place]], 0
    if request.node.callspec.params["file"] in ENDLESS:
        tracemalloc.start()
        status = main(words)
        peak_bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    else:
        status = main(words)
    out, error = capfd.readouterr()
    assert (status, out) == (1, "")
    assert re.fullmatch(r"bitwright: (?!not enough memory).+\n", error)
    assert error[:-1].isprintable()
    assert len(error) < 1000
    assert peak_bytes < 1 << 26
    assert not Path(good["OUT"]).exists()


WRITTEN = {
    "simulate --out": ["simulate", "PROGRAM", "-o", "PLACE"],
    "assemble --out": ["assemble", "PROGRAM", "-m", "tiny", "-o", "PLACE"],
    "generate --out": ["generate", "-m", "tiny", "-o", "PLACE"], "demo --out": ["demo", "-o", "PLACE"],
    "train --out": ["train", "digits", "-d", "digits", "-o", "PLACE"],
}


@pytest.mark.parametrize("kind", ["pipe", "link loop", "long name", "below a file", "/dev/full/x"])
@pytest.mark.parametrize("place", WRITTEN)
def test_what_cannot_be_written_is_one_sentence(place: str, kind: str, good: dict[str, str], tmp_path: Path,
                                                capfd: pytest.CaptureFixture[str]) -> None:
    """Status 1 and one printable line, before anything is trained; nothing is left."""
    path = Path(kind) if kind.startswith("/") else tmp_path / ("n" * 300 if kind == "long name" else "x")
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "link loop":
        path.symlink_to(path)
    elif kind == "below a file":
        path.touch()
        path = path / "y"
    before = sorted(tmp_path.rglob("*"))
    assert main([str(path) if word == "PLACE" else good.get(word, word) for word in WRITTEN[place]]) == 1
    out, error = capfd.readouterr()
    assert out == ""
    assert re.fullmatch(r"bitwright: cannot .+\n", error)
    assert error[:-1].isprintable()
    assert sorted(tmp_path.rglob("*")) == before
