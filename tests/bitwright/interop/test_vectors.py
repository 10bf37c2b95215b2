"""Golden vectors: what each file holds, and what Verilog reads of it."""

import hashlib
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from bitwright.cli.app import main
from bitwright.interop.hex_words import hex_lines
from bitwright.interop.vectors import write_vectors
from quant.reference import run_reference
from sim.functional.reference import simulate
from sim.functional.requantize import requantize
from sim.ir.program import Program
from sim.ir.serialize import save_program
from sim.ir.signed_digits import multipliers
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
    """Codes are those of torch's reference; accumulators lead to them; hex files hold both; hashes are the files'."""
    inputs = corner_inputs(np.random.default_rng(0), program, 3)
    manifest = write_vectors(program, inputs, tmp_path / "g", {"seed": 7})
    assert json.loads((tmp_path / "g" / "manifest.json").read_text()) == json.loads(json.dumps(manifest))
    codes, sums = (dict(np.load(tmp_path / "g" / name)) for name in ("codes.npz", "accumulators.npz"))
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
        assert made == codes[conv.output][:, target.part_slice(conv.output_part)].reshape(-1).tolist()
    for row, array in [*((row, codes[row["name"]]) for row in manifest["tensors"]),
                       *((row, sums[row["op"]]) for row in manifest["accumulators"])]:
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
