"""Golden vectors: what each file holds, and what Verilog reads of it."""

import hashlib
import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open

from bitwright.cli.app import main
from bitwright.interop.hex_words import hex_lines
from bitwright.interop.vectors import write_vectors
from quant.reference import run_reference
from rtl.host.assembler import PROGRAM, write_assembly
from sim.arch.machine import load_machine
from sim.functional.reference import simulate
from sim.functional.requantize import requantize
from sim.ir.ops import Queue
from sim.ir.program import Program
from sim.ir.serialize import save_program
from sim.ir.signed_digits import multipliers
from sim.mapping.activation_layout import bank_contents
from sim.plan.plan import plan
from sim.testing import RandomChoices, SteeredChoices, corner_inputs, random_machine, random_program


@pytest.fixture(scope="module")
def program() -> Program:
    """Three layers whose sums wrap, with a residual and a tensor of several parts."""
    rng = np.random.default_rng(4)
    machine = random_machine(rng).model_copy(update={"acc_bits": 10})
    hints = [{"wrap": [True], "layers": [3], "rounding": ["half_up"], "concat": [True], "residual": [True]}]
    choices = SteeredChoices(RandomChoices(rng), hints, obedience=1)
    drawn = random_program(choices, machine, kinds=["dense"], traits=["wrap", "residual", "concat"])
    assert (drawn.arithmetic.wrap, drawn.arithmetic.rounding) == (True, "half_up")
    assert any(conv.residual for conv in drawn.convs)
    assert any(len(tensor.parts) > 1 for tensor in drawn.tensors)
    return drawn


def words(path: Path, bits: int) -> list[int]:
    """Return what the lines of a hex file mean in two's complement, read by Python's own parser."""
    lines = path.read_text().splitlines()
    assert {len(line) for line in lines} == {-(-bits // 4)}
    assert all(int(line, 16) < 1 << bits for line in lines)
    return [int(line, 16) for line in lines]


def test_files_hold_codes_and_accumulators(program: Program, tmp_path: Path) -> None:
    """Codes are torch's; accumulators and values lead to them; hex files hold them all; hashes are the files'."""
    inputs = corner_inputs(np.random.default_rng(0), program, 3)
    manifest = write_vectors(program, inputs, tmp_path / "g", {"seed": 7})
    assert json.loads((tmp_path / "g" / "manifest.json").read_text()) == json.loads(json.dumps(manifest))
    codes, sums, values = (dict(np.load(tmp_path / "g" / name))
                           for name in ("codes.npz", "accumulators.npz", "values.npz"))
    for name, array in run_reference(program, inputs).items():
        np.testing.assert_array_equal(codes[name], array)
    for conv in program.convs:
        assert abs(sums[conv.name]).max() <= 512
        target, m = program.tensor(conv.output), multipliers(conv.multiplier)
        r = multipliers(conv.residual_multiplier) if conv.residual else 0 * m
        other = (codes[conv.residual][:, program.tensor(conv.residual).part_slice(conv.residual_part)]
                 if conv.residual else 0 * sums[conv.name])
        made = [requantize(int(acc), int(other[n, o, y, x]), int(m[o]), int(r[o]), 0, int(conv.offset[o]),
                           int(conv.shift[o]), 0, target.format.zero_point, conv.low, conv.high)
                for (n, o, y, x), acc in np.ndenumerate(sums[conv.name])]
        m, r, offset = (array[None, :, None, None] for array in (m, r, conv.offset))
        np.testing.assert_array_equal(values[conv.name], offset + m * sums[conv.name].astype(np.int64) + r * other)
        assert made == codes[conv.output][:, target.part_slice(conv.output_part)].reshape(-1).tolist()
    for row, array in [*((row, codes[row["name"]]) for row in manifest["tensors"]),
                       *((row, sums[row["op"]]) for row in manifest["accumulators"]),
                       *((row, values[row["op"]]) for row in manifest["values"])]:
        assert (tuple(row["shape"]), row["words"]) == (array.shape, array.size)
        assert words(tmp_path / "g" / row["hex"], row["bits"]) == [
            int(code) % (1 << row["bits"]) for code in array.reshape(-1)]
    files = {path.name for path in (tmp_path / "g").iterdir()} - {"manifest.json"}
    assert manifest["sha256"] == {
        name: hashlib.sha256((tmp_path / "g" / name).read_bytes()).hexdigest() for name in files}


def test_the_manifest_names_program_inputs_and_formats(program: Program, tmp_path: Path) -> None:
    """The Program's hash is that of its file; roles and formats are those of its tensors."""
    save_program(program, tmp_path / "p.safetensors")
    words = ["vectors", str(tmp_path / "p.safetensors"), "-o", str(tmp_path / "g"), "-n", "2", "--seed", "5"]
    assert main(words) == 0
    first = json.loads((tmp_path / "g" / "manifest.json").read_text())
    with safe_open(tmp_path / "p.safetensors", "numpy") as file:
        assert first["program_sha256"] == file.metadata()["sha256"]
    assert (first["inputs"], first["images"], first["version"]) == ({"seed": 5}, 2, 1)
    assert first["arithmetic"]["acc_bits"] == 10
    for row, tensor in zip(first["tensors"], program.tensors, strict=True):
        assert row["name"] == tensor.name
        assert row["format"] == {"bits": tensor.format.bits, "kind": tensor.format.kind,
                                 "zero_point": tensor.format.zero_point}
        assert row["role"] == ("input" if tensor in program.inputs else
                               "output" if tensor in program.outputs else "inner")
    with np.load(tmp_path / "g" / "codes.npz") as codes:
        np.savez(tmp_path / "in.npz", **{tensor.name: codes[tensor.name] for tensor in program.inputs})
    assert main([*words[:4], "-i", str(tmp_path / "in.npz"), "--json"]) == 0
    again = json.loads((tmp_path / "g" / "manifest.json").read_text())
    assert again["inputs"] == {"file": "in.npz"}
    assert again["sha256"] == first["sha256"]


def test_verilog_reads_the_words(tmp_path: Path) -> None:
    """Icarus Verilog's $readmemh gives the codes back, signed ones through a signed register."""
    codes = np.array([-8, 7, 0, -1, 3, -5], np.int32)
    (tmp_path / "codes.hex").write_bytes(b"".join(hex_lines(codes, 4)))
    (tmp_path / "read.v").write_text("""
module read;
  reg signed [3:0] codes [0:5];
  integer i;
  initial begin
    $readmemh("codes.hex", codes);
    for (i = 0; i < 6; i = i + 1) $display("%0d", codes[i]);
  end
endmodule
""")
    subprocess.run(["iverilog", "-o", "read.vvp", "read.v"], cwd=tmp_path, check=True)
    done = subprocess.run(["vvp", "read.vvp"], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert [int(line) for line in done.stdout.splitlines()] == codes.tolist()


def test_many_words_are_written_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a piece ends changes nothing; 32 bits are the widest word."""
    codes = np.random.default_rng(0).integers(-(1 << 31), 1 << 31, (3, 7))
    whole = b"".join(hex_lines(codes, 32))
    monkeypatch.setattr("bitwright.interop.hex_words.AT_ONCE", 4)
    assert b"".join(hex_lines(codes, 32)) == whole
    assert whole.decode().split() == [f"{int(code) % (1 << 32):08x}" for code in codes.reshape(-1)]


def test_names_that_are_no_file_names(tmp_path: Path) -> None:
    """Tensors that differ in odd characters alone have files of their own."""
    rng = np.random.default_rng(3)
    drawn = random_program(rng, random_machine(rng), kinds=["max"], layers=1, traits=[])
    first, second = drawn.tensors
    (pool,) = drawn.ops
    program = Program((type(first)("a/b é", *first.shape[1:], first.parts, first.format),
                       type(second)("a/b ü", *second.shape[1:], second.parts, second.format)),
                      (pool.on_operands("p", ["a/b é"], "a/b ü", pool.pads),))
    inputs = corner_inputs(rng, program, 1)
    manifest = write_vectors(program, inputs, tmp_path, {})
    assert [row["hex"] for row in manifest["tensors"]] == ["tensor0.a_b__.hex", "tensor1.a_b__.hex"]
    assert words(tmp_path / "tensor1.a_b__.hex", second.format.bits) == [
        int(code) % (1 << second.format.bits) for code in simulate(program, inputs)["a/b ü"].reshape(-1)]


def test_memories_and_streams_are_those_of_the_machine(tmp_path: Path) -> None:
    """Verilog reads every file through `vectors.sv`; banks hold the codes, rows the weights, streams what passes."""
    rng, machine = np.random.default_rng(2), load_machine("tiny")
    choices = SteeredChoices(RandomChoices(rng), [{"table": [True], "layers": [2], "channels": [6]}] * 2)
    drawn = random_program(choices, machine, layers=2, kinds=["dense"], traits=["table"])
    planned = plan(drawn, machine)
    inputs = corner_inputs(rng, drawn, 2)
    manifest = write_vectors(drawn, inputs, tmp_path, {"seed": 2}, planned)
    files = {row["hex"]: row for kind in ("tensors", "accumulators", "values", "requantized") for row in manifest[kind]}
    files |= {row["hex"]: row for row in manifest["machine"]["files"]}
    read = read_by_verilog(tmp_path, files)
    assert read == {file: [line for line in (tmp_path / file).read_text().split() if line[0] != "@"] for file in files}
    codes = simulate(planned.program, inputs)
    for row in manifest["machine"]["files"]:
        if "tensor" in row:
            tensor = planned.program.tensor(row["tensor"])
            bank = bank_contents(codes[tensor.name][row["image"]], tensor, machine)[row["bank"]]
            assert [int(word, 16) for word in read[row["hex"]]] == [
                int("".join(map(str, bits[::-1])), 2) for bits in bank.tolist()]
            assert row["address"] == planned.bases[tensor.name]
    write_assembly(planned, tmp_path / "board")
    image = b"".join(int(beat, 16).to_bytes(2, "little") for beat in read["stream.program.hex"])
    assert image == (tmp_path / "board" / PROGRAM).read_bytes()
    beats = sum(schedule.stream_beats for schedule in planned.schedules if schedule.queue is not Queue.STORE)
    assert len(read["stream.inward.image1.hex"]) == beats
    tile = manifest["machine"]["row_tiles"][0]
    conv = planned.program.convs[0]
    (plane, *_), bit = (read["memory.weights.row1.hex"][tile["first_weight"] :], 1)
    assert int(plane, 16) >> bit & 1 == int(conv.weights[1, 1, 0, 0]) & 1


def read_by_verilog(folder: Path, files: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the words of every array of `vectors.sv`, as Icarus Verilog prints them."""
    names = {file: re.sub("[^A-Za-z0-9_]", "_", file.removesuffix(".hex"))
             for file, row in files.items() if row["words"]}
    prints = "".join(f'    for (i = {files[file].get("address", 0)}; '
                     f'i < {files[file].get("address", 0) + files[file]["words"]}; i = i + 1)\n'
                     f'      $display("{file} %h", vectors.{name}[i]);\n' for file, name in names.items())
    (folder / "show.sv").write_text("module show;\n  bitwright_vectors vectors();\n  integer i;\n"
                                    f"  initial begin\n    #1;\n{prints}  end\nendmodule\n")
    command = ["iverilog", "-g2012", "-s", "show", "-o", "show.vvp", "show.sv", "vectors.sv"]
    subprocess.run(command, cwd=folder, check=True)
    told = subprocess.run(["vvp", "show.vvp"], cwd=folder, check=True, capture_output=True, text=True)
    found: dict[str, list[str]] = {file: [] for file in files}
    for line in told.stdout.splitlines():
        file, word = line.split()
        found[file].append(word)
    return found
