"""Files of other tools go the whole way: read, quantized, lowered and simulated, or refused in one sentence."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper
from torch import nn

import bitwright
from bitwright.cli.app import main
from quant.frontends.onnx.convert import READERS
from sim.errors import InputError

SIZE = 12


def make_network(head: str = "Softmax") -> ModelProto:
    """Return convolutions, a BatchNorm, a skip connection, pools, a flattening of a computed shape, and an answer."""
    rng = np.random.default_rng(0)
    weights = {"conv1.weight": rng.normal(0, 0.4, (8, 1, 3, 3)), "conv1.bias": rng.normal(0, 0.1, 8),
               "gain": rng.uniform(0.5, 1.5, 8), "shift": rng.normal(0, 0.1, 8), "mean": rng.normal(0, 0.1, 8),
               "variance": rng.uniform(0.5, 1.5, 8), "conv2.weight": rng.normal(0, 0.2, (8, 8, 3, 3)),
               "fc.weight": rng.normal(0, 0.3, (3, 8)), "fc.bias": rng.normal(0, 0.1, 3)}
    numbers = {"zero": np.zeros(1, np.int64), "rest": np.array([-1], np.int64)}
    nodes = [helper.make_node("Conv", ["x", "conv1.weight", "conv1.bias"], ["a"], pads=[1] * 4),
             helper.make_node("BatchNormalization", ["a", "gain", "shift", "mean", "variance"], ["b"]),
             helper.make_node("Relu", ["b"], ["c"]),
             helper.make_node("MaxPool", ["c"], ["d"], kernel_shape=[2, 2], strides=[2, 2]),
             helper.make_node("Conv", ["d", "conv2.weight"], ["e"], auto_pad="SAME_UPPER"),
             helper.make_node("Add", ["e", "d"], ["f"]), helper.make_node("Relu", ["f"], ["g"]),
             helper.make_node("GlobalAveragePool", ["g"], ["p"]), helper.make_node("Shape", ["p"], ["s"]),
             helper.make_node("Gather", ["s", "zero"], ["n"]), helper.make_node("Concat", ["n", "rest"], ["t"], axis=0),
             helper.make_node("Reshape", ["p", "t"], ["r"]),
             helper.make_node("Gemm", ["r", "fc.weight", "fc.bias"], ["l"], transB=1),
             helper.make_node(head, ["l"], ["y"])]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 1, None, None])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3])],
        [*(numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()),
         *(numpy_helper.from_array(value, name) for name, value in numbers.items())])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def bars(count: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return images of bars in three directions, and their directions."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, count)
    images = rng.integers(0, 60, (count, SIZE, SIZE), np.uint8)
    for image, label in zip(images, labels, strict=True):
        bar = np.eye(SIZE, dtype=bool) if label == 2 else np.arange(SIZE) == rng.integers(SIZE)
        image[bar if label else np.broadcast_to(bar, image.shape)] += 190
    return images, labels


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model and data."""
    place = tmp_path_factory.mktemp("models")
    onnx.save(make_network(), place / "net.onnx")
    images, labels = bars(96)
    np.savez(place / "bars.npz", x_train=images[:64], y_train=labels[:64], x_test=images[64:], y_test=labels[64:])
    return place


def test_an_onnx_model_becomes_a_program_with_its_answers(folder: Path) -> None:
    """The module computes what ONNX Runtime does; at 8 bits the Program's logits are near, and its answers the same."""
    model = bitwright.load_model(folder / "net.onnx", (1, SIZE, SIZE))
    images = torch.from_numpy(bars(32)[0][:, None].astype(np.float32) / 255)
    (wanted,) = onnxruntime.InferenceSession(folder / "net.onnx").run(None, {"x": images.numpy()})
    torch.testing.assert_close(model(images), torch.from_numpy(wanted), rtol=1e-4, atol=1e-5)
    assert {"conv1", "conv2", "fc"} <= {name for name, _ in model.named_modules()}
    data = bitwright.load_data({"train": bars(32), "test": bars(32)})
    wanted = model(data.test.values(slice(None)))
    quantized = bitwright.quantize(model, data.train.values(slice(None)), scheme="uniform", weight_bits=8,
                                   activation_bits=8, pixels=data.train.pixels)
    lowered = bitwright.lower_with_report(quantized, data.test.values(slice(1)), "edge")
    assert lowered.host == ("softmax",)
    codes = {lowered.program.inputs[0].name: lowered.prepare(data.test.codes(slice(None)).numpy())}
    name = lowered.outputs[0]
    logits = torch.from_numpy(bitwright.simulate(lowered.program, codes)[name]).flatten(1) * lowered.scales[name]
    torch.testing.assert_close(torch.softmax(logits, 1), wanted, rtol=0, atol=0.02)


def test_the_command_line_quantizes_an_onnx_model(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It needs no weights and no shape: the data have one."""
    monkeypatch.chdir(folder)
    assert main(["quantize", "net.onnx", "--data", "bars.npz", "--bits", "8/8", "--iterations", "0", "-o", "out"]) == 0
    assert json.loads((folder / "out" / "summary.json").read_text())["network"] == "net.onnx"
    assert {op.name for op in bitwright.load_program(folder / "out" / "program.safetensors").ops} >= {"conv1", "fc"}


@pytest.mark.trains
def test_the_command_line_trains_an_onnx_model(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its weights are the start, and the trained ones are read again."""
    monkeypatch.chdir(folder)
    assert main(["train", "net.onnx", "-d", "bars.npz", "--epochs", "1", "--batch", "32", "-o", "float"]) == 0
    trained = bitwright.load_model("net.onnx", (1, SIZE, SIZE))
    before = trained.get_submodule("conv2").weight.clone()
    bitwright.load_weights(trained, Path("float/model.safetensors"))
    assert not torch.equal(trained.get_submodule("conv2").weight, before)


@pytest.mark.parametrize("size", [None, 9])
def test_channels_last_become_channels_first(size: int | None, tmp_path: Path) -> None:
    """A network of TensorFlow's layout reads images as all others do, whether their size is open or not."""
    rng = np.random.default_rng(0)
    weights = {"w": rng.normal(size=(4, 3, 3, 3)), "b": rng.normal(size=4), "fc": rng.normal(size=(100, 2))}
    nodes = [helper.make_node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]),
             helper.make_node("Conv", ["t", "w"], ["c"], auto_pad="SAME_UPPER", strides=[2, 2]),
             helper.make_node("Transpose", ["c"], ["l"], perm=[0, 2, 3, 1]), helper.make_node("Add", ["l", "b"], ["a"]),
             helper.make_node("Relu", ["a"], ["r"]), helper.make_node("Reshape", ["r", "s"], ["f"]),
             helper.make_node("MatMul", ["f", "fc"], ["y"])]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", size, size, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 2])],
        [*(numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()),
         numpy_helper.from_array(np.array([-1, 100], np.int64), "s")])
    path = tmp_path / "last.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    images = rng.normal(size=(2, 9, 9, 3)).astype(np.float32)
    (wanted,) = onnxruntime.InferenceSession(path).run(None, {"x": images})
    found = bitwright.load_model(path, (3, 9, 9))(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))
    torch.testing.assert_close(found, torch.from_numpy(wanted), rtol=1e-4, atol=1e-5)
    with pytest.raises(InputError, match=r"^input 'x' has a shape \(N, .*, 3\), which images of shape \(1, 9, 9\) "):
        bitwright.load_model(path, (1, 9, 9))


@pytest.mark.parametrize("first", ["Transpose", "QuantizeLinear"])
@pytest.mark.parametrize("size", [None, 6])
def test_channels_last_of_quantized_models_become_channels_first(first: str, size: int | None, tmp_path: Path) -> None:
    """Whether a model rounds its images before it transposes them or afterwards, its Program reads channels first."""
    rng, channels = np.random.default_rng(0), 3
    names = ["s", "z"]
    steps = [helper.make_node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]),
             helper.make_node("QuantizeLinear", ["t", *names], ["q"]),
             helper.make_node("DequantizeLinear", ["q", *names], ["d"])]
    if first == "QuantizeLinear":
        steps = [helper.make_node("QuantizeLinear", ["x", *names], ["q"]),
                 helper.make_node("DequantizeLinear", ["q", *names], ["v"]),
                 helper.make_node("Transpose", ["v"], ["d"], perm=[0, 3, 1, 2])]
    nodes = [*steps, helper.make_node("DequantizeLinear", ["w", *names], ["weight"]),
             helper.make_node("Conv", ["d", "weight"], ["c"]), helper.make_node("Relu", ["c"], ["r"]),
             helper.make_node("QuantizeLinear", ["r", *names], ["qr"]),
             helper.make_node("DequantizeLinear", ["qr", *names], ["y"])]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", size, size, channels])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(rng.integers(-9, 9, (4, channels, 3, 3)).astype(np.int8), "w"),
         numpy_helper.from_array(np.float32(2.0**-3), "s"), numpy_helper.from_array(np.int8(0), "z")])
    path = tmp_path / "last.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    imported = bitwright.import_model(path, "edge", sizes=(channels, 6, 6))
    assert [given.shape for given in imported.graph.inputs] == [(channels, 6, 6)]
    assert [tensor.shape for tensor in imported.lowered.program.inputs] == [(channels, 6, 6)]
    images = rng.normal(size=(4, 6, 6, channels)).astype(np.float32)
    inputs = {"x": torch.from_numpy(images.transpose(0, 3, 1, 2).copy())}
    assert [found.differing for found in imported.compare(inputs)] == [0]
    (wanted,) = onnxruntime.InferenceSession(path).run(None, {"x": images})
    (found,) = imported.outputs(inputs).values()
    np.testing.assert_array_equal(found.numpy(), wanted)


def test_a_file_of_torch_export_goes_the_same_way(tmp_path: Path) -> None:
    """Its module computes what the exported one does."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(1), nn.Linear(100, 3)).eval()
    images = torch.randn(2, 1, SIZE, SIZE)
    torch.export.save(torch.export.export(net, (images,)), tmp_path / "net.pt2")
    torch.testing.assert_close(bitwright.load_model(tmp_path / "net.pt2", (1, SIZE, SIZE))(images), net(images))
    with pytest.raises(InputError, match=r"^input 'input' was exported for images of shape \(1, 12, 12\), not \(3, 8"):
        bitwright.load_model(tmp_path / "net.pt2", (3, 8, 8))


def test_what_does_not_fit_is_refused(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                      capfd: pytest.CaptureFixture[str]) -> None:
    """Other images, open shapes, other files, and all operators that the machine does not have, in one list."""
    with pytest.raises(InputError, match=r"^input 'x' has a shape \(N, 1, \?, \?\), which images of shape \(3, 8, 8"):
        bitwright.load_model(folder / "net.onnx", (3, 8, 8))
    with pytest.raises(InputError, match=r"^input 'x' has a shape \(N, 1, \?, \?\): give the shape of one image, su"):
        bitwright.load_model(folder / "net.onnx")
    with pytest.raises(InputError, match=r"^a model's file must be \*.onnx or \*.pt2, not 'net.tflite'$"):
        bitwright.load_model("net.tflite")
    two = make_network("LpNormalization")
    two.graph.node[2].op_type = "Asin"
    onnx.save(two, folder / "two.onnx")
    monkeypatch.chdir(folder)
    assert main(["quantize", "two.onnx", "-d", "bars.npz", "-o", "refused"]) == 1
    text = capfd.readouterr().err
    assert "for 2 reasons" in text
    assert "unsupported operator Asin node 'c'" in text
    assert "unsupported operator LpNormalization node 'y'" in text
    assert not (folder / "refused").exists()


PAGE = Path(bitwright.__file__).parents[1] / "docs" / "interop.md"


def test_the_page_lists_every_operator_that_is_read() -> None:
    """Its table has the names of all readers, and no other ones."""
    section = PAGE.read_text().partition("### ONNX operators")[2].partition("\n### ")[0]
    listed = {name for row in section.splitlines() if row.startswith("| `") for name in
              re.findall(r"`([A-Z]\w*)`", row.split("|")[1])}
    assert listed == {name for readers in READERS.values() for name in readers}
