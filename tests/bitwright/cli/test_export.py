"""`bitwright export` writes a Program as an ONNX model and says what is in it."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from bitwright.cli.app import main
from bitwright.codesign.export import export_onnx
from bitwright.interop.onnx_run import run_onnx
from sim.errors import InputError
from sim.functional.reference import simulate
from sim.ir.program import Program
from sim.ir.serialize import save_program
from sim.testing import corner_inputs, random_machine, random_program

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def program() -> Program:
    """Three layers, with tensors that are no outputs."""
    rng = np.random.default_rng(7)
    return random_program(rng, random_machine(rng), traits=["residual"])


@pytest.fixture
def path(program: Program, tmp_path: Path) -> Path:
    save_program(program, tmp_path / "p.safetensors")
    return tmp_path / "p.safetensors"


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    """Run a command; exit status, stdout and stderr."""
    def run(*arguments: object) -> tuple[int, str, str]:
        status = main([str(argument) for argument in arguments])
        return status, *capfd.readouterr()
    return run


def test_the_file_gives_the_codes_of_every_tensor(run: Run, path: Path, program: Program, tmp_path: Path) -> None:
    """What is written runs in ONNX Runtime, and the report names its inputs, outputs and operators."""
    status, out, _ = run("export", path, tmp_path / "m.onnx", "--tensors", "--json")
    data, model = json.loads(out), onnx.load(tmp_path / "m.onnx")
    inputs = corner_inputs(np.random.default_rng(0), program, 2)
    found, expected = run_onnx(model, inputs), simulate(program, inputs)
    assert status == 0
    assert {name: codes.tolist() for name, codes in found.items()} == {
        name: codes.tolist() for name, codes in expected.items()}
    assert (data["file"], data["bytes"]) == (str(tmp_path / "m.onnx"), (tmp_path / "m.onnx").stat().st_size)
    assert sum(data["nodes"].values()) == len(model.graph.node)
    roles = {row["name"]: row["role"] for row in data["values"]}
    assert roles == {t.name: "input" if t in program.inputs else "output" for t in program.tensors}
    first = program.inputs[0]
    assert data["values"][0] == {"role": "input", "name": first.name, "shape": ["N", *first.shape],
                                 "type": "int8" if first.format.kind == "signed" else "uint8",
                                 "format": str(first.format)}


def test_a_qonnx_model_has_quants(run: Run, path: Path, program: Program, tmp_path: Path) -> None:
    """One for each input and two for each Conv, of its weights and of what it puts out."""
    status, out, _ = run("export", path, tmp_path / "q.onnx", "--dialect", "qonnx", "--json")
    data = json.loads(out)
    assert (status, data["dialect"]) == (0, "qonnx")
    assert data["nodes"]["Quant"] + data["nodes"].get("BipolarQuant", 0) == len(program.inputs) + 2 * len(program.convs)
    assert data["values"][0]["shape"] == [1, *program.inputs[0].shape]


def test_the_dialect_is_one_that_there_is(program: Program, tmp_path: Path) -> None:
    """In Python an unknown one is refused, and nothing is written."""
    with pytest.raises(InputError, match=r"^the dialect must be onnx or qonnx, not tflite$"):
        export_onnx(program, tmp_path / "m", dialect="tflite")
    assert not (tmp_path / "m").exists()


def test_people_see_the_same(run: Run, path: Path, program: Program, tmp_path: Path) -> None:
    """A table of inputs and outputs, and a line that counts the nodes."""
    status, out, _ = run("export", path, tmp_path / "m.onnx")
    assert status == 0
    assert f"{tmp_path / 'm.onnx'}, {(tmp_path / 'm.onnx').stat().st_size:,} bytes\n" in out
    assert f"{len(program.convs)} ConvInteger" in out.splitlines()[-1]


def test_scales_come_from_a_summary(run: Run, path: Path, program: Program, tmp_path: Path) -> None:
    """The scales that quantize and train write beside a Program are in the metadata of the model."""
    name = program.inputs[0].name
    (tmp_path / "summary.json").write_text(json.dumps({"scales": {name: 0.125}, "accuracy": 1}))
    assert run("export", path, tmp_path / "m.onnx", "--scales", tmp_path / "summary.json")[0] == 0
    properties = {entry.key: entry.value for entry in onnx.load(tmp_path / "m.onnx").metadata_props}
    assert json.loads(properties["bitwright_tensors"])[name]["scale"] == 0.125


@pytest.mark.parametrize(("text", "sentence"), [
    ('[]', "must be an object with an entry 'scales', an object of numbers"),
    ('{"scales": [1]}', "must be an object with an entry 'scales', an object of numbers"),
    ('{"scales": {"t0": true}}', "the scale of tensor 't0' must be a number, not True"),
    ('{"scales": {"t0": "1"}}', "the scale of tensor 't0' must be a number, not 1")])
def test_bad_scales_are_one_sentence(run: Run, path: Path, tmp_path: Path, text: str, sentence: str) -> None:
    """A file without numbers by names is refused, and nothing is written."""
    (tmp_path / "s.json").write_text(text)
    status, _, error = run("export", path, tmp_path / "m.onnx", "--scales", tmp_path / "s.json")
    assert (status, error) == (1, f"bitwright: scales '{tmp_path / 's.json'}': {sentence}\n")
    assert not (tmp_path / "m.onnx").exists()


def test_what_is_read_is_not_written_over(run: Run, path: Path) -> None:
    """The Program stays what it was."""
    before = path.read_bytes()
    status, _, error = run("export", path, path)
    assert status == 1
    assert error.endswith("is read by this command and would be written over: write somewhere else\n")
    assert path.read_bytes() == before
