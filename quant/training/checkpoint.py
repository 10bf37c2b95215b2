"""Training that was stopped goes on where it was: everything it depends on, in one file.

A checkpoint is a safetensors file with the model, the optimizer's momenta and the state of the random numbers, written
whole after an epoch or not at all. It carries a description of the run, so that no other run goes on from it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any
from zlib import crc32

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from quant.data.images import Images
from quant.training.recipe import Recipe
from sim.atomic import atomic_write
from sim.errors import InputError

__all__ = ["describe_run", "load_checkpoint", "load_weights", "save_checkpoint", "save_weights"]

NAMED = 3
"""Names that a message lists."""


def save_weights(model: nn.Module, path: str | Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write all parameters and buffers of `model`, whole or not at all."""
    _write({name: value for name, value in model.state_dict().items()}, dict(metadata or {}), Path(path))


def load_weights(model: nn.Module, path: str | Path) -> None:
    """Read parameters and buffers that `save_weights`, or anybody else, wrote as safetensors.

    Raises
    ------
    InputError
        If the file is missing or none, or keys or shapes are not those of the model; the message names the first ones.
    """
    path = Path(path)
    if path.suffix in (".pt", ".pth", ".bin"):
        raise InputError(f"{path} may hold a pickle, which can run any code: convert it where you trust it, by "
                         "safetensors.torch.save_file(torch.load(file, weights_only=True), 'model.safetensors')")
    stored, _ = _read(path)
    expected = model.state_dict()
    missing, surplus = sorted(expected.keys() - stored.keys()), sorted(stored.keys() - expected.keys())
    for what, names in (("misses", missing), ("has a surplus", surplus)):
        if names:
            more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
            raise InputError(f"{path} {what} {', '.join(names[:NAMED])}{more}")
    for name, value in expected.items():
        if stored[name].shape != value.shape:
            raise InputError(f"{path}: '{name}' must have shape {tuple(value.shape)}, not {tuple(stored[name].shape)}")
        if stored[name].is_floating_point() and not bool(torch.isfinite(stored[name]).all()):
            raise InputError(f"{path}: '{name}' must be finite")
    model.load_state_dict(stored)


def describe_run(model: nn.Module, data: Images, recipe: Recipe) -> dict[str, Any]:
    """What a run is: its recipe, the images' labels, the model's parameters by name and shape and as they start."""
    shapes, start = {name: list(value.shape) for name, value in model.state_dict().items()}, 0
    for value in model.state_dict().values():
        start = crc32(value.detach().cpu().contiguous().numpy().tobytes(), start)
    return {**asdict(recipe), "images": len(data), "labels": crc32(data.labels.numpy().tobytes()),
            "model": crc32(json.dumps(shapes).encode()), "start": start}


def save_checkpoint(path: Path, run: Mapping[str, Any], epoch: int, model: nn.Module, optimizer: torch.optim.Optimizer,
                    generators: Mapping[str, Tensor], hook: Mapping[str, Any] | None) -> None:
    """Write everything that the rest of a run depends on.

    Parameters
    ----------
    path : Path
    run : mapping
        From `describe_run`.
    epoch : int
        How many are done.
    model, optimizer
    generators : mapping of str to uint8 Tensor
        States of random numbers.
    hook : mapping or None
        State of what is called after each step, for JSON.
    """
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"momentum.{index}": optimizer.state[parameter]["momentum_buffer"]
                for index, parameter in enumerate(_parameters(optimizer))
                if optimizer.state.get(parameter, {}).get("momentum_buffer") is not None}
    tensors |= {f"generator.{name}": state for name, state in generators.items()}
    _write(tensors, {"run": json.dumps(run), "epoch": json.dumps(epoch), "hook": json.dumps(hook)}, path)


def load_checkpoint(path: Path, run: Mapping[str, Any], model: nn.Module, optimizer: torch.optim.Optimizer
                    ) -> tuple[int, dict[str, Tensor], dict[str, Any] | None]:
    """Put a run back to where its checkpoint is.

    Returns
    -------
    epoch : int
        How many are done.
    generators : dict of str to Tensor
    hook : dict or None

    Raises
    ------
    InputError
        If the file is damaged or of another run; the message names what differs.
    """
    stored, metadata = _read(path)
    if not {"run", "epoch", "hook"} <= metadata.keys():
        raise InputError(f"{path} is no checkpoint of a training")
    found = json.loads(metadata["run"])
    for name, value in run.items():
        if found.get(name) != value:
            raise InputError(f"{path} is of another run: its {name} is {found.get(name)}, not {value}; "
                             "give another place or remove it")
    model.load_state_dict(_part(stored, "model."))
    device = next(model.parameters()).device
    parameters = _parameters(optimizer)
    for index, momentum in _part(stored, "momentum.").items():
        optimizer.state[parameters[int(index)]]["momentum_buffer"] = momentum.to(device)
    return int(json.loads(metadata["epoch"])), _part(stored, "generator."), json.loads(metadata["hook"])


def _parameters(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _part(stored: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in stored.items() if name.startswith(prefix)}


def _write(tensors: Mapping[str, Tensor], metadata: dict[str, str], path: Path) -> None:
    content = save({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, metadata)
    with atomic_write(path) as stream:
        stream.write(content)


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}
    except FileNotFoundError:
        raise InputError(f"no file {path}") from None
    except (OSError, SafetensorError) as error:
        raise InputError(f"cannot read {path}: {error}") from error
