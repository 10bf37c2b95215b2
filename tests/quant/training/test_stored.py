"""Weights and checkpoints that were damaged, made up, or written by others."""

import json
import os
import pickle
import re
import shlex
import struct
import warnings
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from quant.training.checkpoint import Resumed, load_checkpoint, load_weights, save_checkpoint, save_weights
from quant.training.history import Epoch
from quant.training.stored import read_tensors, write_tensors
from sim.errors import InputError

HISTORY = [Epoch(1, 2.5, 0.25, 0.5, 0.1, 7.5), Epoch(2, 2.0, 0.5, 0.75, 0.05, 7.0), Epoch(3, 1.5, 0.75, None, 0.0, 6.5)]
RUN = {"epochs": 4, "rate": 0.1, "images": 5, "quantizers_only": False}


class Trained:
    """A small model with momenta, and where its checkpoint lies."""

    def __init__(self, place: Path, fill: float) -> None:
        self.place, self.model = place, nn.Linear(2, 2)
        nn.init.constant_(self.model.weight, fill)
        nn.init.constant_(self.model.bias, fill)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1, momentum=0.9)
        for parameter in self.model.parameters():
            self.optimizer.state[parameter]["momentum_buffer"] = torch.full_like(parameter, fill)
        self.generators = {"order": torch.Generator().manual_seed(int(fill)).get_state()}

    def save(self, hook: dict[str, Any] | None = None) -> None:
        best = {name: value + 1 for name, value in self.model.state_dict().items()}
        save_checkpoint(self.place, RUN, HISTORY, self.model, self.optimizer, self.generators, hook, best)

    def load(self) -> Resumed:
        return load_checkpoint(self.place, RUN, self.model, self.optimizer, self.generators)

    def state(self) -> list[float]:
        tensors = [*self.model.parameters(), *(entry["momentum_buffer"] for entry in self.optimizer.state.values())]
        return torch.cat([tensor.detach().flatten() for tensor in tensors]).tolist()


@pytest.fixture
def other(tmp_path: Path) -> Trained:
    """A model beside the checkpoint of another one."""
    Trained(tmp_path / "c", 1.0).save({"seen": 1})
    return Trained(tmp_path / "c", 2.0)


def refused(trained: Trained, reason: str) -> None:
    """Loading is refused for a reason that matches, and nothing of the model or the optimizer has changed."""
    before = trained.state()
    with pytest.raises(InputError, match=f"^checkpoint '{re.escape(str(trained.place))}'{reason}$") as caught:
        trained.load()
    assert str(caught.value).isprintable()
    assert trained.state() == before


def test_a_checkpoint_comes_back(other: Trained) -> None:
    """Model, momenta, random numbers, history, the best state so far and the state of the hook."""
    history, generators, hook, best = other.load()
    assert (history, hook, other.state()) == (HISTORY, {"seen": 1}, [1.0] * 12)
    assert best is not None
    assert {name: value.unique().tolist() for name, value in best.items()} == {"weight": [2.0], "bias": [2.0]}
    assert torch.equal(generators["order"], torch.Generator().manual_seed(1).get_state())


def test_one_flipped_bit_is_refused(other: Trained) -> None:
    """Wherever it is: in the header, in the metadata, in a weight, in a momentum or in a state of random numbers."""
    content, rng = other.place.read_bytes(), np.random.default_rng(0)
    header = 8 + struct.unpack("<Q", content[:8])[0]
    for at in [*range(header), *range(header, len(content), 40)]:
        damaged = bytearray(content)
        damaged[at] ^= 1 << int(rng.integers(8))
        other.place.write_bytes(damaged)
        refused(other, ".+")


@pytest.mark.parametrize("length", [0, 1, 7, 8, 100, -1])
def test_a_cut_checkpoint_is_refused(other: Trained, length: int) -> None:
    """Of any length."""
    other.place.write_bytes(other.place.read_bytes()[:length])
    refused(other, r": not a whole safetensors file \(.+\)")


def altered(trained: Trained, change: Callable[[dict[str, Tensor], dict[str, str]], object]) -> None:
    """Write the checkpoint again with something changed, under a right checksum."""
    tensors, metadata = read_tensors(trained.place, "checkpoint", 1 << 30)
    del metadata["sha256"]
    change(tensors, metadata)
    write_tensors(trained.place, tensors, metadata)


NO_JSON = r": its metadata is no JSON \(.+\)"
NO_HISTORY = r": its history must be that of 0\.\.4 epochs, not no history"
EPOCH = asdict(HISTORY[0])
OTHER_RUN = " is of another run: its {}; give another place or remove it"
METADATA = [
    ("run", "null", ": its run must be a mapping, not None"), ("run", "[]", r": its run must be a mapping, not \[\]"),
    ("run", "x", NO_JSON), ("run", "[" * 100_000, NO_JSON),
    ("run", json.dumps(RUN | {"rate": 0.2}), OTHER_RUN.format(r"rate is 0\.2, not 0\.1")),
    ("run", json.dumps(RUN | {"epochs": True}), OTHER_RUN.format("epochs is True, not 4")),
    ("run", json.dumps(RUN | {"quantizers_only": 0}), OTHER_RUN.format("quantizers_only is 0, not False")),
    ("run", "{}", OTHER_RUN.format("epochs is None, not 4")),
    *(("history", text, NO_HISTORY) for text in ("3", "null", "[3]", "[{}]", '"abc"')),
    *(("history", json.dumps([EPOCH | change]), NO_HISTORY) for change in (
        {"epoch": 2}, {"epoch": "1"}, {"loss": None}, {"loss": True}, {"loss": "x"}, {"seconds": float("nan")},
        {"learning_rate": float("inf")}, {"validation_accuracy": [0.5]}, {"more": 1.0})),
    ("history", json.dumps([EPOCH | {"epoch": number} for number in range(1, 6)]),
     r": its history must be that of 0\.\.4 epochs, not 5"),
    ("history", "9" * 5000, NO_JSON), ("history", "", NO_JSON),
    ("hook", "3", ": the state of its hook must be a mapping or none, not 3"), ("hook", "{", NO_JSON),
    ("version", "1", " is of version 1, not 3; remove it to train from the start"),
    ("version", "\x1b[2J\n", r" is of version \\x1b\[2J\\n, not 3; remove it to train from the start"),
]


@pytest.mark.parametrize(("field", "text", "reason"), METADATA, ids=range(len(METADATA)))
def test_metadata_that_cannot_be_is_refused(other: Trained, field: str, text: str, reason: str) -> None:
    """Types, ranges and the version of all fields are looked at, also under a right checksum."""
    altered(other, lambda _, metadata: metadata.update({field: text}))
    refused(other, reason)


TENSORS = [
    (lambda tensors: tensors.pop("model.bias"), " misses bias"),
    (lambda tensors: tensors.update({"model.x\x1b": torch.ones(1)}), r" has a surplus x\\x1b"),
    (lambda tensors: tensors.update({"other": torch.ones(1)}),
     " holds tensors of no kind; remove it to train from the start"),
    (lambda tensors: tensors.update({"model.bias": torch.ones(3)}), r": 'bias' must have shape \(2,\), not \(3,\)"),
    (lambda tensors: tensors.update({"model.bias": torch.ones(2, dtype=torch.int64)}),
     ": 'bias' must be of type float32, not int64"),
    (lambda tensors: tensors.update({"model.bias": torch.tensor([1.0, torch.inf])}), ": 'bias' must be finite"),
    (lambda tensors: tensors.update({"model.bias": torch.tensor([1.0, 1e300], dtype=torch.float64)}),
     ": 'bias' must be finite"),
    (lambda tensors: tensors.pop("best.bias"), " misses bias"),
    (lambda tensors: tensors.update({"best.bias": torch.ones(3)}), r": 'bias' must have shape \(2,\), not \(3,\)"),
    (lambda tensors: tensors.update({"momentum.7": torch.ones(2)}), " has a surplus 7"),
    (lambda tensors: tensors.update({"momentum.01": torch.ones(2)}), " has a surplus 01"),
    (lambda tensors: tensors.update({"momentum.1": torch.ones(1)}), r": '1' must have shape \(2,\), not \(1,\)"),
    (lambda tensors: tensors.update({"momentum.1": torch.full((2,), torch.nan)}), ": '1' must be finite"),
    (lambda tensors: tensors.pop("generator.order"), " misses order"),
    (lambda tensors: tensors.update({"generator.order": torch.ones(3, dtype=torch.uint8)}),
     r": 'order' must have shape \(5056,\), not \(3,\)"),
    (lambda tensors: tensors.update({"generator.order": torch.full((5056,), 255, dtype=torch.uint8)}),
     r": 'generator\.order' is no state of a generator of random numbers"),
]


@pytest.mark.parametrize(("change", "reason"), TENSORS, ids=range(len(TENSORS)))
def test_tensors_that_do_not_fit_are_refused(other: Trained, change: Callable[[dict[str, Tensor]], object],
                                             reason: str) -> None:
    """Names, shapes, types and values of all parts are looked at before anything is changed."""
    altered(other, lambda tensors, _: change(tensors))
    refused(other, reason)


def test_a_checkpoint_of_an_older_version_is_named(other: Trained) -> None:
    """What was written before there were checksums is refused as that."""
    tensors, metadata = read_tensors(other.place, "checkpoint", 1 << 30)
    save_file(tensors, other.place, {name: metadata[name] for name in ("run", "hook")})
    refused(other, " is of an older version, without a checksum that would tell damage; remove it to train from the "
                   "start")


class Leaky(nn.Module):
    """Two names for one parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(3, 3), nn.Linear(3, 3)
        self.two.weight = self.one.weight


def test_tied_weights_are_written(tmp_path: Path) -> None:
    """Parameters that share memory, and parts of others, are stored each by itself and come back."""
    model, again = Leaky(), Leaky()
    save_weights(model, tmp_path / "w")
    load_weights(again, tmp_path / "w")
    assert torch.equal(model.one.weight, again.two.weight)


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    """What we wrote is checked by its checksum; what others wrote has none."""
    model, place = nn.Linear(2, 2), tmp_path / "w"
    save_weights(model, place)
    content = bytearray(place.read_bytes())
    content[-1] ^= 1
    place.write_bytes(content)
    with pytest.raises(InputError, match=f"^weights '{re.escape(str(place))}': its content does not match its "
                                         "checksum; the file is damaged$"):
        load_weights(model, place)
    save_file(model.state_dict(), place)
    load_weights(model, place)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_floats_of_other_widths_are_taken(tmp_path: Path, dtype: torch.dtype) -> None:
    """Others store weights in half or double precision."""
    model = nn.Linear(2, 2)
    save_file({name: torch.ones_like(value, dtype=dtype) for name, value in model.state_dict().items()}, tmp_path / "w")
    load_weights(model, tmp_path / "w")
    assert model.weight.dtype == torch.float32
    assert model.weight.detach().eq(1).all()


@pytest.mark.parametrize("dtype", [torch.int8, torch.int64, torch.bool, torch.uint8, torch.complex64,
                                   torch.float8_e4m3fn])
def test_other_types_are_no_weights(tmp_path: Path, dtype: torch.dtype) -> None:
    """A cast would give a network that nobody trained."""
    model = nn.Linear(2, 2)
    save_file({name: torch.ones(value.shape).to(dtype) for name, value in model.state_dict().items()}, tmp_path / "w")
    name = str(dtype).removeprefix("torch.")
    with pytest.raises(InputError, match=f"^weights '.*w': 'weight' must be of type float32, not {name}$"):
        load_weights(model, tmp_path / "w")


CONVERT = " this may be a pickle, which can run any code: convert it where you trust it, by "


def refused_with_a_command(path: Path) -> str:
    """The code of the command with which a file of weights is refused."""
    with pytest.raises(InputError, match=f"^weights '{re.escape(str(path))}':{CONVERT}python -c '.*'$") as refusal:
        load_weights(nn.Linear(2, 2), path)
    *command, code = shlex.split(str(refusal.value).partition(CONVERT)[2])
    assert command == ["python", "-c"]
    return code


@pytest.mark.parametrize("name", ["w.pth", "w.th", "it's \"w\".ckpt", "w", "w.safetensors"])
@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("form", ["bare", "nested", "parallel"])
def test_pickles_are_refused_with_the_command_that_converts_them(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, zipped: bool, form: str) -> None:
    """Whatever it is called and however old it is; what lies beside the weights, and DataParallel's prefix, go."""
    model, again, path = nn.Linear(2, 2), nn.Linear(2, 2), tmp_path / name
    state = nn.DataParallel(model).state_dict() if form == "parallel" else model.state_dict()
    momenta = {"state": {0: {"momentum": torch.ones(2)}}, "param_groups": [{"lr": 0.1}]}
    torch.save(state if form == "bare" else {"epoch": 3, "optimizer": momenta, "state_dict": state, "loss": 0.1}, path,
               _use_new_zipfile_serialization=zipped)
    code = refused_with_a_command(path)
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):
        exec(code, {})
    load_weights(again, tmp_path / "model.safetensors")
    assert all(torch.equal(one, other) for one, other in zip(model.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("content", [{"weight": [1.0]}, [1.0], OrderedDict(weight=1.0)])
def test_other_pickles_are_refused_alike(tmp_path: Path, protocol: int, content: object) -> None:
    """Of every protocol, whatever they hold."""
    path = tmp_path / "w"
    path.write_bytes(pickle.dumps(content, protocol))
    refused_with_a_command(path)


def test_a_header_of_640_bytes_is_no_pickle(tmp_path: Path) -> None:
    """Its length begins with the bytes of a pickle's protocol 2."""
    model, place = nn.Linear(2, 2), tmp_path / "w"
    for filler in range(700):
        save_file(model.state_dict(), place, {"filler": "x" * filler})
        if place.read_bytes()[:2] == b"\x80\x02":
            break
    assert place.read_bytes()[:2] == b"\x80\x02"
    load_weights(model, place)


@pytest.mark.parametrize("kind", ["pipe", "folder", "/dev/zero", "sparse", "empty", "text"])
def test_what_is_no_file_of_weights_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    """No memory is taken and nothing is waited for; a file may be as large as the model needs."""
    place = Path(kind) if kind.startswith("/") else tmp_path / "w"
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "folder":
        place.mkdir()
    elif kind == "sparse":
        with place.open("wb") as stream:
            stream.truncate(1 << 40)
    elif kind in ("empty", "text"):
        place.write_text("" if kind == "empty" else "{" * 1000)
    with pytest.raises(InputError, match=r"^(cannot read weights '.+': it is (not a regular file|larger than .* bytes)|"
                                         r"weights '.+': not a whole safetensors file \(.+\))$"):
        load_weights(nn.Linear(2, 2), place)
