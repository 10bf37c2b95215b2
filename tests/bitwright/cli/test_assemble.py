"""`bitwright assemble` and `bitwright disassemble`."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bitwright.cli.app import main
from sim.ir.arithmetic import Arithmetic
from sim.ir.formats import Format
from sim.ir.ops import Conv, Tensor
from sim.ir.program import Program
from sim.ir.serialize import save_program


@pytest.fixture
def assembled(tmp_path):
    """A layer for `tiny`, assembled into a folder."""
    conv = Conv("layer", "image", "out", np.ones((2, 4, 1, 1), np.int8), Format(2, "signed"),
                np.ones((2, 1), np.int8), np.zeros(2, np.int64), np.zeros(2, np.int64), -8, 7)
    tensors = Tensor("image", 3, 2, (4,), Format(3, "unsigned")), Tensor("out", 3, 2, (2,), Format(4, "signed"))
    save_program(Program(tensors, (conv,), Arithmetic(acc_bits=24, window=10, terms=3)), tmp_path / "layer.safetensors")
    assert main(["assemble", str(tmp_path / "layer.safetensors"), "-m", "tiny", "-o", str(tmp_path / "out")]) == 0
    return tmp_path / "out"


def test_assembled_files_are_named(assembled, capsys):
    """The table on stdout names the three files with their sizes."""
    capsys.readouterr()
    assert main(["assemble", str(assembled.parent / "layer.safetensors"), "-m", "tiny", "-o", str(assembled)]) == 0
    out = " ".join(capsys.readouterr().out.split())
    for file in ("program.bin", "stream.bin", "manifest.json"):
        assert f"{assembled / file} {(assembled / file).stat().st_size:,}" in out


def test_an_image_is_shown_by_names(assembled, capsys):
    """A line for every op of every queue, with its fields; zeros are left out."""
    capsys.readouterr()
    assert main(["disassemble", str(assembled / "program.bin"), "-m", "tiny"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("compute 0: Conv, op 1, after 1 loads: last=1 ")
    assert " bits_w=1 signed_w=1 bits_a=2 " in lines[0]
    assert " low=-8 high=7 " in lines[0]
    assert [line.partition(":")[0] for line in lines[1:-1]] == ["inward 0", "inward 1", "outward 0"]
    assert lines[1].startswith("inward 0: Load, op 0, after nothing: last=5")
    assert lines[2].startswith("inward 1: row tiles, op 1, after nothing: words=2")
    assert lines[3].startswith("outward 0: Store, op 2, after 1 computes: first=")


def test_json_has_every_field_and_its_meaning(assembled, capsys):
    """With --json, fields that are 0 are there too, and each is explained."""
    capsys.readouterr()
    assert main(["disassemble", str(assembled / "program.bin"), "-m", "tiny", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["compute"][0]["bipolar"] == 0
    for table in ("compute", "inward", "outward"):
        assert all(set(word) == set(found["meanings"][table]) for word in found[table])


@pytest.mark.parametrize(("content", "message"), [
    (None, "bitwright: no program image '{path}'\n"),
    (b"", "bitwright: a program image has at least 16 bytes, not 0\n"),
    (bytes(40), "bitwright: this is not a program image: its magic is 0x0, not 0x49505742\n")])
def test_what_is_no_image_is_a_sentence(tmp_path, capsys, content, message):
    """A file that is missing, too short or of something else: exit status 1 and one sentence."""
    path = tmp_path / "program.bin"
    if content is not None:
        path.write_bytes(content)
    assert main(["disassemble", str(path), "-m", "tiny"]) == 1
    assert capsys.readouterr().err == message.format(path=path)


def test_another_machine_is_refused(assembled, capsys):
    """An image for `tiny` is none for `edge`."""
    assert main(["disassemble", str(assembled / "program.bin"), "-m", "edge"]) == 1
    assert capsys.readouterr().err.startswith("bitwright: the program image is not for machine 'edge'")
