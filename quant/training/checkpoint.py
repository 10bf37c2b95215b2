"""Training that was stopped goes on where it was: everything it depends on, in one file.

A checkpoint is a safetensors file with the model, its best state so far, the optimizer's momenta and the state of the
random numbers, written whole after an epoch or not at all, under a checksum. It carries the history of the epochs and a
description of the run, so that no other run goes on from it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

import torch
from torch import Tensor, nn

from quant.data.images import Images
from quant.training.history import Epoch, epochs_of, plain
from quant.training.recipe import Recipe
from quant.training.stored import CHECKSUM, check_tensors, most_bytes, read_tensors, write_tensors
from sim.errors import InputError
from sim.io.bounds import shown, shown_path

__all__ = ["Resumed", "describe_run", "load_checkpoint", "load_weights", "save_checkpoint", "save_weights"]

VERSION = "3"
FIELDS = ("run", "history", "hook")
"""Fields of the metadata, each as JSON."""
FEW = 4
"""Images whose values describe all of them."""
COUNTER = "num_batches_tracked"
AGAIN = "remove it to train from the start"


class Resumed(NamedTuple):
    """Where a run was.

    Attributes
    ----------
    history : list of Epoch
        Of the epochs that are done.
    generators : dict of str to uint8 Tensor
        States of random numbers.
    hook : dict or None
        State of what is called after each step.
    best : dict of str to Tensor, or None
        State of the model after its best epoch, if that is kept.
    """

    history: list[Epoch]
    generators: dict[str, Tensor]
    hook: dict[str, Any] | None
    best: dict[str, Tensor] | None


def save_weights(model: nn.Module, path: str | Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write all parameters and buffers of `model`, whole or not at all, under a checksum."""
    write_tensors(Path(path), model.state_dict(), metadata or {})


def load_weights(model: nn.Module, path: str | Path, name_of: Callable[[str], str] = str) -> None:
    """Read parameters and buffers that `save_weights`, or anybody else, wrote as safetensors.

    BatchNorms' counters of batches may be missing, as in files of old versions of PyTorch: nothing depends on them.

    Parameters
    ----------
    model : nn.Module
    path : str or Path
    name_of : callable, optional
        Gives a tensor's name in the model for its name in the file.

    Raises
    ------
    InputError
        If the file is missing, none or damaged, or keys, shapes or types are not those of the model; the message names
        the first ones.
    """
    expected = model.state_dict()
    found, _ = read_tensors(Path(path), "weights", most_bytes(expected))
    stored = {name: value for name, value in expected.items() if name.endswith(COUNTER)}
    stored |= {name_of(name): value for name, value in found.items()}
    check_tensors(f"weights '{shown_path(path)}'", stored, expected)
    model.load_state_dict(stored)


def describe_run(model: nn.Module, data: Images, recipe: Recipe, validation: Images | None = None,
                 keep: str = "last", *, half: bool = False, teacher: nn.Module | None = None) -> dict[str, Any]:
    """Describe a run: recipe, labels, what is kept, and the model's parameters by name, shape and starting value.

    Of the images it has some values, unless the data set draws them anew whenever it is asked.
    """
    shapes = {name: list(value.shape) for name, value in model.state_dict().items()}
    return {**asdict(recipe), "images": len(data), "labels": crc32(data.labels.numpy().tobytes()),
            "values": _values(data), "validation": None if validation is None else crc32(
                validation.labels.numpy().tobytes()), "keep": keep, "half": half,
            "teacher": None if teacher is None else _checksum(teacher.state_dict().values()),
            "model": crc32(json.dumps(shapes).encode()), "start": _checksum(model.state_dict().values())}


def _values(data: Images) -> int | None:
    """Return a checksum of a few images as they are drawn for training, None if they are others each time."""
    few = torch.arange(len(data))[:: max(len(data) // FEW, 1)][:FEW]
    with torch.random.fork_rng():
        first, second = (_checksum([data.drawn(few, torch.Generator().manual_seed(0))]) for _ in range(2))
    return first if first == second else None


def _checksum(tensors: Iterable[Tensor]) -> int:
    found = 0
    for value in tensors:
        found = crc32(value.detach().cpu().contiguous().numpy().tobytes(), found)
    return found


def save_checkpoint(path: Path, run: Mapping[str, Any], history: Sequence[Epoch], model: nn.Module,
                    optimizer: torch.optim.Optimizer, generators: Mapping[str, Tensor], hook: Mapping[str, Any] | None,
                    best: Mapping[str, Tensor] | None = None) -> None:
    """Write everything that the rest of a run depends on.

    Parameters
    ----------
    path : Path
    run : mapping
        From `describe_run`.
    history : sequence of Epoch
        Of the epochs that are done.
    model, optimizer
    generators : mapping of str to uint8 Tensor
        States of random numbers.
    hook : mapping or None
        State of what is called after each step, for JSON.
    best : mapping of str to Tensor, optional
        State of the model after its best epoch.
    """
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"best.{name}": value for name, value in (best or {}).items()}
    tensors |= {f"momentum.{index}": optimizer.state[parameter]["momentum_buffer"]
                for index, parameter in enumerate(_parameters(optimizer))
                if optimizer.state.get(parameter, {}).get("momentum_buffer") is not None}
    tensors |= {f"generator.{name}": state for name, state in generators.items()}
    fields = zip(FIELDS, map(json.dumps, (run, plain(history), hook)), strict=True)
    write_tensors(path, tensors, {"version": VERSION, **dict(fields)})


def load_checkpoint(path: Path, run: Mapping[str, Any], model: nn.Module, optimizer: torch.optim.Optimizer,
                    generators: Mapping[str, Tensor]) -> Resumed:
    """Put a run back to where its checkpoint is; nothing is changed before all of the file is checked.

    Parameters
    ----------
    path : Path
    run : mapping
        From `describe_run`.
    model, optimizer
    generators : mapping of str to uint8 Tensor
        States of random numbers as they would be stored.

    Raises
    ------
    InputError
        If the file is damaged, of another version or of another run; the message names what differs.
    """
    state, parameters = model.state_dict(), _parameters(optimizer)
    momenta = {str(index): parameter.detach() for index, parameter in enumerate(parameters)}
    limit = sum(map(most_bytes, (state, state, momenta, generators)))
    stored, metadata = read_tensors(path, "checkpoint", limit)
    where = f"checkpoint '{shown_path(path)}'"
    history, hook = _checked(where, metadata, run)
    parts = {name: _part(stored, f"{name}.") for name in ("model", "best", "momentum", "generator")}
    if sum(map(len, parts.values())) != len(stored):
        raise InputError(f"{where} holds tensors of no kind; {AGAIN}")
    check_tensors(where, parts["model"], state)
    if parts["best"]:
        check_tensors(where, parts["best"], state)
    check_tensors(where, parts["momentum"], {index: momenta[index] for index in parts["momentum"] if index in momenta})
    check_tensors(where, parts["generator"], generators)
    _check_generators(where, parts["generator"])
    model.load_state_dict(parts["model"])
    device = next(model.parameters()).device
    for index, momentum in parts["momentum"].items():
        optimizer.state[parameters[int(index)]]["momentum_buffer"] = momentum.to(device)
    return Resumed(history, parts["generator"], hook, parts["best"] or None)


def _checked(where: str, metadata: Mapping[str, str],
             run: Mapping[str, Any]) -> tuple[list[Epoch], dict[str, Any] | None]:
    """Return the history and the state of the hook, if the metadata is that of a checkpoint of this run."""
    if "run" not in metadata:
        raise InputError(f"{where} is no checkpoint of a training")
    if CHECKSUM not in metadata:
        raise InputError(f"{where} is of an older version, without a checksum that would tell damage; {AGAIN}")
    if metadata.get("version") != VERSION:
        raise InputError(f"{where} is of version {shown(metadata.get('version'))}, not {VERSION}; {AGAIN}")
    if not {*FIELDS} <= metadata.keys():
        raise InputError(f"{where} is no checkpoint of a training")
    try:
        found, epochs, hook = (json.loads(metadata[field]) for field in FIELDS)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: its metadata is no JSON ({shown(error)})") from None
    if not isinstance(found, dict):
        raise InputError(f"{where}: its run must be a mapping, not {shown(found)}")
    for name, value in run.items():
        if type(found.get(name)) is not type(value) or found[name] != value:
            raise InputError(f"{where} is of another run: its {name} is {shown(found.get(name))}, not {shown(value)}; "
                             "give another place or remove it")
    history = epochs_of(epochs)
    if history is None or len(history) > run["epochs"]:
        what = "no history" if history is None else len(history)
        raise InputError(f"{where}: its history must be that of 0..{run['epochs']} epochs, not {what}")
    if not isinstance(hook, dict | None):
        raise InputError(f"{where}: the state of its hook must be a mapping or none, not {shown(hook)}")
    return history, hook


def _check_generators(where: str, states: Mapping[str, Tensor]) -> None:
    """Refuse states that no generator takes."""
    for name, state in states.items():
        try:
            if name != "cuda":
                torch.Generator().set_state(state)
        except RuntimeError:
            raise InputError(f"{where}: 'generator.{name}' is no state of a generator of random numbers") from None


def _parameters(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _part(stored: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in stored.items() if name.startswith(prefix)}
