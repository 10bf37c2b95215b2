"""Files of torch.export.save give the graph that the program in memory gives; others are refused in one sentence."""

import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from quant.frontends.aten.exported import graph_of_exported
from quant.frontends.aten.pt2 import load_pt2
from quant.graph.interpret import run
from sim.errors import InputError


class Net(nn.Module):
    """A network with what files describe in many ways: lists of tensors, None, symbols, types, in-place changes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(2, 4, 3, padding="same"), nn.BatchNorm2d(4)
        self.last = nn.Linear(64, 5, bias=False)
        self.gain = nn.Parameter(torch.rand(4, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = nn.functional.relu(self.norm(self.conv(x)), inplace=True)
        left, right = (y * self.gain).chunk(2, 1)
        y = torch.cat([right, left], 1).clamp(max=2)[:, [3, 0, 1, 2]]
        found: torch.Tensor = self.last(y.view(y.size(0), -1).to(torch.float32))
        return found


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of a program with a batch of any size."""
    torch.manual_seed(0)
    program = torch.export.export(Net().eval(), (torch.randn(3, 2, 4, 4),), strict=False,
                                  dynamic_shapes=({0: torch.export.Dim("batch")},))
    path = tmp_path_factory.mktemp("pt2") / "net.pt2"
    torch.export.save(program, path)
    return path


def test_a_file_gives_the_graph_of_the_program(saved: Path) -> None:
    """Nodes, names, places and constants are those of the program in memory, and values those of the model."""
    program = torch.export.load(saved)
    from_file, from_memory = load_pt2(saved), graph_of_exported(program)
    assert from_file.nodes == from_memory.nodes
    assert (from_file.inputs, from_file.outputs) == (from_memory.inputs, from_memory.outputs)
    assert from_file.constants.keys() == from_memory.constants.keys()
    x = torch.randn(5, 2, 4, 4)
    values = run(from_file, {from_file.inputs[0].name: x})
    torch.testing.assert_close(values[from_file.outputs[0]], program.module()(x))


def test_a_model_of_one_batch_size_serves_any(tmp_path: Path) -> None:
    """What was exported with a batch of 1 reads others too."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(8, 3))
    torch.export.save(torch.export.export(net, (torch.randn(1, 2, 4),)), tmp_path / "one.pt2")
    graph, x = load_pt2(tmp_path / "one.pt2"), torch.randn(5, 2, 4)
    torch.testing.assert_close(run(graph, {graph.inputs[0].name: x})[graph.outputs[0]], net(x))


def test_graphs_inside_others_are_refused(tmp_path: Path) -> None:
    """What torch.export puts into a graph of its own, such as a part without gradients, is named."""
    class Frozen(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            with torch.no_grad():
                y = super().forward(x)
            return torch.relu(y)

    path = tmp_path / "frozen.pt2"
    torch.export.save(torch.export.export(Frozen(2, 2), (torch.randn(3, 2),)), path)
    sentence = re.escape(f"cannot read model '{path}': its model has a graph inside another; export it without "
                         "torch.no_grad, torch.autocast and control flow in forward "
                         "(higher_order.wrap_with_set_grad_enabled)")
    with pytest.raises(InputError, match=f"^{sentence}$"):
        load_pt2(path)


def changed(saved: Path, path: Path, member: str, change: Callable[[Any], Any]) -> Path:
    """Write a copy of an archive in which `change` has worked on the JSON of one member."""
    with zipfile.ZipFile(saved) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name.endswith(member):
                given = json.loads(data)
                data = json.dumps(change(given) or given).encode()
            new.writestr(name, data)
    return path


def config(key: str, value: object) -> Callable[[Any], None]:
    def change(given: Any) -> None:
        given["config"]["conv.weight"][key] = value
    return change


def sizes(numbers: list[int]) -> Callable[[Any], None]:
    def change(given: Any) -> None:
        meta = given["config"]["conv.weight"]["tensor_meta"]
        meta["sizes"], meta["strides"] = ([{"as_int": number} for number in numbers] for _ in range(2))
    return change


def forget(given: Any) -> None:
    del given["config"]["gain"]


def older(given: Any) -> None:
    given["schema_version"]["major"] = 7


def no_target(given: Any) -> None:
    del given["graph_module"]["graph"]["nodes"][0]["target"]


@pytest.mark.parametrize(("member", "change", "reason"), [
    ("model_weights_config.json", config("use_pickle", True),
     "'conv.weight' is pickled, and pickled values are not read; save plain tensors"),
    ("model_weights_config.json", sizes([1 << 40, 1]),
     "'conv.weight' of shape [1099511627776, 1] has 72 numbers in the file"),
    ("model_weights_config.json", sizes([-1]),
     "config.conv.weight.tensor_meta.sizes.0.as_int: Input should be greater than or equal to 0"),
    ("model_weights_config.json", config("path_name", "../../secret"),
     "it has no member 'data/weights/../../secret'; only what torch.export.save writes can be read"),
    ("model_weights_config.json", forget, "it has no values of 'gain'"),
    ("models/model.json", older, "its schema version must be 8, not 7; export the model again"),
    ("models/model.json", no_target, "graph_module.graph.nodes.0.target: Field required"),
])
def test_files_that_say_what_cannot_be_are_refused(saved: Path, tmp_path: Path, member: str,
                                                   change: Callable[[Any], Any], reason: str) -> None:
    """Each refusal names the file and what is wrong in it."""
    path = changed(saved, tmp_path / "bad.pt2", member, change)
    sentence = re.escape(f"cannot read model '{path}': {reason}")
    with pytest.raises(InputError, match=f"^{sentence}$"):
        load_pt2(path)


def test_other_files_are_refused(saved: Path, tmp_path: Path) -> None:
    """Files that are no archives, cut ones, and deep ones are refused without a traceback."""
    path = tmp_path / "other.pt2"
    path.write_bytes(b"no archive")
    refused(path, r"BadZipFile: File is not a zip file")
    path.write_bytes(saved.read_bytes()[:5000])
    refused(path, r"BadZipFile: .*")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("net/models/model.json", "[" * 100_000)
    refused(path, r"RecursionError: .*")


def refused(path: Path, reason: str) -> None:
    with pytest.raises(InputError, match=rf"^cannot read model '{path}': it is damaged \({reason}\)$"):
        load_pt2(path)
