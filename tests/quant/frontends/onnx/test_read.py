"""ONNX files that cannot be read end in one sentence: damaged, hostile, too large, or beyond what can be followed."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from quant.frontends.onnx import functions, structure, wire
from quant.frontends.onnx.read import MAX_BYTES, load_onnx_model
from sim.errors import InputError

IR, OPSET = 8, 13


def model(*nodes: NodeProto, weights: dict[str, Any] | None = None, opset: int = OPSET, ir: int = IR,
          outputs: tuple[str, ...] = ("y",)) -> ModelProto:
    """Return a model that reads x of shape (N, 4)."""
    graph = helper.make_graph(
        list(nodes), "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in (weights or {}).items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir)


def relu(source: str = "x", target: str = "y") -> NodeProto:
    """Return a Relu."""
    return helper.make_node("Relu", [source], [target])


def refusal(path: Path, content: ModelProto | bytes) -> str:
    """Write a file, and return why it is refused."""
    path.write_bytes(content if isinstance(content, bytes) else content.SerializeToString())
    with pytest.raises(InputError) as caught:
        load_onnx_model(path)
    start = f"cannot read ONNX model '{path}': "
    assert str(caught.value).startswith(start)
    return str(caught.value).removeprefix(start)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where a test's model lies."""
    return tmp_path / "model.onnx"


def test_a_whole_model_is_read(path: Path) -> None:
    """What was written comes back."""
    written = model(helper.make_node("Add", ["x", "w"], ["y"]), weights={"w": np.float32([1, 2, 3, 4])})
    path.write_bytes(written.SerializeToString())
    assert load_onnx_model(path) == written
    assert load_onnx_model(str(path)) == written


def _sparse() -> ModelProto:
    made = model(relu())
    made.graph.sparse_initializer.add()
    return made


def _attribute(change: Callable[[AttributeProto], Any]) -> ModelProto:
    made = model(helper.make_node("LeakyRelu", ["x"], ["y"], alpha=0.5))
    change(made.graph.node[0].attribute[0])
    return made


def _tensor(change: Callable[[TensorProto], Any], value: Any = (1.0, 2.0)) -> ModelProto:
    made = model(helper.make_node("Add", ["x", "w"], ["y"]), weights={"w": np.asarray(value)})
    change(made.graph.initializer[0])
    return made


def _twice() -> ModelProto:
    made = _tensor(lambda tensor: None)
    made.graph.initializer.append(made.graph.initializer[0])
    return made


def _inner(*nodes: NodeProto) -> NodeProto:
    branch = helper.make_graph(list(nodes), "b", [], [helper.make_tensor_value_info("i", TensorProto.FLOAT, None)])
    return helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch)


def _dims(*dims: int) -> ModelProto:
    def change(tensor: TensorProto) -> None:
        tensor.dims[:] = dims
    return _tensor(change)


REFUSED: dict[str, tuple[ModelProto | bytes, str]] = {
    "empty": (b"", "it is empty"),
    "text": (b"import torch\n", "it is cut off or damaged: a field of 99 bytes begins 2 before its end"),
    "numbers without end": (b"\x08" + b"\xff" * 20, "it is no ONNX file, or damaged: a number does not end"),
    "short": (model(relu()).SerializeToString()[:-3],
              "it is cut off or damaged: a field of 4 bytes begins 1 before its end"),
    "group": (b"\x0b\x0c", "it is no ONNX file, or damaged: there is no field of kind 3"),
    "fields of another kind": (b"\x08\x05\x3d0000", "it has no nodes"),
    "text that is none": (model(relu()).SerializeToString().replace(b"Relu", b"Re\xff\xfe"),
                          "a text in it is not UTF-8: 'Re\ufffd\ufffd'"),
    "ir": (model(relu(), ir=99), "its IR version must be in 3..14, not 99"),
    "opset": (model(relu(), opset=5), "its version of ONNX's operators (opset) must be in 6..28, not 5"),
    "no nodes": (model(), "it has no nodes"),
    "no outputs": (model(relu(), outputs=()), "it has no outputs"),
    "missing input": (model(relu("z")), "node 'y' reads 'z', which is made by no node"),
    "circle": (model(helper.make_node("Add", ["x", "y"], ["z"], "first"), relu("z")),
               "node 'first' reads 'y', which is made after it: the nodes have no order, or form a circle"),
    "missing output": (model(relu(target="z")), "output 'y' is made by no node"),
    "duplicate": (model(relu(), relu()), "an output of node 'y' has a name that is used before: 'y'"),
    "duplicate of an input": (model(relu(target="x"), outputs=("x",)),
                              "an output of node 'x' has a name that is used before: 'x'"),
    "duplicate tensor": (_twice(), "a tensor has a name that is used before: 'w'"),
    "nameless tensor": (_tensor(lambda tensor: setattr(tensor, "name", "")), "a tensor has no name"),
    "sparse": (_sparse(), "it has sparse tensors, which are not read"),
    "inputs": (model(helper.make_node("Relu", ["x", "x"], ["y"])), "node 'y': Relu must have 1 inputs, not 2"),
    "outputs": (model(helper.make_node("Relu", ["x"], ["y", "z"])), "node 'y': Relu must have 1 outputs, not 2"),
    "required": (model(helper.make_node("Concat", ["x", "x"], ["y"])), "node 'y': Concat needs attribute 'axis'"),
    "type": (_attribute(lambda attribute: setattr(attribute, "type", AttributeProto.INT)),
             "node 'y': attribute 'alpha' must be of type FLOAT, not INT"),
    "reference": (_attribute(lambda attribute: setattr(attribute, "ref_attr_name", "slope")),
                  "node 'y': attribute 'alpha' refers to 'slope', which no function has"),
    "attributes": (_attribute(lambda attribute: setattr(attribute, "name", "")), "node 'y': an attribute has no name"),
    "few bytes": (_dims(3), "tensor 'w' of shape (3,) needs 24 bytes, not 16"),
    "many numbers": (_dims(2**20, 2**20), "tensor 'w' must have at most 268,435,456 numbers, not 1099511627776"),
    "huge axes": (_dims(*[2**62] * 9), "tensor 'w' must have at most 268,435,456 numbers, not a number of 559 bits"),
    "negative axis": (_dims(-1), "tensor 'w' has an axis of -1"),
    "axes": (_dims(*[1] * 17), "tensor 'w' must have at most 16 axes, not 17"),
    "text tensor": (_tensor(lambda tensor: setattr(tensor, "data_type", TensorProto.STRING)),
                    "tensor 'w' is of type STRING, which is not read"),
    "no type": (_tensor(lambda tensor: setattr(tensor, "data_type", 99)),
                "tensor 'w' is of type number 99, which is not read"),
    "numbers": (_tensor(lambda tensor: (tensor.ClearField("raw_data"), tensor.double_data.append(1.0))),
                "tensor 'w' of shape (2,) needs 2 numbers, not 1"),
    "segment": (_tensor(lambda tensor: setattr(tensor.segment, "begin", 1)),
                "tensor 'w' of shape (2,) is a segment of another, which is not read"),
    "inner": (model(_inner(relu("z", "i"))), "node 'i' reads 'z', which is made by no node"),
    "domain": (model(helper.make_node("Relu", ["x"], ["y"], domain="a\nb")), "node 'y' is of domain 'a\\nb'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_followed_is_refused(name: str, path: Path) -> None:
    """Each fault has its sentence."""
    content, reason = REFUSED[name]
    assert refusal(path, content) == reason


def test_two_versions_of_the_operators_are_refused(path: Path) -> None:
    """Which one is meant is not clear."""
    made = model(relu())
    made.opset_import.append(helper.make_opsetid("ai.onnx", 12))
    assert refusal(path, made) == "it must name one version of ONNX's operators, not 2"


def test_many_small_messages_take_no_memory(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of empty nodes is refused before they become objects."""
    monkeypatch.setattr(wire, "MAX_FIELDS", 1000)
    monkeypatch.setattr(ModelProto, "FromString", None)
    assert refusal(path, b"\x3a\xd0\x0f" + b"\x0a\x00" * 1000) == "it has more than 1,000 fields"


def test_deep_graphs_are_refused(path: Path) -> None:
    """Graphs inside nodes inside graphs end somewhere."""
    node = relu("x", "i")
    for _ in range(20):
        graph = helper.make_graph([node], "b", [], [helper.make_tensor_value_info("i", TensorProto.FLOAT, None)])
        node = helper.make_node("If", ["x"], ["i"], then_branch=graph)
    assert refusal(path, model(node, outputs=("i",))) == "it nests more than 40 messages"


def test_many_nodes_are_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of inner graphs count."""
    monkeypatch.setattr(structure, "MAX_NODES", 2)
    assert refusal(path, model(_inner(relu("x", "i")))) == "it must have at most 2 nodes, not 3"


def test_a_sparse_file_of_two_gigabytes_is_refused_at_once(path: Path) -> None:
    """Nothing of it is read."""
    with path.open("wb") as file:
        file.truncate(1 << 31)
    start = time.process_time()
    with pytest.raises(InputError, match=f"^cannot read ONNX model '{path}': it is larger than {MAX_BYTES:,} bytes$"):
        load_onnx_model(path)
    assert time.process_time() - start < 0.1


@pytest.mark.parametrize(("kind", "reason"), [("pipe", "it is not a regular file"), ("folder", "Is a directory"),
                                              ("device", "it is not a regular file")])
def test_what_is_no_file_is_refused(kind: str, reason: str, path: Path) -> None:
    """Nothing is waited for, and nothing endless is read."""
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path = Path("/dev/zero")
    with pytest.raises(InputError, match=f"^cannot read ONNX model '{path}': (it is not a regular file|{reason})$"):
        load_onnx_model(path)


def test_a_missing_file_is_refused(path: Path) -> None:
    """The sentence has its path."""
    with pytest.raises(InputError, match=f"^no ONNX model '{path}'$"):
        load_onnx_model(path)


def external(**entries: str) -> ModelProto:
    """Return a model whose weights, two float32 numbers, are in another file."""
    made = model(helper.make_node("Add", ["x", "w"], ["y"]), weights={"w": np.zeros(2, np.float32)})
    tensor = made.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)
    return made


@pytest.mark.parametrize("entries", [{}, {"length": "8"}, {"offset": "4"}, {"offset": "0", "checksum": "x"}])
def test_weights_in_a_file_of_the_folder_are_read(entries: dict[str, str], path: Path) -> None:
    """They lie at their offset, also below the folder."""
    (path.parent / "below").mkdir()
    (path.parent / "below" / "w.bin").write_bytes(np.float32([1, 2, 3]).tobytes())
    path.write_bytes(external(location="below/w.bin", **entries).SerializeToString())
    first = int(entries.get("offset", "0")) // 4
    np.testing.assert_array_equal(numpy_helper.to_array(load_onnx_model(path).graph.initializer[0]),
                                  np.float32([1, 2, 3])[first : first + 2])


@pytest.mark.parametrize(("entries", "reason"), [
    ({}, "tensor 'w' is kept in '', which is no path below the model's folder"),
    ({"location": "/etc/passwd"}, "tensor 'w' is kept in '/etc/passwd', which is no path below the model's folder"),
    ({"location": "../w.bin"}, "tensor 'w' is kept in '../w.bin', which is no path below the model's folder"),
    ({"location": "a/../../w.bin"},
     "tensor 'w' is kept in 'a/../../w.bin', which is no path below the model's folder"),
    ({"location": "..\\w.bin"}, "tensor 'w' is kept in '..\\w.bin', which is no path below the model's folder"),
    ({"location": "w\0.bin"}, "tensor 'w' is kept in 'w\\x00.bin', which is no path below the model's folder"),
    ({"location": "link"}, "tensor 'w' is kept in 'link', and 'link' is a link"),
    ({"location": "up/w.bin"}, "tensor 'w' is kept in 'up/w.bin', and 'up' is a link"),
    ({"location": "none.bin"}, "no data of an ONNX model 'none.bin'"),
    ({"location": "n" * 1000}, f"tensor 'w' is kept in '{'n' * 200}... (1000 characters)': File name too long"),
    ({"location": "pipe"}, "cannot read data of an ONNX model 'pipe': it is not a regular file"),
    ({"location": "w.bin", "offset": "-4"}, "tensor 'w': offset must be a number of bytes, not '-4'"),
    ({"location": "w.bin", "offset": "1e3"}, "tensor 'w': offset must be a number of bytes, not '1e3'"),
    ({"location": "w.bin", "offset": "9" * 30}, f"tensor 'w': offset must be a number of bytes, not '{'9' * 30}'"),
    ({"location": "w.bin", "offset": "8"}, "tensor 'w' needs 8 bytes at 8 of 'w.bin', which is shorter"),
    ({"location": "w.bin", "length": "4"}, "tensor 'w' of shape (2,) needs 8 bytes, not 4")])
def test_no_other_file_is_read(entries: dict[str, str], reason: str, path: Path) -> None:
    """Neither links nor paths lead out of the model's folder, and offsets and lengths are those of the tensor."""
    (path.parent / "w.bin").write_bytes(bytes(12))
    (path.parent / "link").symlink_to("/etc/passwd")
    (path.parent / "up").symlink_to("..")
    os.mkfifo(path.parent / "pipe")
    found = refusal(path, external(**entries))
    assert found.replace(f"{path.parent}/", "") == reason


def test_weights_in_other_files_are_bounded_together(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that many tensors name is read as often as they say, up to a bound."""
    (path.parent / "w.bin").write_bytes(bytes(2000))
    made = external(location="w.bin")
    made.graph.initializer.append(made.graph.initializer[0])
    made.graph.initializer[1].name = "v"
    monkeypatch.setattr("quant.frontends.onnx.read.MAX_BYTES", 1000)
    for tensor in made.graph.initializer:
        tensor.dims[:] = [200]
    assert refusal(path, made) == "its tensors in other files have more than 1,000 bytes"


def calling(*bodies: list[NodeProto], opset: int = OPSET) -> ModelProto:
    """Return a model that calls function f0 of some functions f0, f1, ..., each from a to b."""
    made = model(helper.make_node("f0", ["x"], ["y"], domain="own"))
    made.opset_import.append(helper.make_opsetid("own", 1))
    for number, nodes in enumerate(bodies):
        made.functions.append(helper.make_function(
            "own", f"f{number}", ["a"], ["b"], nodes,
            [helper.make_opsetid("", opset), helper.make_opsetid("own", 1)]))
    return made


def test_functions_are_put_where_they_are_called(path: Path) -> None:
    """What is left are their nodes; weights stay."""
    made = calling([helper.make_node("f1", ["a"], ["t"], domain="own"), relu("t", "b")],
                   [helper.make_node("Neg", ["a"], ["b"])])
    made.graph.initializer.append(numpy_helper.from_array(np.float32([1, 2]), "w"))
    path.write_bytes(made.SerializeToString())
    flat = load_onnx_model(path)
    assert [node.op_type for node in flat.graph.node] == ["Neg", "Relu"]
    assert not flat.functions
    assert flat.graph.initializer == made.graph.initializer


def test_functions_that_cannot_be_put_where_they_are_called_are_refused(
        path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Circles, growth without end, missing values, and other versions of the operators."""
    def call(number: int, source: str, target: str) -> NodeProto:
        return helper.make_node(f"f{number}", [source], [target], domain="own")

    assert refusal(path, calling([call(0, "a", "b")])) == "function 'f0' calls itself"
    assert refusal(path, calling([call(1, "a", "b")], [call(0, "a", "b")])) == "function 'f0' calls itself"
    doubling = [[call(number + 1, "a", "t"), call(number + 1, "t", "b")] for number in range(60)]
    assert refusal(path, calling(*doubling, [relu("a", "b")])) == (
        f"it must have at most 20,000 nodes, not {2**60} with those of its functions")
    assert refusal(path, calling([relu("z", "b")])) == "node 'b' reads 'z', which is made by no node"
    assert refusal(path, calling([relu("a", "c")])) == "output 'b' of function 'f0' is made by no node"
    twice = calling([relu("a", "b")])
    twice.functions.append(twice.functions[0])
    assert refusal(path, twice) == "it defines function 'f0' twice"
    assert refusal(path, calling([relu("a", "b")], opset=11)) == (
        "function 'f0' cannot be put where it is called: its version of ONNX's operators is another than the model's")
    monkeypatch.setattr(functions, "inline_local_functions", lambda _: 1 / 0)
    assert re.match(r"^its functions cannot be put where they are called: division by zero$",
                    refusal(path, calling([relu("a", "b")])))
