"""What a board's host gets: image, stream and manifest."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from rtl.encoding.geometry import Geometry
from rtl.encoding.hardware_id import signature
from rtl.encoding.program_image import program_image
from rtl.encoding.stream_bytes import tensor_bytes, tensor_codes, word_bytes
from rtl.host.assembler import assemble, write_assembly
from sim.arch.machine import load_machine
from sim.errors import InputError
from sim.functional.reference import simulate
from sim.ir.formats import Format
from sim.ir.ops import Tensor
from sim.plan.host_stream import RowTileItem, TableItem
from sim.plan.plan import plan
from sim.testing import corner_inputs, random_program


@pytest.fixture(params=range(4))
def planned(request):
    """Random Programs with transfers on `tiny`."""
    rng, machine = np.random.default_rng(request.param), load_machine("tiny")
    while True:
        try:
            return plan(random_program(rng, machine), machine)
        except InputError:
            continue


def tensor_of(manifest, name):
    """A tensor as the manifest describes it."""
    entry = manifest["tensors"][name]
    _, height, width = entry["shape"]
    fmt = Format(entry["bits"], entry["kind"], entry["zero_point"])
    return Tensor(name, height, width, tuple(entry["parts"]), fmt)


def test_the_manifest_tells_a_whole_run(planned):
    """With tensors put where the manifest says, the stream is what the machine takes, and results are found back."""
    found, machine = assemble(planned), planned.machine
    codes = {name: maps[0] for name, maps in
             simulate(planned.program, corner_inputs(np.random.default_rng(0), planned.program, 1)).items()}
    stream, expected = bytearray(found.stream), b""
    for entry in found.manifest["send"]:
        if "tensor" in entry:
            rows = codes[entry["host"]][slice(*entry["channels"]), slice(*entry["rows"])]
            packed = tensor_bytes(rows, tensor_of(found.manifest, entry["tensor"]), machine)
            assert len(packed) == entry["bytes"]
            stream[entry["offset"] : entry["offset"] + entry["bytes"]] = packed
    for item in planned.inward():
        expected += (word_bytes(item.words, machine) if isinstance(item, RowTileItem | TableItem)
                     else tensor_bytes(item.view(codes[item.host]), item.tensor, machine))
    assert bytes(stream) == expected
    for entry in found.manifest["receive"]:
        tensor = tensor_of(found.manifest, entry["tensor"])
        packet = tensor_bytes(codes[entry["tensor"]], tensor, machine)
        assert len(packet) == entry["bytes"]
        rows = codes[entry["host"]][slice(*entry["channels"]), slice(*entry["rows"])]
        assert np.array_equal(tensor_codes(packet, tensor, machine), rows)


def test_loads_say_what_they_wait_for(planned):
    """`after_stores` of a Load is what the plan says."""
    waits = {op.name: wait.written for op, wait in zip(planned.program.ops, planned.waits, strict=True)}
    loads = [entry for entry in assemble(planned).manifest["send"] if "tensor" in entry]
    assert loads
    assert all(entry["after_stores"] == waits[entry["op"]] for entry in loads)


def test_files_hold_the_same(planned, tmp_path):
    """The three files are the assembly's image, stream and manifest."""
    files = write_assembly(planned, tmp_path / "out")
    found = assemble(planned)
    assert [file.name for file in files] == ["program.bin", "stream.bin", "manifest.json"]
    assert files[0].read_bytes() == found.image == program_image(planned)
    assert files[1].read_bytes() == found.stream
    manifest = json.loads(files[2].read_text())
    assert manifest == found.manifest
    assert manifest["signature"] == signature(Geometry(planned.machine))
    assert manifest["cycles"] == planned.timeline.total


def test_a_folder_that_cannot_be_made_is_refused(planned, tmp_path):
    """A file where the folder should be is the user's mistake."""
    (tmp_path / "out").write_text("")
    message = f"cannot create the folder {tmp_path / 'out'}: File exists"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        write_assembly(planned, tmp_path / "out")
