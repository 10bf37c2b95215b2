"""`bitwright train` and `bitwright quantize`: from nothing to a Program, as a user goes."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from bitwright.cli.app import main
from quant.data.registry import load_data
from sim.functional.reference import simulate
from sim.ir.serialize import load_program

Run = Callable[..., tuple[int, str, str]]


WEIGHTS = Path(__file__).parents[2] / "quant" / "weights" / "float.safetensors"
"""A float network of the digits, the same on every machine."""

CHANCE = 0.1
"""Of ten digits; what training gains on it is far from any luck."""

HISTORY = ["history.csv", "history.json", "history.svg"]
LAYERS = ["layers.csv", "layers.json", "layers.svg"]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: object) -> tuple[int, str, str]:
        status = main([str(argument) for argument in arguments])
        return status, *capfd.readouterr()
    return run


def accuracy_of(folder: Path) -> float:
    """Accuracy of the Program on the test images, computed here."""
    program, data = load_program(folder / "program.safetensors"), load_data("digits").test
    (source,), (target,) = program.inputs, program.outputs
    codes = data.codes(slice(None)).numpy().astype(np.int32)
    logits = simulate(program, {source.name: codes})[target.name].reshape(len(data), -1)
    return float(np.mean(logits.argmax(1) == data.labels.numpy()))


@pytest.mark.trains
def test_a_float_network(run: Run, tmp_path: Path) -> None:
    """Trained from nothing: its weights and its accuracy, and no Program, since there are no codes."""
    status, stdout, stderr = run("train", "digits", "-d", "digits", "-o", tmp_path, "--epochs", 3, "--batch", 64,
                                 "--json")
    assert status == 0, stderr
    assert json.loads(stdout)["accuracy"]["test"] > CHANCE + 0.3
    assert "epoch 3/3, loss " in stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "float.checkpoint", *HISTORY, "model.safetensors", "summary.json"]
    assert [record["epoch"] for record in json.loads(stdout)["history"]["float"]] == [1, 2, 3]
    assert re.search(r"float: epoch 1/3, .* validation accuracy [\d.]+ %, \d+ s, about \d+ s left", stderr)
    assert load_file(tmp_path / "model.safetensors").keys() == load_file(WEIGHTS).keys()


@pytest.mark.trains
def test_one_width_after_another(run: Run, tmp_path: Path) -> None:
    """QIL by way of 4/4 to 3/3, with zero points: a Program whose accuracy is the one that is told, and progress on
    stderr."""
    status, stdout, stderr = run("train", "digits", "-d", "digits", "-o", tmp_path, "--scheme", "qil", "-b", "4/4",
                                 "-b", "3/3", "--weights", WEIGHTS, "--epochs", 2, "--batch", 64, "--asymmetric",
                                 "--json")
    assert status == 0, stderr
    told = json.loads(stdout)
    assert told["bits"] == ["4/4", "3/3"]
    assert told["accuracy"]["test"] == accuracy_of(tmp_path) > CHANCE + 0.3
    assert json.loads((tmp_path / "summary.json").read_text())["accuracy"] == told["accuracy"]
    assert "3+3: epoch 2/2, loss " in stderr
    program = load_program(tmp_path / "program.safetensors")
    assert {conv.weight_format.bits for conv in program.convs} == {1, 3, 8}
    assert told["asymmetric"]
    assert any(tensor.format.zero_point for tensor in program.tensors)
    assert sorted(Path(path).name for path in told["files"]) == [
        *HISTORY, *LAYERS, "model.safetensors", "program.safetensors", "summary.json"]
    assert json.loads((tmp_path / "layers.json").read_text()) == told["layers"]
    assert {layer["weight_bits"] for layer in told["layers"]} == {None, 3, 8}
    assert all(layer["output_sqnr_db"] is not None for layer in told["layers"] if layer["kind"] != "input")


@pytest.mark.trains
@pytest.mark.usefixtures("one_thread")
def test_the_same_command_goes_on(run: Run, tmp_path: Path) -> None:
    """A finished training is not done again and gives the same files; another recipe is refused."""
    command = ("train", "digits", "-d", "digits", "-o", tmp_path, "--scheme", "lsq", "--weights", WEIGHTS, "--batch",
               64)
    assert run(*command, "--epochs", 1)[0] == 0
    first = (tmp_path / "model.safetensors").read_bytes()
    status, _, stderr = run(*command, "--epochs", 1)
    assert (status, "epoch" in stderr) == (0, False)
    assert (tmp_path / "model.safetensors").read_bytes() == first
    status, _, stderr = run(*command, "--epochs", 2)
    assert status == 1
    assert re.search(r"4\+4\.checkpoint' is of another run: its epochs is 1, not 2", stderr)


@pytest.mark.trains
@pytest.mark.parametrize("scheme", ["power_of_two", "uniform"])
def test_quantizing_without_training(run: Run, tmp_path: Path, scheme: str) -> None:
    """Two-bit weights from a few iterations; strict steps are powers of two, the others are not, with zero points and
    a width of their own for tensors of both signs."""
    options = ["--asymmetric", "--ranges", "percentile", "--signed-bits", 6] if scheme == "uniform" else []
    status, stdout, stderr = run("quantize", "digits", WEIGHTS, "-d", "digits", "-o", tmp_path, "-b", "2/4", "--scheme",
                                 scheme, "--iterations", 10, "--json", *options)
    assert status == 0, stderr
    told = json.loads(stdout)
    tensors = load_program(tmp_path / "program.safetensors").tensors
    assert told["ranges"] == {"uniform": "percentile", "power_of_two": "mse"}[scheme]
    assert told["asymmetric"] == any(tensor.format.zero_point for tensor in tensors) == (scheme == "uniform")
    assert any(tensor.format.bits == 6 for tensor in tensors) == (scheme == "uniform")
    assert told["accuracy"]["test"] == accuracy_of(tmp_path)
    assert all(after <= before for before, after in told["distances"].values())
    steps = [step for name, them in told["steps"].items() if name != "x_quantizer" for step in them]
    assert all(abs(np.frexp(step)[0]) == 0.5 for step in steps) == (scheme == "power_of_two")
    assert told["equalized"] == {}  # a shortcut reads what its depthwise convolutions do
    assert "'block1.conv2' reconstructed, distance from float " in stderr


@pytest.mark.parametrize(("arguments", "message"), [
    (("train", "resnet9", "-o", "x"), r"no network 'resnet9': give one of digits, resnet8, "),
    (("train", "digits", "-d", "digits", "-o", "x", "--scheme", "lsq"), "give the weights of 'digits'"),
    (("train", "digits", "-d", "digits", "-o", "x", "--kd-weight", "0.5"), "a float network has no quantizers"),
    (("train", "digits", "-d", "digits", "-o", "x", "--scheme", "lsq", "-b", "4", "--weights", "w"),
     "bits are WEIGHTS/ACTIVATIONS, such as 4/4, not '4'"),
    (("train", "digits", "-d", "digits", "-o", "x", "--asymmetric"), "a float network has no quantizers"),
    (("train", "digits", "-d", "digits", "-o", "x", "--distillation", "0.5"), "a float network has no quantizers"),
    (("train", "resnet18", "-d", "digits", "-o", "x"), "network 'resnet18' reads images of 3 channels"),
    (("train", "resnet8", "-d", "none", "-o", "x"), "no data 'none': give one of digits, glyphs, an "),
    (("train", "digits", "-d", "digits", "-o", "x", "--scheme", "lsq", "--weights", "w.pth"), r"no weights 'w\.pth'"),
    (("train", "digits", "-d", "digits", "-o", "x", "--scheme", "lsq", "-b", "4/4", "-b", "4/4", "--weights", WEIGHTS),
     "each width is trained once, not 4/4, 4/4$"),
    (("quantize", "digits", "none.safetensors", "-d", "digits", "-o", "x"), r"no weights 'none\.safetensors'"),
    (("quantize", "digits", "w", "-d", "digits", "-o", "x", "-b", "2/4/8"), "bits are WEIGHTS/ACTIVATIONS")])
def test_wrong_input_is_named_before_any_work(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                              arguments: tuple[str, ...], message: str) -> None:
    """One sentence, status 1, and no folder is left behind."""
    monkeypatch.chdir(tmp_path)
    status, stdout, stderr = run(*arguments)
    assert (status, stdout) == (1, "")
    assert re.search(f"^bitwright: .*{message}", stderr), stderr
    assert list(tmp_path.iterdir()) == []


PADDED = """
from torch import nn

def net(classes=10):
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ZeroPad2d(1), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(144, classes))
"""


@pytest.mark.parametrize("arguments", [
    ("train", "--scheme", "lsq", "--weights", "w", "-b", "4/4", "-b", "4/1"), ("quantize", "w", "-b", "4/1")])
def test_what_cannot_be_lowered_is_refused_before_any_training(
        run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]) -> None:
    """Also at a later width: hours would be lost otherwise."""
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(PADDED)
    net: dict[str, Any] = {}
    exec(PADDED, net)
    save_file(net["net"]().state_dict(), "w")
    status, _, stderr = run(arguments[0], "net.py:net", *arguments[1:], "-d", "digits", "-o", "out")
    text = "bitwright: '2' pads with zeros, for which a tensor of 1 signed bit has no code"
    assert (status, stderr.strip().splitlines()) == (1, [text])
    assert not any(path.is_file() for path in tmp_path.glob("out/*"))


@pytest.mark.trains
@pytest.mark.nightly
def test_two_processes_by_torchrun(tmp_path: Path) -> None:
    """The command under torchrun: one report, one set of files, the accuracy of one process."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = ["-m", "bitwright", "train", "digits", "-d", "digits", "--scheme", "lsq", "--weights", str(WEIGHTS),
               "--epochs", "2", "--batch", "64", "--json", "-o", str(tmp_path)]
    done = subprocess.run([*torchrun, *command], capture_output=True, text=True, check=False,
                          env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["accuracy"]["test"] == accuracy_of(tmp_path) > CHANCE + 0.3
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "4+4.checkpoint", *HISTORY, *LAYERS, "model.safetensors", "program.safetensors", "summary.json"]
    assert load_file(tmp_path / "model.safetensors")
